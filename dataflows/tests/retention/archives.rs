//! The reference for archives (docs/rules.md, "Archives"): what is asked for, and what the ledger knows, as functions of
//! the set of events, the policies and the final stream time. It shares no code with the machines.

use crate::model::{
    Key, Ms, SKEW,
    facts::{self, Attempt},
    fired::fired_if,
    punctual,
};
use dataflows::{
    event::{Id, Kind, RunEvent, Status},
    retention::{Archive, Fate, Fates, LedgerRow, Policies},
    settings::Settings,
};
use std::collections::{BTreeMap, BTreeSet};

/// An archive that was asked for, or given up: job, run, attempt, end, try, and whether it was given up.
pub type Asked = (Id, Id, u32, Ms, u32, bool);

/// What was asked for, with the time on which it fell due.
pub type Asks = BTreeMap<Asked, Ms>;

/// A try for one end: its number, whether it was given up instead, when it fell due, what became of it.
type Try = (u32, bool, Ms, Option<Fate>);

/// The ledger's rows, joined.
pub type Ledger = BTreeMap<(Id, Id, u32), LedgerRow>;

/// The set, by attempt.
struct Known {
    attempts: BTreeMap<Key, Attempt>,
    finishes: BTreeMap<Id, Ms>,
    /// Earliest evidence.
    dispatched: BTreeMap<Key, Ms>,
    /// Time, and whether nothing more is to be done.
    outcomes: BTreeMap<Key, BTreeSet<(Ms, bool)>>,
    projects: BTreeMap<Id, Id>,
}

impl Known {
    fn of(events: &[RunEvent]) -> Self {
        let jobs: Vec<&RunEvent> = events.iter().filter(|e| e.kind != Kind::LogArchived).collect();
        let mut known = Self {
            attempts: punctual::attempts(&jobs),
            finishes: BTreeMap::new(),
            dispatched: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            projects: events.iter().map(|e| (e.run, e.project)).collect(),
        };
        for event in events {
            let key = (event.run, event.job, event.attempt);
            if event.kind == Kind::RunFinished {
                known.finishes.insert(event.run, event.time);
            } else if event.kind == Kind::LogArchived {
                let done = matches!(event.status, Status::Success | Status::Skipped);
                known.outcomes.entry(key).or_default().insert((event.time, done));
            } else if facts::is_evidence(event) {
                let first = known.dispatched.entry(key).or_insert(event.time);
                *first = event.time.min(*first);
            }
        }
        known
    }

    /// The ends that are told of by `now`.
    fn ends(&self, key: &Key, now: Ms, settings: &Settings) -> BTreeSet<Ms> {
        let Some(attempt) = self.attempts.get(key) else { return BTreeSet::new() };
        let finish = self.finishes.get(&key.0).copied();
        let own = attempt.end.map(|end| end.0).filter(|_| attempt.duration(now, settings).is_some());
        let running = attempt.scheduled.into_iter().chain(attempt.started).min();
        let lost = attempt.losses(finish, settings).into_iter();
        let lost = lost.filter(|(fact, due)| now > *due && running.is_some_and(|running| running <= *fact));
        let lost: Vec<Ms> = lost.map(|(_, due)| due - settings.late_grace_ms).collect();
        let closed = finish.filter(|finish| {
            let ended = attempt.end.is_some_and(|end| end.0 <= finish + SKEW);
            now > finish + SKEW + settings.late_grace_ms && !ended
        });
        fired_if("end: its own", own.is_some());
        fired_if("end: reclaimed", own.is_some() && attempt.end.is_some_and(|end| end.2.is_none()));
        fired_if("end: lost", !lost.is_empty());
        fired_if("end: lost, then its own", !lost.is_empty() && own.is_some());
        fired_if("end: closed by its run's", closed.is_some());
        own.into_iter().chain(lost).chain(closed).collect()
    }
}

/// What the ledger knows at `now`.
pub fn ledger(events: &[RunEvent], now: Ms, settings: &Settings) -> Ledger {
    let known = Known::of(events);
    let keys: BTreeSet<&Key> = known.attempts.keys().chain(known.outcomes.keys()).collect();
    let row = |key: &Key| {
        let outcomes = known.outcomes.get(key).into_iter().flatten();
        let results = events.iter().filter(|e| e.kind == Kind::LogArchived && (e.run, e.job, e.attempt) == *key);
        let archive = results.map(|e| match e.status {
            Status::Success => Archive::Success,
            Status::Skipped => Archive::Skipped,
            _ => Archive::Failed,
        });
        fired_if("row: an outcome of an unknown attempt", !known.attempts.contains_key(key));
        LedgerRow {
            job: key.1,
            run: key.0,
            attempt: key.2,
            project: known.projects.get(&key.0).copied().unwrap_or_default(),
            dispatched: known.dispatched.contains_key(key),
            ended_at: known.ends(key, now, settings).last().copied(),
            archive: archive.max().unwrap_or_default(),
            archived_at: outcomes.filter(|(_, done)| *done).map(|(time, _)| *time).max(),
        }
    };
    keys.into_iter().map(|key| ((key.1, key.0, key.2), row(key))).collect()
}

/// What was asked for by `now`, under policies that never change, and how many tries came to what.
pub fn asks(events: &[RunEvent], now: Ms, policies: &Policies, settings: &Settings) -> (Asks, Fates) {
    let known = Known::of(events);
    let (mut asks, mut fates) = (Asks::new(), Fates::default());
    for (key, dispatched) in &known.dispatched {
        let archives = policies.of(known.projects[&key.0]).is_some_and(|policy| policy.archive);
        let ends: Vec<Ms> = known.ends(key, now, settings).into_iter().collect();
        fired_if("its project does not archive", !archives && !ends.is_empty());
        if archives {
            let outcomes = known.outcomes.get(key).cloned().unwrap_or_default();
            for (index, end) in ends.iter().enumerate() {
                let next = ends.get(index + 1).copied();
                for (try_, given_up, due, fate) in tries(*end, next, *dispatched, &outcomes, now, settings) {
                    asks.insert((key.1, key.0, key.2, *end, try_, given_up), due);
                    if let Some(fate) = fate {
                        fates[fate as usize] += 1;
                    }
                }
            }
        }
    }
    (asks, fates)
}

/// The tries for one end, up to `now`.
fn tries(
    end: Ms,
    next: Option<Ms>,
    dispatched: Ms,
    outcomes: &BTreeSet<(Ms, bool)>,
    now: Ms,
    settings: &Settings,
) -> Vec<Try> {
    let rules = &settings.retention;
    let covered = outcomes.iter().find(|(time, done)| *done && *time >= end - SKEW).map(|(time, _)| *time);
    let taken_over = next.map(|next| next - SKEW);
    let stop = covered.into_iter().chain(taken_over).min().unwrap_or(Ms::MAX);
    let mut due = end.max(dispatched) + rules.archive_grace_ms;
    fired_if("due since a dispatch after the end", dispatched > end);
    let passed = |moment: Ms| now > moment.saturating_add(2 * SKEW + settings.late_grace_ms);
    let mut tries: Vec<Try> = vec![];
    for try_ in 1.. {
        let early = outcomes.iter().any(|(time, done)| *done && *time < end - SKEW);
        fired_if("an archive from before the end does not cover it", early && covered.is_none());
        if due >= stop {
            fired_if("covered before it was asked for", covered == Some(stop) && tries.is_empty());
            fired_if("covered after a try", covered == Some(stop) && !tries.is_empty());
            fired_if("a later end takes over", taken_over == Some(stop) && tries.is_empty());
            fired_if("a later end takes over after a try", taken_over == Some(stop) && !tries.is_empty());
            if let Some((.., fate)) = tries.last_mut().filter(|_| passed(stop)) {
                *fate = Some(if covered == Some(stop) { Fate::Executed } else { Fate::Withdrawn });
            }
            break;
        }
        if !passed(due) {
            fired_if("not yet asked for", tries.is_empty());
            break;
        }
        if try_ > u32::try_from(rules.archive_tries).unwrap_or(u32::MAX) {
            fired_if("given up", true);
            tries.push((try_ - 1, true, due, None));
            break;
        }
        tries.push((try_, false, due, None));
        let silence = due + rules.archive_silence_ms;
        let failed = outcomes.iter().find(|(time, done)| !done && due <= *time && *time <= silence);
        fired_if("asked for", try_ == 1);
        fired_if("asked again after a failure", failed.is_some());
        fired_if("asked again after silence", failed.is_none() && covered.is_none());
        let doubled = (1..try_).fold(rules.archive_backoff_ms, |pause, _| pause * 2);
        fired_if("the longest pause", failed.is_some() && doubled > rules.archive_backoff_max_ms);
        let pause = doubled.min(rules.archive_backoff_max_ms).max(settings.late_grace_ms);
        due = failed.map_or(silence, |(time, _)| time + pause);
        if due < stop && passed(due) {
            let fate = if failed.is_some() { Fate::Failed } else { Fate::Unanswered };
            tries.last_mut().unwrap().3 = Some(fate);
        }
    }
    tries
}

/// Every rule that a test run must meet at least once.
pub const RULES: &[&str] = &[
    "end: its own",
    "end: reclaimed",
    "end: lost",
    "end: lost, then its own",
    "end: closed by its run's",
    "row: an outcome of an unknown attempt",
    "its project does not archive",
    "due since a dispatch after the end",
    "an archive from before the end does not cover it",
    "covered before it was asked for",
    "covered after a try",
    "a later end takes over",
    "a later end takes over after a try",
    "not yet asked for",
    "asked for",
    "asked again after a failure",
    "asked again after silence",
    "the longest pause",
    "given up",
    "went on from what was stored",
    "a sweep made garbage of older state",
    "held, then asked for when its project archives",
];
