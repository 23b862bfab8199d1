//! One attempt of a job: its facts, and what follows from them at a stream time. Pure functions, no storage.
//!
//! docs/rules.md, "Facts of an attempt" and "What an attempt counts"; the [`spans`] and [`losses`] that follow lie apart.

mod losses;
mod spans;

pub(super) use losses::Losses;
pub(super) use spans::Span;

use crate::{
    event::{Id, Kind, RunEvent, Status},
    names::NameId,
    slab::{NO_SLOT, Slot},
    state::Cycle,
    time::{Millis, NEVER},
};

/// What an attempt has counted, and what is shown of it; bits of [`Attempt::done`].
pub(super) mod done {
    pub const DISPATCH: u16 = 1;
    pub const WAIT: u16 = 1 << 1;
    pub const SETTLED: u16 = 1 << 2;
    pub const LOST: u16 = 1 << 3;
    pub const RUNNING: u16 = 1 << 4;
    pub const PENDING: u16 = 1 << 5;
    pub const DISPATCHABLE: u16 = 1 << 6;
    pub const GAUGES: u16 = RUNNING | PENDING | DISPATCHABLE;
    /// In the list of what the open epoch touched.
    pub const TOUCHED: u16 = 1 << 7;
    /// A `job.finished` with an agent was read: evidence of dispatch without a time.
    pub const AGENT_AT_END: u16 = 1 << 8;
    /// In the list of what is to be stored.
    pub const CHANGED: u16 = 1 << 9;
    /// Retention was told: its run's finish has closed it.
    pub const TOLD_CLOSED: u16 = 1 << 11;
    /// Retention was told: it was lost after this fact; the first of four bits, in the order of the facts.
    pub const TOLD_LOST: u16 = 1 << 12;
    /// All of these four.
    pub const TOLD_LOSSES: u16 = 0xf << 12;
    /// What is stored of all these.
    pub const LASTING: u16 = DISPATCH | WAIT | SETTLED | LOST | GAUGES | AGENT_AT_END | TOLD_CLOSED | TOLD_LOSSES;
}

/// The facts of one attempt that is not over; 96 bytes, for there are millions.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub job: Id,
    /// 0: none known.
    pub agent: Id,
    /// The earliest time of each fact; [`NEVER`]: not known.
    pub queued: Millis,
    pub ready: Millis,
    pub scheduled: Millis,
    pub started: Millis,
    /// The run's slot, and the run's list of attempts.
    pub(super) run: Slot,
    pub(super) next: Slot,
    pub(super) previous: Slot,
    pub number: u32,
    pub name: NameId,
    pub(super) done: u16,
    /// Of the earliest `job.queued`.
    pub dispatchable: bool,
    /// `queued` stands for a `job.queued` that has not come: the former attempt was reclaimed then.
    pub virtual_queued: bool,
    /// It has an [`End`], which lies elsewhere: most have none, and need not look for it.
    pub(super) ended: bool,
    /// The cycle in which a blob has last taken it: its end must be stored, too.
    pub(super) stored: Option<Cycle>,
}

/// How an attempt ended. Kept apart: most attempts that are kept have no end.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub time: Millis,
    pub tie: u64,
    pub outcome: Outcome,
    pub exit_code: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Finished(Status),
    /// `job.requeued`: the attempt was taken back, the next one is queued.
    Reclaimed,
}

/// What applying an event to an attempt found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    New,
    Duplicate,
    Conflict,
}

impl Attempt {
    pub(super) const fn new(run: Slot, job: Id, number: u32) -> Self {
        Self {
            job,
            agent: 0,
            queued: NEVER,
            ready: NEVER,
            scheduled: NEVER,
            started: NEVER,
            run,
            next: NO_SLOT,
            previous: NO_SLOT,
            number,
            name: NameId::OTHER,
            done: 0,
            dispatchable: true,
            virtual_queued: false,
            ended: false,
            stored: None,
        }
    }

    pub(super) const fn has(&self, bit: u16) -> bool {
        self.done & bit != 0
    }

    /// Merges a fact that is not an end; commutative and idempotent.
    pub(super) fn merge(&mut self, event: &RunEvent) -> Applied {
        self.see_names(event);
        if event.kind == Kind::JobQueued {
            return self.merge_queued(event);
        }
        let fact = match event.kind {
            Kind::JobReady => &mut self.ready,
            Kind::JobScheduled => &mut self.scheduled,
            Kind::JobStarted => &mut self.started,
            other => unreachable!("nothing says what {} does to an attempt", other.name()),
        };
        let known = *fact != NEVER;
        *fact = event.time.min(*fact);
        if known { Applied::Duplicate } else { Applied::New }
    }

    /// Agent and name are not counted by; where events differ the smaller stands, so that order is nothing.
    pub(super) fn see_names(&mut self, event: &RunEvent) {
        if event.agent != 0 && (self.agent == 0 || event.agent < self.agent) {
            self.agent = event.agent;
        }
        if event.name != NameId::OTHER && (self.name == NameId::OTHER || event.name < self.name) {
            self.name = event.name;
        }
    }

    fn merge_queued(&mut self, event: &RunEvent) -> Applied {
        let known = self.queued != NEVER && !self.virtual_queued;
        if !known || event.time < self.queued {
            self.queued = event.time;
            self.dispatchable = event.dispatchable;
        } else if event.time == self.queued {
            self.dispatchable &= event.dispatchable;
        }
        self.virtual_queued = false;
        if known { Applied::Duplicate } else { Applied::New }
    }

    /// The former attempt was reclaimed at `time`.
    pub(super) fn merge_reclaimed(&mut self, time: Millis) {
        if self.queued == NEVER || self.virtual_queued {
            self.queued = time.min(self.queued);
            self.virtual_queued = true;
        }
    }

    /// Any proof that the attempt was dispatched.
    #[must_use]
    pub const fn has_evidence(&self) -> bool {
        self.scheduled != NEVER || self.started != NEVER || self.has(done::AGENT_AT_END)
    }

    fn facts(&self) -> [Millis; 4] {
        [self.queued, self.ready, self.scheduled, self.started]
    }

    /// The earliest fact that is not an end; [`NEVER`]: none is known.
    pub(super) fn first(&self) -> Millis {
        self.facts().into_iter().min().unwrap_or(NEVER)
    }

    /// The latest fact that is not an end.
    pub(super) fn latest(&self) -> Option<Millis> {
        self.facts().into_iter().filter(|time| *time != NEVER).max()
    }

    /// The gauges it is in (bits of [`done`]), given that it is open.
    pub(super) const fn gauges_when_open(&self) -> u16 {
        if self.has_evidence() {
            return done::PENDING | done::RUNNING;
        }
        match self.dispatchable_since() {
            NEVER => done::PENDING,
            _ => done::PENDING | done::DISPATCHABLE,
        }
    }

    /// Since when an agent could take it; [`NEVER`]: it could not.
    pub(super) const fn dispatchable_since(&self) -> Millis {
        let queued = self.queued != NEVER && !self.virtual_queued;
        if queued && self.dispatchable {
            self.queued
        } else if self.ready != NEVER || queued {
            self.ready
        } else {
            self.queued
        }
    }
}

impl End {
    pub(super) fn of(event: &RunEvent) -> Self {
        let reclaimed = event.kind == Kind::JobRequeued;
        let outcome = if reclaimed { Outcome::Reclaimed } else { Outcome::Finished(event.status) };
        Self { time: event.time, tie: event.tie, outcome, exit_code: event.exit_code }
    }

    /// The earliest end stands; whether the other agrees is the answer.
    pub(super) fn merge(&mut self, other: Self) -> Applied {
        let agree = self.outcome == other.outcome;
        if (other.time, other.tie, other.outcome) < (self.time, self.tie, self.outcome) {
            *self = other;
        }
        if agree { Applied::Duplicate } else { Applied::Conflict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn attempt(queued: Millis, ready: Millis, scheduled: Millis, started: Millis) -> Attempt {
        Attempt { queued, ready, scheduled, started, ..Attempt::new(0, 1, 1) }
    }

    pub(super) fn end(time: Millis) -> End {
        End { time, tie: 0, outcome: Outcome::Finished(Status::Success), exit_code: None }
    }

    #[test]
    fn an_attempt_is_small() {
        assert_eq!(size_of::<Option<Attempt>>(), 96);
    }

    #[test]
    fn merging_is_commutative() {
        let (a, b) = (end(5), End { outcome: Outcome::Reclaimed, ..end(4) });
        let (mut ab, mut ba) = (a, b);
        assert_eq!(ab.merge(b), Applied::Conflict);
        assert_eq!(ba.merge(a), Applied::Conflict);
        assert_eq!((ab.time, ab.outcome), (ba.time, ba.outcome));
    }
}
