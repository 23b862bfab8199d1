//! Each alert, fired once by the real program and a real Prometheus.
//!
//! The rules are the real ones; only their times are shortened, by the same factor, so that a test can wait for them. Two
//! instances live on one broker: the first meets all that can go wrong with jobs, archives and bounds, the second is
//! another installation beside it whose log database is away. Where that one was, others then start and are killed.

use crate::{
    events::Events,
    files::{alerts, prometheus as file, text, yaml},
    http::free_address,
    kafka::eventually,
    life::{Broker, Life, REFUSED, log_database, now_ms},
    locks,
    prometheus::Prometheus,
    promql::{duration, with_ranges, written},
    skipped,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

const FASTER: u32 = 720;
/// At one scrape a second a rate needs some.
const SHORTEST_RANGE: Duration = Duration::from_secs(10);
/// A start, a scrape and an end take seconds, and they must come several times.
const RANGE_OF_RESTARTS: Duration = Duration::from_mins(1);
/// Longer than any of it takes on a busy machine; the last alert takes more than a minute by its nature.
const PATIENCE: Duration = Duration::from_mins(4);

/// A rule file with all times shortened.
fn faster(name: &str, folder: &Path) -> PathBuf {
    let mut rules = yaml(&file(name));
    for group in rules["groups"].as_array_mut().unwrap() {
        group["interval"] = json!("1s");
        for rule in group["rules"].as_array_mut().unwrap() {
            let expression = text(&rule["expr"]);
            let shortest = if expression.starts_with("changes(") { RANGE_OF_RESTARTS } else { SHORTEST_RANGE };
            let ranges = with_ranges(&expression, |range| (range / FASTER).max(shortest));
            rule["expr"] = json!(ranges);
            if let Some(pause) = rule.get("for").and_then(Value::as_str).map(duration) {
                rule["for"] = json!(written((pause / FASTER).max(Duration::from_secs(1))));
            }
        }
    }
    let path = folder.join(name);
    fs::write(&path, rules.to_string()).unwrap();
    path
}

/// The alerts that have fired since the start.
fn fired(prometheus: &Prometheus) -> BTreeSet<String> {
    let query = "count by (alertname) (last_over_time(ALERTS{alertstate=\"firing\"}[1h]))";
    prometheus.query(query).unwrap_or_default().iter().map(|(labels, _)| text(&labels["alertname"])).collect()
}

/// Waits until all of these have fired, doing something in between.
fn wait_for(prometheus: &Prometheus, wanted: &[&str], mut meanwhile: impl FnMut()) {
    let until = Instant::now() + PATIENCE;
    loop {
        let fired = fired(prometheus);
        let missing: Vec<&&str> = wanted.iter().filter(|name| !fired.contains(**name)).collect();
        if missing.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "not fired: {missing:?}; fired: {fired:?}");
        meanwhile();
        thread::sleep(Duration::from_secs(1));
    }
}

/// Waits until Prometheus has seen this very process.
fn wait_until_scraped(prometheus: &Prometheus, life: &Life) {
    let started = life.start_time();
    let query = format!("process_start_time_seconds{{instance=\"{}\"}}", life.address);
    eventually("it is scraped", || {
        let seen = prometheus.query(&query).unwrap_or_default();
        seen.iter().any(|(_, value)| *value == started).then_some(())
    });
}

/// What jobs, archives and bounds set off.
const TROUBLE: [&str; 11] = [
    "GocdnextHighQueueDepth",
    "GocdnextJobFailureSpike",
    "GocdnextLogArchiveFailing",
    "GocdnextJobWaitingTooLong",
    "GocdnextQueueWaitBurningFast",
    "GocdnextQueueWaitBurningSlowly",
    "GocdnextJobsLost",
    "GocdnextFlowDeadLetters",
    "GocdnextFlowSeriesOverflow",
    "GocdnextFlowOverLimit",
    "GocdnextRetentionBlocked",
];

#[test]
fn every_alert_is_fired_by_the_real_program() {
    let folder = tempfile::tempdir().unwrap();
    let rules = ["recording.yml", "alerts.yml"].map(|name| faster(name, folder.path()));
    let addresses = [free_address(), free_address()];
    let rules = rules.each_ref().map(PathBuf::as_path);
    let Some(prometheus) = Prometheus::with_rules(&addresses, &rules, folder.path()) else {
        return skipped("there is no `prometheus`; Debian: apt install prometheus");
    };
    wait_for(&prometheus, &["GocdnextFlowTargetDown", "GocdnextFlowLagging"], || ());

    let broker = Broker::start();
    let logs = log_database(folder.path());
    let bounds =
        ["--max-pipelines", "1", "--max-jobs-per-run", "1", "--log-database", &logs, "--decision-topic", REFUSED];
    let first = Life::at(addresses[0], folder.path(), "first", &broker, &bounds);
    wait_for(&prometheus, &["GocdnextNoAgents"], || ());
    let early = fired(&prometheus);
    // the partition is too old from the start on
    let quiet = TROUBLE.iter().filter(|name| **name != "GocdnextRetentionBlocked").all(|name| !early.contains(*name));
    assert!(quiet, "nothing has happened yet: {early:?}");

    let mut events = Events::default();
    broker.send(&events.waiting(now_ms()));
    wait_for(&prometheus, &TROUBLE, || broker.send(&events.trouble(now_ms())));

    let away = ["--log-database", "postgres://nobody@127.0.0.1:1/nothing"];
    let second = Life::at(addresses[1], folder.path(), "second", &broker, &away);
    wait_for(
        &prometheus,
        &["GocdnextFlowDuplicateSeries", "GocdnextRetentionBlind", "GocdnextFlowDecisionsUnsent"],
        || (),
    );

    drop(second);
    let mut starts = 0;
    wait_for(&prometheus, &["GocdnextFlowRestarts"], || {
        starts += 1;
        // with a state of its own it need not wait for the lease of the one that was killed
        let brief = Life::at(addresses[1], folder.path(), &format!("brief-{starts}"), &broker, &[]);
        wait_until_scraped(&prometheus, &brief);
    });

    let _lock = locks::take(&first.state);
    wait_for(&prometheus, &["GocdnextFlowStale"], || ());

    let all: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    assert_eq!(fired(&prometheus), all);
}
