//! I1 for a punctual log: every series as a function of the set of events and the final stream time.

use super::{
    Key, Ms,
    facts::{Attempt, Run},
    fired::fired_if,
    shown::Shown,
};
use dataflows::{
    event::{AgentEvent, Delivery, DeliveryEvent, Event, Id, Kind, RunEvent},
    series::Pair,
    settings::Settings,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is shown at `now` when all of `events` were read in time; how often each was read is nothing.
pub fn shown(events: &[Event], now: Ms, settings: &Settings) -> Shown {
    let mut shown = Shown::default();
    let runs: Vec<&RunEvent> =
        events.iter().filter_map(|e| if let Event::Run(e) = e { Some(e) } else { None }).collect();
    let agents = events.iter().filter_map(|e| if let Event::Agent(e) = e { Some(e) } else { None });
    let deliveries = events.iter().filter_map(|e| if let Event::Delivery(e) = e { Some(e) } else { None });
    jobs_and_runs(&runs, now, settings, &mut shown);
    shown.agents_online = online(agents, now, settings);
    count(deliveries, &mut shown);
    shown
}

fn pair(event: &RunEvent) -> Pair {
    Pair { project: event.project, pipeline: event.pipeline }
}

/// The attempts' facts; a requeue of n makes n + 1 known.
pub fn attempts(events: &[&RunEvent]) -> BTreeMap<Key, Attempt> {
    let mut attempts: BTreeMap<Key, Attempt> = BTreeMap::new();
    for event in events.iter().filter(|event| event.job != 0) {
        attempts.entry((event.run, event.job, event.attempt)).or_default().learn(event, false);
        if event.kind == Kind::JobRequeued {
            let next = attempts.entry((event.run, event.job, event.attempt + 1)).or_default();
            next.virtual_queued = Some(next.virtual_queued.map_or(event.time, |known| known.min(event.time)));
        }
    }
    attempts
}

fn jobs_and_runs(events: &[&RunEvent], now: Ms, settings: &Settings, shown: &mut Shown) {
    let attempts = attempts(events);
    let pairs: BTreeMap<Id, Pair> = events.iter().map(|event| (event.run, pair(event))).collect();
    let mut runs: BTreeMap<Id, Run> = BTreeMap::new();
    for event in events {
        let run = runs.entry(event.run).or_default();
        if event.job == 0 {
            run.learn(event, false);
        }
        if matches!(event.kind, Kind::RunQueued | Kind::JobQueued) {
            shown.announce(event);
        }
    }
    for ((run, _, _), attempt) in &attempts {
        let run = (runs.entry(*run).or_default(), pairs.get(run));
        run.0.dispatched |= attempt.evidence;
        if let (true, Some(pair)) = (attempt.evidence, run.1) {
            *shown.scheduled.entry(*pair).or_default() += 1;
        }
        one_attempt(attempt, run.0.finished(), now, settings, shown);
    }
    for run in runs.values() {
        shown.runs_queued += i64::from(run.is_queued(now, settings));
        if let (Some(Some(span)), Some(finish)) = (run.duration(now, settings), run.finish) {
            shown.run_durations.push((finish.2, span));
        }
    }
}

fn one_attempt(attempt: &Attempt, finish: Option<Ms>, now: Ms, settings: &Settings, shown: &mut Shown) {
    shown.waits.extend(attempt.wait(now, settings).flatten());
    if let (Some(Some(span)), Some((_, _, Some(status)))) = (attempt.duration(now, settings), attempt.end) {
        shown.durations.push((status, span));
    }
    let lost = attempt.is_lost(finish, now, settings);
    shown.lost += u64::from(lost);
    fired_if("lost, then a late finish", lost && attempt.end.is_some());
    fired_if("lost, then a later fact", lost && attempt.latest_lost(finish, now, settings).is_none());
    fired_if("lost while queued", lost && !attempt.evidence);
    fired_if("lost while dispatched", lost && attempt.evidence && attempt.end.is_none());
    let dispatched_by = [attempt.scheduled, attempt.started];
    fired_if("dispatch by scheduled", attempt.scheduled.is_some());
    fired_if("dispatch by started alone", attempt.scheduled.is_none() && attempt.started.is_some());
    fired_if("dispatch by finished alone", attempt.evidence && dispatched_by == [None, None]);
    fired_if("own finish after the run's", finish.zip(attempt.end).is_some_and(|(run, own)| own.0 > run));
    gauges(attempt, finish, now, settings, shown);
}

/// Adds one attempt to the gauges.
pub fn gauges(attempt: &Attempt, finish: Option<Ms>, now: Ms, settings: &Settings, shown: &mut Shown) {
    if !attempt.is_open(finish, now, settings) {
        return;
    }
    shown.pending += 1;
    shown.running += i64::from(attempt.evidence);
    if let Some(since) = attempt.dispatchable_since() {
        shown.dispatchable += 1;
        shown.oldest = Some(shown.oldest.map_or(since, |oldest| oldest.min(since)));
    }
}

fn online<'a>(events: impl Iterator<Item = &'a AgentEvent>, now: Ms, settings: &Settings) -> i64 {
    let mut agents: BTreeMap<Id, (Option<Ms>, Option<Ms>)> = BTreeMap::new();
    for event in events {
        let (up, down) = agents.entry(event.agent).or_default();
        let side = if event.kind == Kind::AgentDisconnected { down } else { up };
        *side = (*side).max(Some(event.time));
    }
    let online = agents.values().filter(|(up, down)| is_online(*up, *down, now, settings));
    i64::try_from(online.count()).unwrap_or(i64::MAX)
}

/// An agent's session is live.
pub fn is_online(up: Option<Ms>, down: Option<Ms>, now: Ms, settings: &Settings) -> bool {
    let in_time = up.is_some_and(|up| now <= up + settings.agent_ttl_ms);
    fired_if("agent online", up > down && in_time);
    fired_if("agent disconnected", up.is_some() && up <= down && in_time);
    fired_if("agent expired", up > down && !in_time);
    up > down && in_time
}

fn count<'a>(events: impl Iterator<Item = &'a DeliveryEvent>, shown: &mut Shown) {
    let mut seen = BTreeSet::new();
    for event in events {
        if seen.insert(event.key) {
            deliver(event.what, shown);
        }
    }
}

/// Adds one delivery.
pub fn deliver(what: Delivery, shown: &mut Shown) {
    match what {
        Delivery::Archived(result) => *shown.archives.entry(result).or_default() += 1,
        Delivery::PartitionDropped => shown.partitions += 1,
        Delivery::Webhook { provider, outcome } => *shown.webhooks.entry((provider, outcome)).or_default() += 1,
    }
}
