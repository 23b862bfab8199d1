//! What is known of one attempt and of one run, and what that gives at a moment: the rules themselves.

use super::{
    Ms, SKEW,
    fired::{fired, fired_if},
};
use dataflows::{
    event::{Kind, RunEvent, Status},
    settings::Settings,
};
use std::collections::{BTreeMap, BTreeSet};

/// The facts of an attempt.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// Earliest; of several at the same time one that is not dispatchable.
    pub queued: Option<(Ms, bool)>,
    /// From `job.requeued` of the attempt before.
    pub virtual_queued: Option<Ms>,
    pub ready: Option<Ms>,
    pub scheduled: Option<Ms>,
    pub started: Option<Ms>,
    /// Smallest (time, tie); no status: reclaimed.
    pub end: Option<(Ms, u64, Option<Status>)>,
    pub evidence: bool,
}

/// A span that is taken once: not yet; taken without a sample; taken with one.
pub type Taken = Option<Option<Ms>>;

fn earliest<T: Ord>(known: &mut Option<T>, new: T) -> bool {
    let repeated = known.is_some();
    if known.as_ref().is_none_or(|known| new < *known) {
        *known = Some(new);
    }
    repeated
}

/// What a finish or requeue says of the end.
pub fn outcome(event: &RunEvent) -> Option<Status> {
    (event.kind == Kind::JobFinished).then_some(event.status)
}

/// Whether the event proves a dispatch.
pub fn is_evidence(event: &RunEvent) -> bool {
    match event.kind {
        Kind::JobScheduled | Kind::JobStarted => true,
        Kind::JobFinished => event.agent != 0,
        _ => false,
    }
}

impl Attempt {
    /// Adds a fact; true if it was known (a duplicate, or a conflict where it differs). A settled end stands.
    pub fn learn(&mut self, event: &RunEvent, settled: bool) -> bool {
        self.evidence |= is_evidence(event);
        match event.kind {
            Kind::JobQueued => earliest(&mut self.queued, (event.time, event.dispatchable)),
            Kind::JobReady => earliest(&mut self.ready, event.time),
            Kind::JobScheduled => earliest(&mut self.scheduled, event.time),
            Kind::JobStarted => earliest(&mut self.started, event.time),
            _ => {
                let new = (event.time, event.tie, outcome(event));
                if let Some(end) = self.end.filter(|end| end.2 != new.2) {
                    fired(if settled { "conflict after settling" } else { "conflict within grace" });
                    return settled || earliest(&mut self.end, new) || end.2.is_none();
                }
                settled || earliest(&mut self.end, new)
            }
        }
    }

    fn queued_or_virtual(&self) -> Option<Ms> {
        self.queued.map(|(time, _)| time).or(self.virtual_queued)
    }

    /// The times of all facts but the end.
    pub fn times(&self) -> BTreeSet<Ms> {
        [self.queued_or_virtual(), self.ready, self.scheduled, self.started].into_iter().flatten().collect()
    }

    /// Dispatch since dispatchable where all is known and in order.
    fn in_order(&self) -> Option<(Ms, Ms)> {
        let (scheduled, (queued, dispatchable)) = (self.scheduled?, self.queued?);
        let since = if dispatchable { queued } else { self.ready? };
        (queued <= since && since <= scheduled).then_some((since, scheduled))
    }

    /// Duration; taken means settled.
    pub fn duration(&self, now: Ms, settings: &Settings) -> Taken {
        let (end, _, outcome) = self.end?;
        let at_once = self.in_order().filter(|(_, scheduled)| *scheduled <= end);
        if at_once.is_none() && now <= end + SKEW + settings.late_grace_ms {
            return None;
        }
        let near = |fact: Option<Ms>| fact.filter(|time| *time <= end + SKEW);
        let from = near(self.scheduled).or(near(self.started));
        let sample = from.map(|from| (end - from).max(0)).filter(|_| outcome.is_some());
        fired_if("duration at once", at_once.is_some() && sample.is_some());
        fired_if("duration graced from scheduled", at_once.is_none() && sample.is_some() && from == self.scheduled);
        fired_if("duration graced from started", sample.is_some() && near(self.scheduled).is_none());
        fired_if("duration negative counts 0", sample.is_some() && from.is_some_and(|from| from > end));
        fired_if("duration: never dispatched", !self.evidence);
        fired_if("duration: a fact too far behind", self.duration_skewed());
        fired_if("duration: reclaimed gives none", from.is_some() && outcome.is_none());
        Some(sample)
    }

    /// A dispatch fact lies too far behind the end.
    pub fn duration_skewed(&self) -> bool {
        let far = |fact: Option<Ms>| fact.zip(self.end).is_some_and(|(time, end)| time > end.0 + SKEW);
        far(self.scheduled) || far(self.started)
    }

    /// Up to here facts count for the wait: nothing later is sure to be read when it is taken.
    fn wait_bound(&self) -> Option<Ms> {
        let dispatch = self.scheduled.into_iter().chain(self.started).min()?;
        Some(self.end.map_or(dispatch, |end| end.0.min(dispatch)) + SKEW)
    }

    /// Wait for an agent.
    pub fn wait(&self, now: Ms, settings: &Settings) -> Taken {
        if let Some((since, scheduled)) = self.in_order() {
            fired("wait at once");
            fired_if("wait at once, from ready", self.queued.is_some_and(|(_, dispatchable)| !dispatchable));
            return Some(Some(scheduled - since));
        }
        let settled = self.duration(now, settings).is_some();
        let dispatch = self.scheduled.into_iter().chain(self.started).min();
        let due = dispatch.is_some_and(|time| now > time + SKEW + settings.late_grace_ms);
        if !settled && !due {
            return None;
        }
        fired_if("wait taken by the end", settled && !due);
        let bound = self.wait_bound()?;
        let near = |fact: Option<Ms>| fact.filter(|time| *time <= bound);
        let since = match (self.queued.filter(|(time, _)| *time <= bound), near(self.ready)) {
            (Some((queued, true)), _) => Some(queued),
            (Some((_, false)), ready) => ready,
            (None, Some(ready)) => Some(ready),
            // a real queued has taken its place, even where it is too far behind
            (None, None) => near(self.virtual_queued).filter(|_| self.queued.is_none()),
        };
        let sample = near(self.scheduled).or(near(self.started)).zip(since);
        fired_if("wait graced", sample.is_some());
        fired_if("wait without a sample", sample.is_none());
        fired_if(
            "wait from the virtual queue time",
            since.is_some() && self.queued.is_none() && self.ready.is_none(),
        );
        fired_if("wait from ready without queued", since.is_some() && self.queued.is_none() && self.ready.is_some());
        fired_if("wait negative counts 0", sample.is_some_and(|(dispatch, since)| dispatch < since));
        fired_if("wait: a fact too far behind", self.wait_skewed());
        Some(sample.map(|(dispatch, since)| (dispatch - since).max(0)))
    }

    /// A fact lies too far behind the dispatch (or the end) to count for the wait.
    pub fn wait_skewed(&self) -> bool {
        let facts = [self.queued.map(|(time, _)| time), self.ready, self.scheduled, self.started];
        self.wait_bound().is_some_and(|bound| facts.into_iter().flatten().any(|time| time > bound))
    }

    /// The facts after which it is lost, and when: strictly after that.
    pub fn losses(&self, run_finish: Option<Ms>, settings: &Settings) -> BTreeMap<Ms, Ms> {
        let times = self.times();
        let end = self.end.map(|end| end.0);
        let dispatch = self.scheduled.into_iter().chain(self.started).min();
        let mut losses = BTreeMap::new();
        for time in &times {
            let dispatched = dispatch.is_some_and(|dispatch| dispatch <= *time);
            let ttl = if dispatched { settings.job_ttl_ms } else { settings.queue_ttl_ms };
            let deadline = time + ttl;
            let followed = times.iter().copied().chain(end).any(|other| *time < other && other <= deadline);
            let ended = end.is_some_and(|end| end <= *time);
            let closed = run_finish.is_some_and(|finish| finish <= deadline);
            fired_if("loss prevented by the run's finish", closed && !followed && !ended);
            if !followed && !ended && !closed {
                losses.insert(*time, deadline + settings.late_grace_ms);
            }
        }
        losses
    }

    /// It has been lost by now (once ever).
    pub fn is_lost(&self, run_finish: Option<Ms>, now: Ms, settings: &Settings) -> bool {
        self.losses(run_finish, settings).values().any(|due| now > *due)
    }

    /// When the latest fact's loss fell due, if it did: it is out of the gauges.
    pub fn latest_lost(&self, run_finish: Option<Ms>, now: Ms, settings: &Settings) -> Option<Ms> {
        let latest = self.times().last().copied()?;
        self.losses(run_finish, settings).get(&latest).copied().filter(|due| now > *due)
    }

    /// Counted in the gauges.
    pub fn is_open(&self, run_finish: Option<Ms>, now: Ms, settings: &Settings) -> bool {
        let unended = !self.times().is_empty() && self.end.is_none();
        fired_if("closed by the run's finish", unended && run_finish.is_some());
        unended && run_finish.is_none() && self.latest_lost(run_finish, now, settings).is_none()
    }

    /// Since when an agent could take it.
    pub fn dispatchable_since(&self) -> Option<Ms> {
        if self.evidence {
            return None;
        }
        let since = match (self.queued, self.ready) {
            (Some((queued, true)), _) => Some(queued),
            (_, Some(ready)) => Some(ready),
            (Some((_, false)), None) => None,
            (None, None) => self.virtual_queued,
        };
        fired_if("dispatchable since queued", self.queued.is_some_and(|(_, dispatchable)| dispatchable));
        fired_if("dispatchable since ready", since.is_some() && since == self.ready);
        fired_if("not dispatchable yet", since.is_none());
        fired_if("virtual queue time opens an attempt", self.queued.is_none() && self.ready.is_none());
        fired_if("real queued takes the virtual one's place", self.queued.is_some() && self.virtual_queued.is_some());
        since
    }
}

/// The facts of a run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub queued: Option<Ms>,
    pub started: Option<Ms>,
    /// Smallest (time, tie).
    pub finish: Option<(Ms, u64, Status)>,
    /// A job of it was dispatched.
    pub dispatched: bool,
}

impl Run {
    /// Adds a fact; true if it was known. A settled finish stands.
    pub fn learn(&mut self, event: &RunEvent, settled: bool) -> bool {
        match event.kind {
            Kind::RunQueued => earliest(&mut self.queued, event.time),
            Kind::RunStarted => earliest(&mut self.started, event.time),
            _ => {
                fired_if("conflict in a run", self.finish.is_some_and(|known| known.2 != event.status));
                settled || earliest(&mut self.finish, (event.time, event.tie, event.status))
            }
        }
    }

    /// Time of its finish.
    pub fn finished(&self) -> Option<Ms> {
        self.finish.map(|finish| finish.0)
    }

    /// Counted in the gauge.
    pub fn is_queued(&self, now: Ms, settings: &Settings) -> bool {
        let Some(queued) = self.queued else { return false };
        let waits = self.started.is_none() && self.finish.is_none();
        fired_if("run dispatched by its job", waits && self.dispatched);
        let in_time = now <= queued + settings.queue_ttl_ms + settings.late_grace_ms;
        fired_if("run queue time-out", waits && !self.dispatched && !in_time);
        fired_if("run queued", waits && !self.dispatched && in_time);
        waits && !self.dispatched && in_time
    }

    /// Duration; taken means settled.
    pub fn duration(&self, now: Ms, settings: &Settings) -> Taken {
        let (finish, _, _) = self.finish?;
        let in_order = self.queued.zip(self.started).is_some_and(|(q, s)| q <= s && s <= finish);
        if !in_order && now <= finish + SKEW + settings.late_grace_ms {
            return None;
        }
        let started = self.started.filter(|started| *started <= finish + SKEW);
        fired(if in_order { "run duration at once" } else { "run duration graced" });
        fired_if("run duration negative counts 0", started.is_some_and(|started| started > finish));
        fired_if("run duration without a start", started.is_none());
        Some(started.map(|started| (finish - started).max(0)))
    }
}
