//! Retention as a scraper and as a program reads it.

use super::{small_buckets, stable};
use crate::{
    exposition::{Format, render, retention_json},
    published::Published,
};
use dataflows::{
    names::Names,
    registry::Registry,
    retention::{
        Catalogue, Fact, Figures, Obstacle, Partition, Policies, Policy, Reason, RetentionInput, Shown, month::Month,
        partitions::Moment,
    },
    series::Deltas,
    time::{Epoch, Millis, StreamTime},
};
use std::{collections::BTreeMap, sync::Arc};

const DAY: Millis = 86_400_000;

fn month(name: &str) -> Partition {
    Month::from_name(name).map_or_else(|| panic!("{name}"), Month::partition)
}

/// Four months: from before our time, with a job in the way, free to go, young.
fn shown() -> Shown {
    let partitions = [1, 2, 3, 4].map(|n| month(&format!("log_lines_y2024m0{n}"))).to_vec();
    let (now, complete_from) = (partitions[2].upper + 31 * DAY, Some(partitions[1].lower));
    let obstacle = Obstacle {
        reason: Reason::ArchiveFailed,
        why: "the archives of 1 of its jobs have failed".into(),
        facts: [("jobs", 2), ("rows", 40), ("jobs_failed", 1)].map(|(name, n)| (name.into(), Fact::Number(n))).into(),
        jobs: vec![7],
    };
    let obstacles = Arc::new(BTreeMap::from([(partitions[1].name.clone(), obstacle)]));
    let policy = |log_retention_days| Policy { log_retention_days, archive: true };
    let policies = Policies { default: Some(policy(30)), projects: [(9, policy(7))].into() };
    let catalogue = Some(Arc::new(Catalogue { partitions, now }));
    let input = Some(Arc::new(RetentionInput { policies: Arc::new(policies), catalogue, complete_from }));
    let figures = Figures {
        decisions: [1, 6, 2, 3],
        fates: [[1, 0, 0, 0], [2, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]],
        given_up: 1,
        waiting: 2,
        oldest_waiting: Some(now - 90_000),
        failing: 1,
        partitions: None,
    };
    let moment = Moment { now: StreamTime(now), caught_up: true };
    let mut shown = Shown { figures, input, moment, obstacles };
    shown.figures.partitions = shown.partition_figures();
    shown
}

fn published(shown: Shown) -> Arc<Published> {
    let settings = small_buckets();
    let published = Published::new(Names::new(1));
    let mut snapshot = Registry::new(&settings).fold(Epoch(7), shown.moment.now, Deltas::new(&settings));
    snapshot.retention = Some(Arc::new(shown));
    published.snapshot.store(Some(Arc::new(snapshot)));
    published
}

#[test]
fn its_series() {
    let text = stable(&render(&published(shown()), &small_buckets(), Format::Text, 0));
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("gocdnext_retention_")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn as_json() {
    let json: serde_json::Value = serde_json::from_str(&retention_json(&published(shown()))).unwrap();
    insta::assert_snapshot!(format!("{json:#}"));
}

#[test]
fn what_is_not_known_is_no_zero() {
    let restored =
        Shown { moment: Moment { now: StreamTime(5), caught_up: false }, ..Shown::restored(Figures::default()) };
    let published = published(restored);
    let json: serde_json::Value = serde_json::from_str(&retention_json(&published)).unwrap();
    for what in ["policies", "partitions", "partitions_total", "pending_drops", "database_time"] {
        assert!(json[what].is_null(), "{what}: {json}");
    }
    assert!(!render(&published, &small_buckets(), Format::Text, 0).contains("gocdnext_retention_blocked_partitions"));
    let nothing = retention_json(&Published::new(Names::new(1)));
    assert_eq!(nothing, r#"{"epoch":null,"stream_time":null}"#);
}
