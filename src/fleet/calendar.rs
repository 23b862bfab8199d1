//! What will happen when: a queue of actions in order of time, and of entry where times are the same.

use super::archive::Archive;
use dataflows::time::Millis;
use std::{cmp::Ordering, collections::BinaryHeap};

/// One attempt of a job of a run. It goes stale when the attempt ends; whoever holds it asks before acting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The run's place in the fleet's table, and its serial number, for places are used again.
    pub run: u32,
    pub serial: u32,
    pub job: u16,
    pub number: u16,
}

/// One thing that will happen.
#[derive(Debug)]
pub enum Action {
    /// A push, or a timer of a pipeline.
    Trigger,
    RunStarts {
        pipeline: u32,
    },
    RunCanceled {
        run: u32,
        serial: u32,
    },
    /// Waiting jobs of a pool are dealt to its free agents.
    Dispatch {
        pool: u8,
    },
    JobStarts(Attempt),
    JobEnds(Attempt),
    AgentConnects(u32),
    Heartbeat {
        agent: u32,
        session: u32,
    },
    AgentLeaves {
        agent: u32,
        session: u32,
    },
    /// A crashed agent has been silent for so long that its jobs are reclaimed.
    AgentMissed(u32),
    Archived(Box<Archive>),
    RetentionSweep,
}

#[derive(Debug)]
struct Entry {
    time: Millis,
    order: u64,
    action: Action,
}

impl Ord for Entry {
    /// The greatest is the next: a [`BinaryHeap`] gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time, other.order).cmp(&(self.time, self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

/// See the module.
#[derive(Debug, Default)]
pub struct Calendar {
    entries: BinaryHeap<Entry>,
    order: u64,
}

impl Calendar {
    pub fn push(&mut self, time: Millis, action: Action) {
        self.order += 1;
        self.entries.push(Entry { time, order: self.order, action });
    }

    pub fn pop(&mut self) -> Option<(Millis, Action)> {
        self.entries.pop().map(|entry| (entry.time, entry.action))
    }
}
