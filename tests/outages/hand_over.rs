//! How long the series are away when the instance that serves is ended and the other takes over, as one scraper of both sees
//! it: `./dev torture --hand-overs N`, which is a measurement and judges nothing but that nothing is wrong.
//!
//! The state holds as many open jobs as a large fleet has, since the other one reads it before it can serve.

use crate::{
    kafka::{broker, producer, run_queued, send},
    pair::{Pair, Setup},
    postgres,
    support::{
        folder::in_folder,
        stage::{sqlite, topic},
    },
};
use anyhow::{Context, Result};
use rdkafka::{message::OwnedHeaders, producer::Producer};
use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

const PARTITIONS: i32 = 3;
const JOBS_A_RUN: u64 = 10;
const LEASE_TTL: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);
const READ_WITHIN: Duration = Duration::from_secs(600);
/// Between two hand-overs: the other one is warm, and has been standing by for a while.
const REST: Duration = Duration::from_secs(2);

fn given(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

fn job_queued(job: u64) -> String {
    let id = format!("00000000-0000-0000-0001-{job:012x}");
    let more = format!(r#""job_id":"{id}","job":"test","stage":"test","run_id""#);
    let run = run_queued(job / JOBS_A_RUN, crate::kafka::TIME);
    let event = run.replace(r#""run_id""#, &more).replace("run.queued", "job.queued");
    event.replace(&format!(r#""id":"run-{}""#, job / JOBS_A_RUN), &format!(r#""id":"job-{job}""#))
}

/// Jobs that wait, and go on waiting.
fn open(setup: &Setup, jobs: u64) -> Result<()> {
    let producer = producer(&setup.topic.brokers, &[("queue.buffering.max.messages", "1000000")]);
    for job in 0..jobs {
        let partition = i32::try_from(job / JOBS_A_RUN % 3)?;
        send(&producer, &setup.topic.name, partition, b"key", job_queued(job).as_bytes(), OwnedHeaders::new());
    }
    producer.flush(PATIENCE).context("the broker takes the events")
}

fn measure(folder: &Path, setup: Setup, store: &str) -> Result<()> {
    let (times, jobs) = (given("HAND_OVERS", 20), given("HAND_OVER_JOBS", 200_000));
    open(&setup, jobs)?;
    let mut pair = Pair::new(folder, setup);
    pair.start(0)?;
    let pending = r#"gocdnext_queue_depth{stage_status="pending"}"#;
    let all = |pair: &Pair| pair.shown().is_ok_and(|shown| shown.value(pending) == Some(jobs as f64));
    let begun = Instant::now();
    while !all(&pair) {
        pair.must_be_well()?;
        anyhow::ensure!(
            begun.elapsed() < READ_WITHIN,
            "the jobs are not read: {:?}",
            pair.shown().map(|s| s.value(pending))
        );
        sleep(Duration::from_millis(100));
    }
    let mut gaps = Vec::new();
    for turn in 0..times {
        let (former, next) = if turn % 2 == 0 { (0, 1) } else { (1, 0) };
        pair.start(next)?;
        pair.stands_by(next, PATIENCE)?;
        sleep(REST);
        let since = Instant::now();
        let shown = pair.during_the_end_of(former, PATIENCE, |pair| {
            pair.serves(next, since, PATIENCE)?;
            pair.last_shown(former).zip(pair.first_shown(next, since)).context("both have shown series")
        })?;
        let gap = shown.1.saturating_duration_since(shown.0);
        let (left, came) = (shown.0.saturating_duration_since(since), shown.1.saturating_duration_since(since));
        eprintln!(
            "{store} {turn:>2}: away for {gap:>6.0?}; the last one at {left:>6.0?}, the first one at {came:>6.0?} after SIGTERM"
        );
        gaps.push(gap);
    }
    gaps.sort_unstable();
    let at = |share: usize| {
        gaps.get((gaps.len() * share / 100).min(gaps.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    eprintln!(
        "{store}: {times} hand-overs, {jobs} open jobs: median {:.0?}, 90 % {:.0?}, longest {:.0?}",
        at(50),
        at(90),
        at(100)
    );
    anyhow::ensure!(all(&pair), "every job is there after all of them");
    pair.must_be_well()
}

#[test]
#[ignore = "as often as it is told: ./dev torture --hand-overs N"]
fn handed_over_many_times_on_one_file() {
    let Some(broker) = broker::shared() else { return };
    in_folder(|folder| {
        let topic = topic(&broker, "hand-over-sqlite", PARTITIONS);
        measure(folder, Setup { topic, state: sqlite(folder), lease_ttl: LEASE_TTL, ha: true }, "sqlite")
    });
}

#[test]
#[ignore = "as often as it is told: ./dev torture --hand-overs N"]
fn handed_over_many_times_on_one_server() {
    let Some(broker) = broker::shared() else { return };
    // with `fsync`, as a server has it
    let Some(server) = postgres::Server::start(&[]) else { return };
    let state = server.url(&server.database());
    in_folder(|folder| {
        let topic = topic(&broker, "hand-over-postgres", PARTITIONS);
        measure(folder, Setup { topic, state, lease_ttl: LEASE_TTL, ha: true }, "postgres")
    });
}
