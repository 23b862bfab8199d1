//! What a fleet must be, on its own events: deterministic, in order, valid, and with everything in it that happens
//! in life.

use super::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn options(jobs: u64) -> FleetOptions {
    FleetOptions { max_jobs: Some(jobs), ..FleetOptions::default() }
}

fn events(options: FleetOptions) -> Vec<(Millis, Value)> {
    let parse = |record: Record| (record.time_ms, serde_json::from_slice(&record.value).unwrap());
    Fleet::new(options).map(parse).collect()
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event["data"][field].as_str().unwrap_or_default()
}

#[test]
fn the_seed_decides_everything() {
    let fleet = |seed| Fleet::new(FleetOptions { seed, ..options(500) });
    assert!(fleet(1).eq(fleet(1)));
    assert!(!fleet(1).eq(fleet(2)));
}

#[test]
fn events_come_in_order_of_time_with_ids_of_their_own_and_keys() {
    let mut ids = BTreeSet::new();
    let mut last = 0;
    for record in Fleet::new(options(2_000)) {
        assert!(record.time_ms >= last);
        last = record.time_ms;
        let event: Value = serde_json::from_slice(&record.value).unwrap();
        let time: jiff::Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        assert_eq!(time.as_millisecond(), record.time_ms);
        assert!(ids.insert(event["id"].as_str().unwrap().to_owned()));
        let owner = event["data"].get("run_id").or(event["data"].get("agent_id"));
        if let Some(owner) = owner {
            assert_eq!(owner.as_str().unwrap().as_bytes(), record.key);
        }
        assert!(record.value.len() < 800, "{}", record.value.len());
    }
}

#[test]
fn it_makes_exactly_the_jobs_that_were_asked_for() {
    for jobs in [1, 7, 1_000] {
        let queued = events(options(jobs));
        let ids: BTreeSet<_> =
            queued.iter().map(|(_, event)| text(event, "job_id")).filter(|id| !id.is_empty()).collect();
        assert_eq!(ids.len() as u64, jobs);
    }
}

#[test]
fn all_that_happens_in_life_happens_here() {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for (_, event) in events(options(25_000)) {
        let kind = event["type"].as_str().unwrap().strip_prefix("io.gocdnext.").unwrap().to_owned();
        for (field, name) in
            [("status", "status"), ("result", "result"), ("outcome", "outcome"), ("provider", "provider")]
        {
            if let Some(value) = event["data"][field].as_str() {
                *seen.entry(format!("{kind} {name}={value}")).or_default() += 1;
            }
        }
        if let Some(dispatchable) = event["data"]["dispatchable"].as_bool() {
            *seen.entry(format!("{kind} dispatchable={dispatchable}")).or_default() += 1;
        }
        *seen.entry(kind).or_default() += 1;
    }
    let count = |name: &str| seen.get(name).copied().unwrap_or_default();
    for kind in dataflows::event::Kind::ALL {
        assert!(count(kind.name()) > 0, "no {}: {seen:#?}", kind.name());
    }
    for what in [
        "job.finished status=success",
        "job.finished status=failed",
        "job.finished status=canceled",
        "job.finished status=skipped",
        "run.finished status=success",
        "run.finished status=failed",
        "run.finished status=canceled",
        "log.archived result=success",
        "log.archived result=failed",
        "log.archived result=skipped",
        "webhook.received outcome=accepted",
        "webhook.received outcome=ignored",
        "webhook.received outcome=rejected",
        "webhook.received outcome=error",
        "webhook.received provider=github",
        "webhook.received provider=gitlab",
        "job.queued dispatchable=true",
        "job.queued dispatchable=false",
    ] {
        assert!(count(what) > 0, "no {what}: {seen:#?}");
    }
    let attempts = count("job.queued");
    assert!(count("job.finished") < attempts, "none is lost");
    assert!(count("agent.disconnected") < count("agent.connected") - 40, "none crashes");
    assert!(count("run.finished") < count("run.queued"), "no run is lost");
}

#[test]
fn jobs_wait_when_agents_are_busy() {
    let mut queued = BTreeMap::new();
    let mut waits = Vec::new();
    for (time, event) in events(options(10_000)) {
        let job = text(&event, "job_id").to_owned();
        match event["type"].as_str().unwrap() {
            "io.gocdnext.job.queued" if event["data"]["dispatchable"] == true => drop(queued.insert(job, time)),
            "io.gocdnext.job.ready" => drop(queued.insert(job, time)),
            "io.gocdnext.job.scheduled" => waits.extend(queued.remove(&job).map(|since| time - since)),
            _ => {}
        }
    }
    waits.sort_unstable();
    assert!(waits.len() > 8_000);
    assert!(waits[waits.len() / 4] < 1_000, "agents are free at night: {}", waits[waits.len() / 4]);
    assert!(waits[waits.len() * 99 / 100] > 10_000, "and busy at noon: {}", waits[waits.len() * 99 / 100]);
}

#[test]
fn a_small_fleet_ends_too() {
    let tiny = FleetOptions { agents: 1, tenants: 1, pipelines: 1, speed: 100.0, ..options(300) };
    assert!(Fleet::new(tiny).count() > 1_500);
}
