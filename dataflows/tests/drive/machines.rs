//! The machines alone, dealt out over as many workers as wanted, and started anew from what they stored.

use super::stored::{Store, grant};
use crate::model::{
    fired,
    generate::{Log, Numbers},
};
use dataflows::{
    event::{AgentEvent, DeliveryEvent, Event, RunEvent},
    ledger::Ledger,
    machines::{AgentsMachine, Close, Closed, DeliveriesMachine, Machine, RunsMachine},
    names::Names,
    registry::Snapshot,
    route::{Share, owner, route},
    series::Deltas,
    settings::Settings,
    state::{self, Pace, Section, Table},
    time::{Epoch, StreamTime},
};
use std::sync::Arc;

struct Worker {
    share: Share,
    runs: RunsMachine,
    agents: AgentsMachine,
    deliveries: DeliveriesMachine,
}

impl Worker {
    fn new(settings: &Settings, share: Share) -> Self {
        let (settings, workers) = (Arc::new(settings.clone()), share.peers);
        Self {
            share,
            runs: RunsMachine::new(Arc::clone(&settings), workers),
            agents: AgentsMachine::new(Arc::clone(&settings), workers),
            deliveries: DeliveriesMachine::new(settings, workers),
        }
    }

    fn load(&mut self, store: &Store, now: StreamTime) {
        for blob in store.epochs.iter().flat_map(|stored| &stored.workers) {
            for (table, entries) in state::parse(blob).unwrap().sections {
                match table {
                    Table::Runs => self.runs.load(entries, &mut |route| self.share.owns(route)).unwrap(),
                    Table::Agents => self.agents.load(entries, &mut |route| self.share.owns(route)).unwrap(),
                    Table::Deliveries => self.deliveries.load(entries, &mut |route| self.share.owns(route)).unwrap(),
                    Table::Registry | Table::Names | Table::Given | Table::Archives => {
                        unreachable!("these have a lane of their own")
                    }
                }
            }
        }
        self.runs.loaded(now).unwrap();
        self.agents.loaded(now).unwrap();
        self.deliveries.loaded(now).unwrap();
    }

    fn record(&mut self) {
        self.runs.record();
        self.agents.record();
        self.deliveries.record();
    }

    /// Closes the epoch; gives what is to be stored of it.
    fn close(&mut self, at: Close, settings: &Settings, deltas: &mut Deltas) -> Vec<u8> {
        let sections = [
            close(&mut self.runs, at, settings, deltas),
            close(&mut self.agents, at, settings, deltas),
            close(&mut self.deliveries, at, settings, deltas),
        ];
        state::blob(self.share, sections.into_iter().flatten().collect())
    }
}

fn close<M: Machine>(machine: &mut M, at: Close, settings: &Settings, deltas: &mut Deltas) -> Option<Section> {
    let mut closed = Closed::new(settings);
    machine.close(at, &mut closed);
    deltas.merge(&closed.deltas);
    let mut entries = state::Writer::default();
    machine.save(at.sweep, &mut entries);
    Section::of(M::TABLE, entries)
}

/// A process: its workers and what it shows.
struct Process {
    workers: Vec<Worker>,
    ledger: Ledger,
    pace: Pace,
    position: u32,
}

impl Process {
    /// Goes on from the store, after the epoch that ended so.
    fn start(workers: usize, settings: &Settings, store: &Store, epoch: u64, now: StreamTime) -> Self {
        let share = |worker| Share { worker, peers: workers };
        let mut workers: Vec<Worker> = (0..workers).map(|worker| Worker::new(settings, share(worker))).collect();
        let mut ledger = Ledger::new(settings, Names::new(100));
        if epoch > 0 {
            for worker in &mut workers {
                worker.load(store, now);
            }
            store
                .epochs
                .iter()
                .filter_map(|stored| stored.ledger.as_ref())
                .for_each(|blob| ledger.load(blob).unwrap());
            ledger.loaded(Epoch(epoch), now);
        }
        workers.iter_mut().for_each(Worker::record);
        Self { workers, ledger, pace: Pace::default(), position: 0 }
    }

    fn apply(&mut self, event: &Event) {
        let workers = self.workers.len();
        let place = |id: u128| owner(route(id), workers);
        match event {
            Event::Run(e) => Machine::apply(&mut self.workers[place(e.run)].runs, e as &RunEvent),
            Event::Agent(e) => Machine::apply(&mut self.workers[place(e.agent)].agents, e as &AgentEvent),
            Event::Delivery(e) => Machine::apply(&mut self.workers[place(e.key)].deliveries, e as &DeliveryEvent),
        }
    }

    fn apply_all(&mut self, events: &[Event]) {
        for event in events {
            self.apply(event);
        }
    }

    fn close(&mut self, epoch: u64, now: StreamTime, settings: &Settings, store: &mut Store) -> Snapshot {
        let sweep = self.pace.take(&mut self.position);
        let mut deltas = Deltas::new(settings);
        let at = Close { now, last: false, sweep };
        let blobs = self.workers.iter_mut().map(|worker| worker.close(at, settings, &mut deltas)).collect();
        let snapshot = self.ledger.fold(Epoch(epoch), now, deltas);
        store.commit(epoch, sweep, blobs, self.ledger.blob(sweep).map(|lane| lane.bytes));
        snapshot
    }
}

/// The snapshot at the end of each epoch (I3).
pub fn snapshots(log: &Log, workers: usize, settings: &Settings) -> Vec<Snapshot> {
    let mut process = Process::start(workers, settings, &Store::default(), 0, StreamTime::UNKNOWN);
    let mut nothing = Store::default();
    let epochs = (1..).zip(log).map(|(epoch, (events, now))| {
        process.apply_all(events);
        process.close(epoch, StreamTime(*now), settings, &mut nothing)
    });
    epochs.collect()
}

/// As [`snapshots`], by processes that crash in the middle of epochs and go on from what is stored, with other numbers
/// of workers (I4).
pub fn snapshots_over_crashes(log: &Log, settings: &Settings, numbers: &mut Numbers) -> Vec<Snapshot> {
    let mut store = Store::default();
    let mut process = Process::start(1 + numbers.below(4), settings, &store, 0, StreamTime::UNKNOWN);
    let mut before = StreamTime::UNKNOWN;
    let epochs = (1..).zip(log).map(|(epoch, (events, now))| {
        if numbers.below(3) == 0 {
            // what it had read of this epoch is gone with it
            let read = numbers.below(events.len() + 1);
            process.apply_all(&events[..read]);
            store.crash();
            process = Process::start(1 + numbers.below(4), settings, &store, epoch - 1, before);
            fired::fired_if("went on from what was stored", epoch > 1);
            let snapshot = process.ledger.snapshot();
            assert_eq!((snapshot.epoch, snapshot.stream_time), (Epoch(epoch - 1), before));
        }
        process.apply_all(events);
        grant(&process.pace, numbers);
        let held = store.epochs.len();
        let snapshot = process.close(epoch, StreamTime(*now), settings, &mut store);
        fired::fired_if("a sweep made garbage of older state", store.epochs.len() <= held);
        before = StreamTime(*now);
        snapshot
    });
    epochs.collect()
}
