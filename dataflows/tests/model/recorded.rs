//! I1 for any log, and I3: given the recorded epochs and stream times, what is shown at the end of each.
//!
//! What is taken once is frozen; what has ended is remembered without its facts; what is old and unknown is late.

use super::{
    Key, Ms,
    facts::{Attempt, Run, is_evidence, outcome},
    fired::{fired, fired_if},
    punctual::{deliver, gauges, is_online},
    shown::Shown,
};
use dataflows::{
    event::{AgentEvent, DeliveryEvent, Event, Id, Kind, RunEvent, Status},
    series::Pair,
    settings::Settings,
};
use std::collections::{BTreeMap, BTreeSet};

/// An attempt kept in full, and what of it is frozen.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each thing that is counted once")]
struct Kept {
    facts: Attempt,
    dispatched: bool,
    waited: bool,
    settled: bool,
    lost: bool,
}

/// An attempt that has ended and is remembered.
#[derive(Debug)]
struct Ended {
    horizon: Ms,
    outcome: Option<Status>,
    dispatched: bool,
}

/// A run kept in full.
#[derive(Debug, Default)]
struct KeptRun {
    facts: Run,
    latest: Ms,
    settled: bool,
}

/// A run that is remembered.
#[derive(Debug)]
struct EndedRun {
    horizon: Ms,
    finish: Option<(Ms, u64, Status)>,
}

/// See the module.
#[derive(Debug)]
pub struct Recorded<'a> {
    settings: &'a Settings,
    /// Stream time of the epoch before; the smallest of all: none.
    before: Ms,
    attempts: BTreeMap<Key, Kept>,
    ended: BTreeMap<Key, Ended>,
    runs: BTreeMap<Id, KeptRun>,
    ended_runs: BTreeMap<Id, EndedRun>,
    agents: BTreeMap<Id, (Option<Ms>, Option<Ms>)>,
    deliveries: BTreeMap<u128, Ms>,
    /// Only to tell that something was seen again after it had been forgotten.
    forgotten: (BTreeSet<Key>, BTreeSet<Id>, BTreeSet<u128>),
    pairs: BTreeMap<Id, Pair>,
    counted: Shown,
}

/// Horizons are kept in whole seconds.
fn whole_second(time: Ms) -> Ms {
    time.saturating_add(999).div_euclid(1_000).saturating_mul(1_000)
}

impl<'a> Recorded<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            before: Ms::MIN,
            attempts: BTreeMap::new(),
            ended: BTreeMap::new(),
            runs: BTreeMap::new(),
            ended_runs: BTreeMap::new(),
            agents: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            forgotten: <_>::default(),
            pairs: BTreeMap::new(),
            counted: Shown::default(),
        }
    }

    /// Applies an epoch's events, in whatever order, and gives what is shown at its end.
    pub fn epoch(&mut self, events: &[Event], now: Ms) -> Shown {
        self.forget();
        let (mut jobs, mut runs) = (BTreeMap::<Key, Vec<RunEvent>>::new(), BTreeMap::<Id, Vec<RunEvent>>::new());
        let mut agents = BTreeMap::<Id, Vec<AgentEvent>>::new();
        let mut deliveries = BTreeMap::<u128, Vec<DeliveryEvent>>::new();
        for event in events {
            match *event {
                Event::Run(e) if e.job != 0 => jobs.entry((e.run, e.job, e.attempt)).or_default().push(e),
                Event::Run(e) => runs.entry(e.run).or_default().push(e),
                Event::Agent(e) => agents.entry(e.agent).or_default().push(e),
                Event::Delivery(e) => deliveries.entry(e.key).or_default().push(e),
            }
        }
        // a requeue makes the next attempt known: in ascending order, found anew after each
        while let Some((key, events)) = jobs.pop_first() {
            self.apply_attempt(key, &events);
        }
        for (run, events) in &runs {
            self.apply_run(*run, events);
        }
        for (agent, events) in &agents {
            self.apply_agent(*agent, events);
        }
        for (key, events) in &deliveries {
            self.apply_delivery(*key, events, now);
        }
        let shown = self.close(now);
        self.before = now;
        shown
    }

    fn forget(&mut self) {
        let oldest = self.before.saturating_sub(self.settings.dedup_window_ms + self.settings.late_grace_ms);
        let over = |horizon: Ms| oldest > whole_second(horizon);
        let (attempts, runs, deliveries) = &mut self.forgotten;
        attempts.extend(self.ended.extract_if(.., |_, ended| over(ended.horizon)).map(|(key, _)| key));
        runs.extend(self.ended_runs.extract_if(.., |_, ended| over(ended.horizon)).map(|(run, _)| run));
        deliveries.extend(self.deliveries.extract_if(.., |_, horizon| over(*horizon)).map(|(key, _)| key));
    }

    /// Old and unknown: counted, not applied. One event of the epoch that is not old makes it known to all others.
    fn is_late(&mut self, known: bool, times: &[Ms], what: &'static str) -> bool {
        let oldest = self.before.saturating_sub(self.settings.dedup_window_ms);
        let old = times.iter().filter(|time| **time < oldest).count();
        let late = !known && old == times.len();
        fired_if("known by another event of the epoch", !known && !late && old > 0);
        if late {
            fired(what);
            self.counted.late += old as u64;
        }
        late
    }

    fn see(&mut self, event: &RunEvent) {
        let pair = Pair { project: event.project, pipeline: event.pipeline };
        self.pairs.insert(event.run, pair);
        if matches!(event.kind, Kind::RunQueued | Kind::JobQueued) {
            self.counted.announce(event);
        }
    }

    /// A run is kept from the first event of it or of its jobs on, and again while a new attempt of it is.
    fn keep_run(&mut self, run: Id, latest: Ms) {
        let ended = self.ended_runs.get(&run);
        let anew = ended.is_none() && !self.runs.contains_key(&run) && self.forgotten.1.contains(&run);
        fired_if("run forgotten, seen again", anew);
        // of a retired run it is known that it finished, not when
        let finish = ended.and_then(|ended| ended.finish).map(|(_, tie, status)| (Ms::MIN, tie, status));
        let facts = Run { finish, ..Run::default() };
        let new = KeptRun { facts, latest, settled: ended.is_some() };
        let kept = self.runs.entry(run).or_insert(new);
        kept.latest = kept.latest.max(latest);
    }

    fn apply_attempt(&mut self, key: Key, events: &[RunEvent]) {
        let known = self.attempts.contains_key(&key) || self.ended.contains_key(&key);
        if self.is_late(known, &events.iter().map(|e| e.time).collect::<Vec<_>>(), "late attempt") {
            return;
        }
        fired_if("attempt forgotten, seen again", !known && self.forgotten.0.contains(&key));
        for event in events {
            self.see(event);
            if self.ended.contains_key(&key) {
                self.repeat_attempt(key, event);
                continue;
            }
            self.keep_run(key.0, event.time);
            let kept = self.attempts.entry(key).or_default();
            let settled = kept.settled;
            let repeated = kept.facts.learn(event, settled);
            fired_if("duplicate of a fact", repeated);
            if event.kind == Kind::JobRequeued && !settled {
                self.requeue((key.0, key.1, key.2 + 1), event.time);
            }
        }
    }

    fn requeue(&mut self, next: Key, time: Ms) {
        if !self.ended.contains_key(&next) {
            let kept = self.attempts.entry(next).or_default();
            kept.facts.virtual_queued = Some(kept.facts.virtual_queued.map_or(time, |known| known.min(time)));
        }
    }

    fn repeat_attempt(&mut self, key: Key, event: &RunEvent) {
        let Some(ended) = self.ended.get_mut(&key) else { return };
        let is_end = matches!(event.kind, Kind::JobFinished | Kind::JobRequeued);
        let conflict = is_end && outcome(event) != ended.outcome;
        let first_evidence = is_evidence(event) && !ended.dispatched;
        if first_evidence {
            fired("dispatch after retirement");
            ended.dispatched = true;
            self.dispatch(key.0);
        }
        fired(if conflict { "conflict after settling" } else { "duplicate of something retired" });
    }

    fn dispatch(&mut self, run: Id) {
        let pair = self.pairs.get(&run).copied().unwrap_or_default();
        *self.counted.scheduled.entry(pair).or_default() += 1;
        if let Some(kept) = self.runs.get_mut(&run) {
            kept.facts.dispatched = true;
        }
    }

    fn apply_run(&mut self, run: Id, events: &[RunEvent]) {
        let known = self.runs.contains_key(&run) || self.ended_runs.contains_key(&run);
        if self.is_late(known, &events.iter().map(|e| e.time).collect::<Vec<_>>(), "late run") {
            return;
        }
        for event in events {
            self.see(event);
            if !self.ended_runs.contains_key(&run) {
                self.keep_run(run, event.time);
            }
            if let Some(kept) = self.runs.get_mut(&run) {
                kept.facts.learn(event, kept.settled);
            }
        }
    }

    fn apply_agent(&mut self, agent: Id, events: &[AgentEvent]) {
        let known = self.agents.get(&agent).copied();
        if self.is_late(known.is_some(), &events.iter().map(|e| e.time).collect::<Vec<_>>(), "late agent") {
            return;
        }
        let online = |sides: (Option<Ms>, Option<Ms>)| is_online(sides.0, sides.1, self.before, self.settings);
        let was_offline = known.is_some_and(|sides| !online(sides));
        let (up, down) = self.agents.entry(agent).or_default();
        for event in events {
            let side = if event.kind == Kind::AgentDisconnected { &mut *down } else { &mut *up };
            *side = (*side).max(Some(event.time));
        }
        let sides = (*up, *down);
        fired_if("agent revived", was_offline && online(sides));
    }

    fn apply_delivery(&mut self, key: u128, events: &[DeliveryEvent], now: Ms) {
        let known = self.deliveries.get(&key).copied();
        if self.is_late(known.is_some(), &events.iter().map(|e| e.time).collect::<Vec<_>>(), "late delivery") {
            return;
        }
        fired_if("delivery forgotten, seen again", known.is_none() && self.forgotten.2.contains(&key));
        let latest = events.iter().map(|e| e.time).max().unwrap_or(Ms::MIN);
        let repeated = events.len() - usize::from(known.is_none());
        fired_if("duplicate delivery", known.is_some());
        fired_if("duplicate delivery within an epoch", known.is_none() && repeated > 0);
        if let (None, Some(first)) = (known, events.iter().min_by_key(|e| (e.time, e.what))) {
            deliver(first.what, &mut self.counted);
        }
        self.deliveries.entry(key).or_insert(now.max(latest));
    }

    fn finish_of(&self, run: Id) -> Option<Ms> {
        self.runs.get(&run).and_then(|run| run.facts.finished())
    }

    fn close(&mut self, now: Ms) -> Shown {
        let mut attempts = std::mem::take(&mut self.attempts);
        for (key, kept) in &mut attempts {
            self.count_attempt(*key, kept, now);
        }
        let mut shown = self.counted.clone();
        for (key, kept) in &attempts {
            let finish = self.finish_of(key.0);
            fired_if(
                "opened after the run's retired finish",
                finish.is_some() && self.ended_runs.contains_key(&key.0),
            );
            gauges(&kept.facts, finish, now, self.settings, &mut shown);
        }
        attempts.retain(|key, kept| self.keep_attempt(*key, kept, now));
        self.attempts = attempts;
        self.close_runs(now, &mut shown);
        self.close_agents(now, &mut shown);
        shown
    }

    fn count_attempt(&mut self, key: Key, kept: &mut Kept, now: Ms) {
        let finish = self.finish_of(key.0);
        if kept.facts.evidence && !kept.dispatched {
            kept.dispatched = true;
            self.dispatch(key.0);
        }
        if !kept.waited
            && let Some(taken) = kept.facts.wait(now, self.settings)
        {
            kept.waited = true;
            self.counted.waits.extend(taken);
        }
        if !kept.settled
            && let Some(taken) = kept.facts.duration(now, self.settings)
        {
            kept.settled = true;
            let status = kept.facts.end.and_then(|end| end.2);
            self.counted.durations.extend(status.zip(taken));
        }
        if !kept.lost && kept.facts.is_lost(finish, now, self.settings) {
            kept.lost = true;
            self.counted.lost += 1;
        }
    }

    /// False: retired or forgotten.
    fn keep_attempt(&mut self, key: Key, kept: &Kept, now: Ms) -> bool {
        let finish = self.finish_of(key.0);
        let undecided = !kept.lost && kept.facts.losses(finish, self.settings).values().any(|due| now <= *due);
        if kept.settled {
            let outcome = kept.facts.end.and_then(|end| end.2);
            if !undecided {
                let latest = kept.facts.times().last().copied().max(kept.facts.end.map(|end| end.0));
                let horizon = latest.unwrap_or(now).max(now);
                self.ended.insert(key, Ended { horizon, outcome, dispatched: kept.dispatched });
            }
            return undecided;
        }
        let lost = kept.facts.latest_lost(finish, now, self.settings);
        let over = if lost.is_some() { lost.max(finish) } else { finish };
        let Some(over) = over.filter(|_| kept.facts.end.is_none()) else { return true };
        let latest = kept.facts.times().last().copied().unwrap_or(over);
        let forget = now > over.max(latest) + self.settings.dedup_window_ms + self.settings.late_grace_ms;
        fired_if("lost attempt forgotten", forget);
        !forget
    }

    fn close_runs(&mut self, now: Ms, shown: &mut Shown) {
        let attempts = &self.attempts;
        let (counted, ended, settings) = (&mut self.counted, &mut self.ended_runs, self.settings);
        self.runs.retain(|id, run| {
            if !run.settled
                && let Some(taken) = run.facts.duration(now, settings)
            {
                run.settled = true;
                let sample = run.facts.finish.map(|finish| finish.2).zip(taken);
                counted.run_durations.extend(sample);
                shown.run_durations.extend(sample);
            }
            shown.runs_queued += i64::from(run.facts.is_queued(now, settings));
            let kept = attempts.range((*id, 0, 0)..=(*id, u128::MAX, u32::MAX)).next().is_some();
            let silence = settings.dedup_window_ms.max(settings.queue_ttl_ms) + settings.late_grace_ms;
            let forgotten = run.facts.finish.is_none() && now > run.latest.saturating_add(silence) && !kept;
            fired_if("run forgotten without a finish", forgotten);
            let retired = !kept && run.settled && run.facts.finished().is_some_and(|finish| now > finish);
            if retired {
                let horizon = run.latest.max(now).max(ended.get(id).map_or(now, |ended| ended.horizon));
                ended.insert(*id, EndedRun { horizon, finish: run.facts.finish });
            }
            !retired && !forgotten
        });
    }

    fn close_agents(&mut self, now: Ms, shown: &mut Shown) {
        let settings = self.settings;
        self.agents.retain(|_, (up, down)| {
            let online = is_online(*up, *down, now, settings);
            shown.agents_online += i64::from(online);
            let latest = up.max(&mut *down).unwrap_or(Ms::MIN);
            let forget = !online && now > latest.saturating_add(settings.dedup_window_ms);
            fired_if("agent forgotten", forget);
            !forget
        });
    }
}
