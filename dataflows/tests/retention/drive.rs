//! The machines of runs, jobs and archives, dealt out over as many workers as wanted, and started anew from what they
//! stored.

use crate::{
    archives::{Asks, Ledger},
    model::{Ms, fired, generate::Numbers},
    stored::{Store, grant},
};
use dataflows::{
    event::{Event, RunEvent},
    machines::{Close, Closed, JobsMachine, Work},
    retention::{Fates, Kind, RetentionInput, RetentionOutput, Subject},
    route::{Share, owner, route},
    settings::Settings,
    state::{self, Pace},
    time::StreamTime,
};
use std::sync::Arc;

/// Recorded epochs: what was read, the stream time at the end, and what held for retention.
pub type Epochs = Vec<(Vec<RunEvent>, Ms, Option<RetentionInput>)>;

/// A log under inputs that follow from the place of the epoch.
pub fn under(log: Vec<(Vec<Event>, Ms)>, input: impl Fn(usize) -> Option<RetentionInput>) -> Epochs {
    let run = |event: Event| if let Event::Run(event) = event { Some(event) } else { None };
    let epochs = log.into_iter().enumerate();
    epochs.map(|(index, (events, now))| (events.into_iter().filter_map(run).collect(), now, input(index))).collect()
}

struct Process {
    workers: Vec<JobsMachine>,
    pace: Pace,
    position: u32,
}

impl Process {
    fn start(workers: usize, settings: &Settings, store: &Store, now: StreamTime) -> Self {
        let settings = Arc::new(settings.clone());
        let machine = |worker| {
            let share = Share { worker, peers: workers };
            let mut machine = JobsMachine::new(Arc::clone(&settings), workers);
            for blob in store.epochs.iter().flat_map(|stored| &stored.workers) {
                for (table, entries) in state::parse(blob).unwrap().sections {
                    machine.load(table, entries, &mut |route| share.owns(route)).unwrap();
                }
            }
            if !store.epochs.is_empty() {
                machine.loaded(now).unwrap();
            }
            machine.record();
            machine
        };
        Self { workers: (0..workers).map(machine).collect(), pace: Pace::default(), position: 0 }
    }

    fn apply(&mut self, events: &[RunEvent]) {
        let workers = self.workers.len();
        for event in events {
            self.workers[owner(route(event.run), workers)].apply(event);
        }
    }

    fn close(
        &mut self,
        epoch: u64,
        now: Ms,
        input: Option<&RetentionInput>,
        settings: &Settings,
        store: &mut Store,
    ) -> RetentionOutput {
        let sweep = self.pace.take(&mut self.position);
        let at = Close { now: StreamTime(now), last: false, sweep };
        let peers = self.workers.len();
        let mut output = RetentionOutput::default();
        let mut blobs = vec![];
        for (worker, machine) in self.workers.iter_mut().enumerate() {
            let mut closed = Closed::new(settings);
            machine.close(at, input, &mut closed);
            output.merge(closed.retention);
            blobs.push(state::blob(Share { worker, peers }, machine.sections(sweep)));
        }
        store.commit(epoch, sweep, blobs, None);
        output.sort();
        output
    }
}

/// What each epoch gives.
pub fn outputs(epochs: &Epochs, workers: usize, settings: &Settings) -> Vec<RetentionOutput> {
    let mut process = Process::start(workers, settings, &Store::default(), StreamTime::UNKNOWN);
    let mut nothing = Store::default();
    let closed = (1..).zip(epochs).map(|(epoch, (events, now, input))| {
        process.apply(events);
        process.close(epoch, *now, input.as_ref(), settings, &mut nothing)
    });
    closed.collect()
}

/// As [`outputs`], by processes that crash in the middle of epochs and go on from what is stored, with other numbers of
/// workers (I4).
pub fn outputs_over_crashes(epochs: &Epochs, settings: &Settings, numbers: &mut Numbers) -> Vec<RetentionOutput> {
    let mut store = Store::default();
    let mut process = Process::start(1 + numbers.below(4), settings, &store, StreamTime::UNKNOWN);
    let mut before = StreamTime::UNKNOWN;
    let closed = (1..).zip(epochs).map(|(epoch, (events, now, input))| {
        if numbers.below(3) == 0 {
            process.apply(&events[..numbers.below(events.len() + 1)]);
            store.crash();
            process = Process::start(1 + numbers.below(4), settings, &store, before);
            fired::fired_if("went on from what was stored", epoch > 1);
        }
        process.apply(events);
        grant(&process.pace, numbers);
        let held = store.epochs.len();
        let output = process.close(epoch, *now, input.as_ref(), settings, &mut store);
        fired::fired_if("a sweep made garbage of older state", store.epochs.len() <= held);
        before = StreamTime(*now);
        output
    });
    closed.collect()
}

/// All rows, joined.
pub fn joined(outputs: &[RetentionOutput]) -> Ledger {
    let mut ledger = Ledger::new();
    for row in outputs.iter().flat_map(|output| &output.ledger_rows) {
        ledger.entry(row.key()).and_modify(|known| known.join(row)).or_insert(*row);
    }
    ledger
}

/// How many tries came to what.
pub fn became(outputs: &[RetentionOutput]) -> Fates {
    let mut sum = Fates::default();
    for output in outputs {
        sum.iter_mut().zip(output.fates).for_each(|(sum, more)| *sum += more);
    }
    sum
}

/// All that was asked for, by what it is about.
///
/// # Errors
/// Where something was decided twice.
pub fn asked(outputs: &[RetentionOutput]) -> Result<Asks, String> {
    let mut asks = Asks::new();
    for decision in outputs.iter().flat_map(|output| &output.decisions) {
        let Subject::Archive { job, attempt, run, ended_at, try_, .. } = decision.subject else {
            return Err(format!("not about an archive: {decision:?}"));
        };
        let given_up = decision.kind != Kind::ArchiveLogs;
        if asks.insert((job, run, attempt, ended_at, try_, given_up), decision.time).is_some() {
            return Err(format!("decided twice: {decision:?}"));
        }
    }
    Ok(asks)
}
