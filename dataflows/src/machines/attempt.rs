//! One attempt of a job: its facts, and what follows from them at a stream time. Pure functions, no storage.
//!
//! docs/rules.md, "Facts of an attempt" and "What an attempt counts".

use crate::{
    event::{Id, Kind, RunEvent, Status},
    names::NameId,
    settings::Settings,
    slab::{NO_SLOT, Slot},
    state::Cycle,
    time::{Millis, NEVER, SKEW_TOLERANCE_MS, StreamTime},
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

/// A span to observe, if there is one, and whether a fact had to be left out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub from: Option<Millis>,
    pub ms: Option<Millis>,
    pub skewed: bool,
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
            _ => &mut self.started,
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

    /// Since when it can be dispatched, by facts that are known and no guess: a real `queued`, and `ready` if needed.
    fn known_since(&self) -> Option<Millis> {
        let queued = self.queued != NEVER && !self.virtual_queued;
        let since = if self.dispatchable { self.queued } else { self.ready };
        (queued && since != NEVER && self.queued <= since).then_some(since)
    }

    /// The wait when nothing can change it any more.
    pub(super) fn wait_at_once(&self) -> Option<Span> {
        let since = self.known_since()?;
        let in_order = self.scheduled != NEVER && since <= self.scheduled;
        in_order.then(|| Span { from: Some(since), ms: Some(self.scheduled - since), skewed: false })
    }

    /// The deadline of the wait's second rule; [`NEVER`] while there is no evidence with a time.
    pub(super) fn wait_deadline(&self, settings: &Settings) -> Millis {
        self.dispatch_evidence().saturating_add(SKEW_TOLERANCE_MS + settings.late_grace_ms)
    }

    pub(super) fn dispatch_evidence(&self) -> Millis {
        self.scheduled.min(self.started)
    }

    /// The wait by what is known. Facts too far behind the dispatch or the end are as good as unknown: whether they
    /// are read by now depends on how the log was cut.
    pub(super) fn wait_in_the_end(&self, end: Option<&End>) -> Span {
        let evidence = self.dispatch_evidence();
        if evidence == NEVER {
            return Span::default();
        }
        let mut spans = Spans::up_to(end.map_or(evidence, |end| end.time.min(evidence)));
        let dispatch = spans.first_of([self.scheduled, self.started]);
        let queued = spans.first_of([self.queued]);
        let ready = spans.first_of([self.ready]);
        let since = match queued {
            Some(queued) if !self.virtual_queued => {
                if self.dispatchable {
                    Some(queued)
                } else {
                    ready
                }
            }
            guess => ready.or(guess),
        };
        spans.between(since, dispatch)
    }

    /// The duration when nothing can change it any more.
    pub(super) fn duration_at_once(&self, end: &End) -> Option<Span> {
        let since = self.known_since()?;
        let in_order = self.scheduled != NEVER && since <= self.scheduled && self.scheduled <= end.time;
        in_order.then(|| Span { from: Some(self.scheduled), ms: Some(end.time - self.scheduled), skewed: false })
    }

    /// The duration by what is known, facts too far behind the end left out.
    pub(super) fn duration_in_the_end(&self, end: &End) -> Span {
        let mut spans = Spans::up_to(end.time);
        let dispatch = spans.first_of([self.scheduled, self.started]);
        spans.between(dispatch, Some(end.time))
    }

    /// The losses that its facts allow: nothing came within its time to live.
    fn losses(&self, end: Option<&End>, run_finish: Millis, settings: &Settings) -> impl Iterator<Item = Loss> {
        let facts = self.facts();
        let end = end.map_or(NEVER, |end| end.time);
        let dispatched = self.dispatch_evidence();
        let (job_ttl, queue_ttl, grace) = (settings.job_ttl_ms, settings.queue_ttl_ms, settings.late_grace_ms);
        (0..).zip(facts).filter(|(_, time)| *time != NEVER).filter_map(move |(fact, time)| {
            let running = dispatched <= time;
            let ttl = if running { job_ttl } else { queue_ttl };
            let due = time.saturating_add(ttl);
            let heard = facts.iter().any(|other| time < *other && *other <= due);
            let over = end <= due || run_finish <= due;
            (!heard && !over).then(|| Loss { fact, running, time, lost_at: due, due: due.saturating_add(grace) })
        })
    }

    /// What is due next, and what is the case, at `now`.
    pub(super) fn losses_at(
        &self,
        end: Option<&End>,
        run_finish: Millis,
        settings: &Settings,
        now: StreamTime,
    ) -> Losses {
        let latest = self.latest();
        let mut losses =
            Losses { ever: false, latest: false, latest_due: NEVER, next_due: NEVER, running: [NEVER; 4] };
        for Loss { fact, running, time, lost_at, due } in self.losses(end, run_finish, settings) {
            let passed = now.is_past(due);
            losses.ever |= passed;
            if passed && running {
                losses.running[fact] = lost_at;
            }
            if !passed {
                losses.next_due = losses.next_due.min(due);
            }
            if Some(time) == latest {
                losses.latest = passed;
                losses.latest_due = due;
            }
        }
        losses
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

/// See [`Attempt::losses_at`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Losses {
    /// Some fact was not followed up in time.
    pub ever: bool,
    /// The latest one was not: the attempt is lost now.
    pub latest: bool,
    /// Its deadline, passed or not; [`NEVER`]: it cannot be lost.
    pub latest_due: Millis,
    /// The next deadline that has not passed.
    pub next_due: Millis,
    /// By fact: when the attempt was lost after it while it ran; [`NEVER`]: it was not.
    pub running: [Millis; 4],
}

/// A loss that a fact allows.
struct Loss {
    /// Which fact.
    fact: usize,
    /// It was dispatched by then.
    running: bool,
    /// The fact's time.
    time: Millis,
    lost_at: Millis,
    /// Strictly after this it counts.
    due: Millis,
}

/// Picks the ends of a span, leaving out facts more than the tolerance behind `limit`.
struct Spans {
    limit: Millis,
    skewed: bool,
}

impl Spans {
    const fn up_to(terminal: Millis) -> Self {
        Self { limit: terminal.saturating_add(SKEW_TOLERANCE_MS), skewed: false }
    }

    fn first_of<const N: usize>(&mut self, candidates: [Millis; N]) -> Option<Millis> {
        for time in candidates.into_iter().filter(|time| *time != NEVER) {
            if time <= self.limit {
                return Some(time);
            }
            self.skewed = true;
        }
        None
    }

    fn between(&self, from: Option<Millis>, to: Option<Millis>) -> Span {
        let ms = from.zip(to).map(|(from, to)| (to - from).max(0));
        Span { from, ms, skewed: self.skewed }
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

    const SETTINGS: fn() -> Settings = Settings::default;

    fn attempt(queued: Millis, ready: Millis, scheduled: Millis, started: Millis) -> Attempt {
        Attempt { queued, ready, scheduled, started, ..Attempt::new(0, 1, 1) }
    }

    fn end(time: Millis) -> End {
        End { time, tie: 0, outcome: Outcome::Finished(Status::Success), exit_code: None }
    }

    #[test]
    fn an_attempt_is_small() {
        assert_eq!(size_of::<Option<Attempt>>(), 96);
    }

    #[test]
    fn spans_are_taken_at_once_only_when_all_is_known_and_in_order() {
        let whole = attempt(10, NEVER, 40, NEVER);
        assert_eq!(whole.wait_at_once().and_then(|s| s.ms), Some(30));
        assert_eq!(whole.duration_at_once(&end(100)).and_then(|s| s.ms), Some(60));
        assert_eq!(whole.duration_at_once(&end(39)), None);
        assert_eq!(attempt(50, NEVER, 40, NEVER).wait_at_once(), None);
        let waiting = Attempt { dispatchable: false, ..attempt(10, NEVER, 40, NEVER) };
        assert_eq!(waiting.wait_at_once(), None, "its ready may come");
        let ready = Attempt { ready: 25, ..waiting };
        assert_eq!(ready.wait_at_once().and_then(|s| s.ms), Some(15));
    }

    #[test]
    fn a_fact_up_to_two_seconds_behind_counts_as_zero_one_further_as_absent() {
        let behind = attempt(3_000, NEVER, 1_000, NEVER);
        assert_eq!(behind.wait_in_the_end(None), Span { from: Some(3_000), ms: Some(0), skewed: false });
        let far = attempt(3_001, NEVER, 1_000, NEVER);
        assert_eq!(far.wait_in_the_end(None), Span { from: None, ms: None, skewed: true });
        let from_started = attempt(0, NEVER, 9_000, 500).duration_in_the_end(&end(1_000));
        assert_eq!(from_started, Span { from: Some(500), ms: Some(500), skewed: true });
    }

    #[test]
    fn a_reclaimed_attempts_end_stands_for_the_next_ones_queued_only_in_the_end() {
        let mut next = attempt(NEVER, NEVER, 900, NEVER);
        next.merge_reclaimed(600);
        next.merge_reclaimed(500);
        assert_eq!(next.wait_at_once(), None);
        assert_eq!(next.wait_in_the_end(None).ms, Some(400));
    }

    #[test]
    fn silence_longer_than_the_time_to_live_is_a_loss_whatever_came_later() {
        let settings = SETTINGS();
        let day = settings.job_ttl_ms;
        let due = 1_000 + day + settings.late_grace_ms;
        let silent = attempt(0, NEVER, 1_000, NEVER);
        let at = |attempt: &Attempt, end: Option<&End>, finish, now| {
            let losses = attempt.losses_at(end, finish, &settings, StreamTime(now));
            (losses.ever, losses.latest)
        };
        assert_eq!(at(&silent, None, NEVER, due), (false, false));
        assert_eq!(at(&silent, None, NEVER, due + 1), (true, true));
        assert_eq!(at(&silent, None, 5_000, due + 1), (false, false), "the run's finish closed it");
        assert_eq!(at(&silent, Some(&end(2_000)), NEVER, due + 1), (false, false));
        let late_end = end(1_001 + day);
        assert_eq!(at(&silent, Some(&late_end), NEVER, due + 1), (true, true));
        let revived = Attempt { started: 1_001 + day, ..silent };
        assert_eq!(at(&revived, None, NEVER, due + 1), (true, false));
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
