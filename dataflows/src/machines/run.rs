//! One run: its facts, and what follows from them. Pure functions, no storage. docs/rules.md, "Runs".

use super::attempt::{Applied, End, Outcome};
use crate::{
    event::{Id, Kind, RunEvent, Status},
    names::NameId,
    series::Pair,
    settings::Settings,
    slab::{NO_SLOT, Slot},
    state::Cycle,
    time::{Millis, NEVER, SKEW_TOLERANCE_MS, StreamTime},
};

/// A duration that is taken once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    NotYet,
    /// Its time is up, and there is none.
    Nothing,
    Span(Millis),
}

/// The facts of one run that is kept in full.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "marks that do not depend on each other")]
pub struct Run {
    pub id: Id,
    pub pair: Pair,
    /// Trace id; 0: none given.
    pub trace: u128,
    pub queued: Millis,
    pub started: Millis,
    pub finished: Millis,
    pub tie: u64,
    /// The latest time of any event of it.
    pub latest: Millis,
    /// The list of its attempts that are kept.
    pub(super) first: Slot,
    pub(super) attempts: u32,
    pub slug: NameId,
    pub status: Status,
    /// A job of it was dispatched: so it has started.
    pub(super) dispatched: bool,
    /// Its duration was taken.
    pub(super) settled: bool,
    /// It is in the gauge of queued runs.
    pub(super) shown: bool,
    /// In the list of what the open epoch touched.
    pub(super) touched: bool,
    /// In the list of those whose finish the open epoch moved.
    pub(super) moved: bool,
    /// In the list of what is to be stored.
    pub(super) changed: bool,
    /// The cycle in which a blob has last taken it: its end must be stored, too.
    pub(super) stored: Option<Cycle>,
}

/// A finish from before the run was retired: its time is not remembered, only that it lies behind.
pub(super) const LONG_AGO: Millis = Millis::MIN;

impl Run {
    pub(super) fn new(event: &RunEvent) -> Self {
        let (pair, trace, slug) = (pair(event), event.trace, event.slug);
        Self { pair, trace, slug, latest: event.time, ..Self::blank(event.run) }
    }

    /// A run of which nothing is known.
    pub(super) fn blank(id: Id) -> Self {
        Self {
            id,
            pair: Pair::default(),
            trace: 0,
            queued: NEVER,
            started: NEVER,
            finished: NEVER,
            tie: 0,
            latest: Millis::MIN,
            first: NO_SLOT,
            attempts: 0,
            slug: NameId::OTHER,
            status: Status::Unknown,
            dispatched: false,
            settled: false,
            shown: false,
            touched: false,
            moved: false,
            changed: false,
            stored: None,
        }
    }

    /// What every event of the run or its jobs tells; where events differ the smaller stands, so that order is nothing.
    pub(super) fn see(&mut self, event: &RunEvent) {
        self.pair = self.pair.min(pair(event));
        self.slug = self.slug.min(event.slug);
        self.latest = self.latest.max(event.time);
        if event.trace != 0 && (self.trace == 0 || event.trace < self.trace) {
            self.trace = event.trace;
        }
    }

    /// Merges a run event; commutative and idempotent.
    pub(super) fn merge(&mut self, event: &RunEvent) -> Applied {
        let fact = match event.kind {
            Kind::RunQueued => &mut self.queued,
            Kind::RunStarted => &mut self.started,
            Kind::RunFinished => return self.merge_finish(event),
            other => unreachable!("nothing says what {} does to a run", other.name()),
        };
        let known = *fact != NEVER;
        if !self.settled {
            *fact = event.time.min(*fact);
        }
        if known || self.settled { Applied::Duplicate } else { Applied::New }
    }

    fn merge_finish(&mut self, event: &RunEvent) -> Applied {
        let known = self.finished != NEVER;
        let agree = self.status == event.status;
        let earlier = (event.time, event.tie, event.status) < (self.finished, self.tie, self.status);
        if !known || (earlier && !self.settled) {
            (self.finished, self.tie, self.status) = (event.time, event.tie, event.status);
        }
        match (known, agree) {
            (false, _) => Applied::New,
            (true, true) => Applied::Duplicate,
            (true, false) => Applied::Conflict,
        }
    }

    /// Whether it is in the gauge of queued runs.
    pub(super) fn is_queued(&self, settings: &Settings, now: StreamTime) -> bool {
        let begun = self.started != NEVER || self.finished != NEVER || self.dispatched;
        self.queued != NEVER && !begun && !now.is_past(self.queue_deadline(settings))
    }

    fn queue_deadline(&self, settings: &Settings) -> Millis {
        self.queued.saturating_add(settings.queue_ttl_ms + settings.late_grace_ms)
    }

    /// Its duration, if it can be taken.
    pub(super) fn duration(&self, settings: &Settings, now: StreamTime) -> Taken {
        if self.finished == NEVER {
            return Taken::NotYet;
        }
        let in_order = self.queued <= self.started && self.started <= self.finished;
        if in_order {
            return Taken::Span(self.finished - self.started);
        }
        if !now.is_past(self.duration_deadline(settings)) {
            return Taken::NotYet;
        }
        let usable = self.started <= self.finished.saturating_add(SKEW_TOLERANCE_MS);
        if usable { Taken::Span((self.finished - self.started).max(0)) } else { Taken::Nothing }
    }

    fn duration_deadline(&self, settings: &Settings) -> Millis {
        self.finished.saturating_add(settings.settling_ms())
    }

    /// When a run that never finishes is given up.
    pub(super) fn forget_deadline(&self, settings: &Settings) -> Millis {
        let keep = (settings.queue_ttl_ms + settings.late_grace_ms).max(settings.memory_ms());
        self.latest.saturating_add(keep)
    }

    /// The next time at which something about it may change without an event, while its duration is not taken.
    pub(super) fn next_deadline(&self, settings: &Settings) -> Millis {
        if self.finished == NEVER {
            let queue = if self.shown { self.queue_deadline(settings) } else { NEVER };
            return queue.min(self.forget_deadline(settings));
        }
        self.duration_deadline(settings)
    }

    /// The bits remembered of it.
    pub(super) const fn to_bits(&self) -> u8 {
        self.status as u8
    }
}

/// The finish of a retired run agrees with what is remembered of it.
pub(super) fn agrees(bits: u8, event: &RunEvent) -> bool {
    event.kind != Kind::RunFinished || event.status as u8 == bits
}

/// The bits remembered of a settled attempt: outcome, and whether its dispatch was counted.
pub(super) mod memo {
    use super::{End, Outcome};

    const RECLAIMED: u8 = 7;
    const DISPATCHED: u8 = 1 << 3;

    pub const fn bits(end: Option<&End>, dispatched: bool) -> u8 {
        let outcome = match end {
            Some(End { outcome: Outcome::Finished(status), .. }) => *status as u8,
            _ => RECLAIMED,
        };
        outcome | if dispatched { DISPATCHED } else { 0 }
    }

    pub const fn is_dispatched(bits: u8) -> bool {
        bits & DISPATCHED != 0
    }

    pub const fn with_dispatch(bits: u8) -> u8 {
        bits | DISPATCHED
    }

    pub fn agrees(remembered: u8, end: &End) -> bool {
        remembered & 7 == bits(Some(end), false)
    }
}

const fn pair(event: &RunEvent) -> Pair {
    Pair { project: event.project, pipeline: event.pipeline }
}
