//! The job and run machine: keeps attempts and runs, and counts what follows from their facts.
//!
//! The rules are in [`super::attempt`] and [`super::run`]; here is who is kept ([`keep`]), what an event does
//! ([`apply`]) and what an epoch's end does ([`close`]). An attempt goes: unknown, kept (facts merge), settled (its
//! samples are taken), retired (a fingerprint remains), forgotten. Kept things are looked at when touched in an epoch
//! or when their chunk's deadline has passed. What changed is stored ([`store`]).

mod apply;
mod census;
mod close;
mod keep;
mod notes;
mod store;

pub use census::RunsCensus;

use super::{
    Close, Closed, Machine,
    attempt::{Attempt, End},
    domain,
    run::Run,
};
use crate::{
    event::{Id, Kind, RunEvent},
    memory::{Fingerprint, Memory},
    retention::note::Note,
    route::{Route, route},
    series::{Announcement, Pair, Quality},
    settings::Settings,
    slab::{ChunkBounds, Slab, Slot},
    state::{Reader, Sweep, Table, Unusable, Writer},
    time::{Millis, StreamTime},
};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub struct RunsMachine {
    settings: Arc<Settings>,
    bounds: Bounds,
    hasher: DefaultHashBuilder,
    attempts: Slab<Attempt>,
    attempt_index: HashTable<Slot>,
    ends: HashMap<Slot, End>,
    runs: Slab<Run>,
    run_index: HashTable<Slot>,
    memory: Memory,
    /// Stream time of the last closed epoch.
    before: StreamTime,
    attempts_due: ChunkBounds,
    runs_due: ChunkBounds,
    dispatchable: ChunkBounds,
    touched_attempts: Vec<Slot>,
    touched_runs: Vec<Slot>,
    moved_runs: Vec<Slot>,
    /// Events that are late unless another event of this epoch makes their attempt or run known.
    perhaps_late: Vec<RunEvent>,
    announced: HashMap<Pair, Announcement>,
    /// Attempts that had been retired without a dispatch, and turned out in the open epoch to have had one.
    dispatched_after_all: HashMap<Fingerprint, AfterAll>,
    quality: Quality,
    /// What is told of attempts for retention; `None`: it is off.
    notes: Option<Vec<Note>>,
    /// What is to be stored; `None`: nobody asks.
    changes: Option<store::Changes>,
}

/// What the epoch's evidences of one late dispatch say together.
#[derive(Clone, Copy, Debug)]
struct AfterAll {
    /// The smallest.
    pair: Pair,
    /// One of them has an end that is the known one, or none.
    agreed: bool,
}

/// This worker's share of the bounds on state.
#[derive(Debug)]
struct Bounds {
    attempts: usize,
    runs: usize,
    jobs_per_run: usize,
}

impl RunsMachine {
    /// The machine of one of `workers` workers.
    #[must_use]
    pub fn new(settings: Arc<Settings>, workers: usize) -> Self {
        let limits = &settings.limits;
        let bounds = Bounds {
            attempts: limits.max_open_jobs.div_ceil(workers),
            runs: limits.max_open_runs.div_ceil(workers),
            jobs_per_run: limits.max_jobs_per_run,
        };
        let memory = Memory::new(settings.memory_ms(), limits.max_remembered_ids.div_ceil(workers));
        let notes = settings.retention.on.then(Vec::new);
        Self {
            settings,
            bounds,
            hasher: DefaultHashBuilder::default(),
            attempts: Slab::default(),
            attempt_index: HashTable::new(),
            ends: HashMap::new(),
            runs: Slab::default(),
            run_index: HashTable::new(),
            memory,
            before: StreamTime::UNKNOWN,
            attempts_due: ChunkBounds::default(),
            runs_due: ChunkBounds::default(),
            dispatchable: ChunkBounds::default(),
            touched_attempts: vec![],
            touched_runs: vec![],
            moved_runs: vec![],
            perhaps_late: vec![],
            announced: HashMap::new(),
            dispatched_after_all: HashMap::new(),
            quality: Quality::default(),
            notes,
            changes: None,
        }
    }

    /// Attempts kept in full.
    #[must_use]
    pub const fn open_jobs(&self) -> usize {
        self.attempts.len()
    }

    /// Things remembered by fingerprint.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.memory.len()
    }

    fn is_late(&self, time: Millis) -> bool {
        self.before.is_past(time.saturating_add(self.settings.dedup_window_ms))
    }
}

impl Machine for RunsMachine {
    type Event = RunEvent;

    fn apply(&mut self, event: &RunEvent) {
        if event.job == 0 && event.attempt == 0 {
            self.apply_run(event, false);
        } else {
            self.apply_job(event, false);
        }
    }

    fn close(&mut self, at: Close, closed: &mut Closed) {
        // an attempt may become known by the requeue of the one before it, a run by its jobs: hence the order
        let mut perhaps_late = std::mem::take(&mut self.perhaps_late);
        perhaps_late.sort_by_key(|event| (event.attempt == 0, event.attempt));
        for event in perhaps_late {
            if event.attempt == 0 {
                self.apply_run(&event, true);
            } else {
                self.apply_job(&event, true);
            }
        }
        self.touch_attempts_of_moved();
        self.close_attempts(at, closed);
        self.close_runs(at, closed);
        closed.deltas.oldest_dispatchable = self.oldest_dispatchable();
        for (pair, seen) in self.announced.drain() {
            closed.deltas.announce(pair, seen);
        }
        for (_, seen) in self.dispatched_after_all.drain() {
            *closed.deltas.jobs_scheduled.entry(seen.pair).or_default() += 1;
        }
        if at.last && self.settings.job_results {
            self.report_open(closed);
        }
        closed.deltas.quality.merge(&std::mem::take(&mut self.quality));
        self.memory.sweep(at.now);
        self.before = at.now;
    }

    const TABLE: Table = Table::Runs;

    fn record(&mut self) {
        self.changes.get_or_insert_default();
        self.memory.record();
    }

    fn save(&mut self, sweep: Sweep, out: &mut Writer) {
        self.save_all(sweep, out);
    }

    fn load(&mut self, entries: Reader<'_>, owns: &mut impl FnMut(Route) -> bool) -> Result<(), Unusable> {
        self.load_all(entries, owns)
    }

    fn loaded(&mut self, now: StreamTime) -> Result<(), Unusable> {
        self.before = now;
        self.wake_all()
    }
}

const fn is_evidence(event: &RunEvent) -> bool {
    match event.kind {
        Kind::JobScheduled | Kind::JobStarted => true,
        Kind::JobFinished => event.agent != 0,
        _ => false,
    }
}

fn run_print(run: Id) -> Fingerprint {
    Fingerprint::of(domain::RUN, route(run), [run])
}

fn attempt_print(run: Id, job: Id, number: u32) -> Fingerprint {
    Fingerprint::of(domain::ATTEMPT, route(run), [run, job, u128::from(number)])
}
