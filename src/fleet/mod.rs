//! The fleet: a CI platform of several tenants, simulated from a seed, that yields the events a real one would send.
//!
//! Used by `demo` (live) and `generate` (as a file or into Kafka). It is a simulation and not a list of random
//! events, because what the series show comes from causes: jobs wait because agents are busy, attempts are requeued
//! because an agent crashed, later stages are skipped because an earlier one failed.
//!
//! What must stay true: the events follow from [`FleetOptions`] alone, byte for byte; they come in order of time;
//! each is valid by the contract; every table is bounded by `max_open_runs`.

mod agents;
mod archive;
mod calendar;
mod emit;
pub mod generate;
pub mod noise;
mod options;
mod plan;
mod random;
mod runs;
#[cfg(test)]
mod tests;
mod triggers;
mod writer;

pub use generate::{GenerateError, GenerateOptions, Generated, Target, generate};
pub use noise::{Disorder, Noise, NoiseOptions};
pub use options::{DEFAULT_START_MS, FleetOptions};

use agents::{Agent, Pool};
use calendar::{Action, Calendar};
use dataflows::{retention::month::Month, time::Millis};
use plan::{POOLS, Plan};
use random::Dice;
use runs::Place;
use std::collections::VecDeque;

/// An event on its way to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it happened, and, once disorder was added, when it is delivered.
    pub time_ms: Millis,
    /// The key of its Kafka record: a UUID as text.
    pub key: [u8; 36],
    /// The event, a structured CloudEvent.
    pub value: Vec<u8>,
}

/// A running fleet; its events are its iteration. See the module.
#[derive(Debug)]
pub struct Fleet {
    options: FleetOptions,
    plan: Plan,
    dice: Dice,
    calendar: Calendar,
    /// What has happened and was not yet taken.
    out: VecDeque<Record>,
    now: Millis,
    places: Vec<Place>,
    free_places: Vec<u32>,
    open_runs: u32,
    agents: Vec<Agent>,
    pools: Vec<Pool>,
    jobs_made: u64,
    open_archives: u64,
    /// Of the newest partition that was dropped.
    dropped_month: Option<Month>,
}

impl Fleet {
    #[must_use]
    pub fn new(options: FleetOptions) -> Self {
        let mut dice = Dice::new(options.seed, 0);
        let plan = Plan::new(&options, &mut dice);
        let agents = plan.agents.iter().map(|&(id, pool)| Agent::new(id, pool)).collect();
        let mut fleet = Self {
            now: options.start_ms,
            pools: POOLS.iter().map(|_| Pool::default()).collect(),
            calendar: Calendar::default(),
            out: VecDeque::new(),
            places: Vec::new(),
            free_places: Vec::new(),
            open_runs: 0,
            jobs_made: 0,
            open_archives: 0,
            dropped_month: None,
            options,
            plan,
            dice,
            agents,
        };
        fleet.switch_on();
        fleet
    }

    /// Jobs of the runs that started so far.
    #[must_use]
    pub const fn jobs_made(&self) -> u64 {
        self.jobs_made
    }

    fn switch_on(&mut self) {
        for agent in (0_u32..).take(self.agents.len()) {
            let pause = self.dice.between(0, 5_000);
            self.after(pause, Action::AgentConnects(agent));
        }
        self.after(1_000, Action::Trigger);
        if self.options.drops_partitions {
            self.after(60_000, Action::RetentionSweep);
        }
    }

    fn after(&mut self, pause_ms: Millis, action: Action) {
        self.calendar.push(self.now.saturating_add(pause_ms), action);
    }

    /// A span of life in the fleet's own, faster time; at least 1 ms.
    #[expect(clippy::cast_possible_truncation, reason = "spans of hours, in ms")]
    fn sped_up(&self, span_ms: Millis) -> Millis {
        ((span_ms as f64 / self.options.speed.max(0.001)) as Millis).max(1)
    }

    /// No run starts any more.
    fn is_closing(&self) -> bool {
        self.options.max_jobs.is_some_and(|max| self.jobs_made >= max)
    }

    fn is_over(&self) -> bool {
        self.is_closing() && self.open_runs == 0 && self.open_archives == 0
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Trigger => self.trigger(),
            Action::RunStarts { pipeline } => self.start_run(pipeline),
            Action::RunCanceled { run, serial } => self.cancel_run(run, serial),
            Action::Dispatch { pool } => self.dispatch(pool),
            Action::JobStarts(attempt) => self.start_job(attempt),
            Action::JobEnds(attempt) => self.end_job(attempt),
            Action::AgentConnects(agent) => self.connect(agent),
            Action::Heartbeat { agent, session } => self.beat(agent, session),
            Action::AgentLeaves { agent, session } => self.leave(agent, session),
            Action::AgentMissed(agent) => self.reclaim(agent),
            Action::Archived(archive) => self.archived(*archive),
            Action::RetentionSweep => self.sweep(),
        }
    }
}

impl Iterator for Fleet {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            if let Some(record) = self.out.pop_front() {
                return Some(record);
            }
            if self.is_over() {
                return None;
            }
            let (time, action) = self.calendar.pop()?;
            self.now = time;
            self.act(action);
        }
    }
}
