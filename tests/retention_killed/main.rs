//! The whole process, with its executor, killed at random moments over a year of partitions on a real PostgreSQL, fed by a
//! real Kafka, beside someone who writes all the time: no line younger than its retention, and none of a job that is not
//! archived, is ever gone; and the counter is what was really dropped.
//!
//! Half of the kills come as soon as a drop is seen, when Kafka may not know of it yet. `RETENTION_KILLS` makes it longer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]
#![allow(dead_code, reason = "the support is larger than what is used of it here")]

#[path = "../support/command.rs"]
mod command;
#[path = "../kafka/mod.rs"]
mod kafka;
#[path = "../postgres/mod.rs"]
mod postgres;
mod world;

use command::{Killed, silent as flow};
use dataflows::retention::{month::Month, policy::DAY_MS};
use kafka::{eventually, free_port};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write as _},
    net::TcpStream,
    thread::sleep,
    time::{Duration, Instant},
};
use world::{INTRUDED, MONTHS, RETENTION_DAYS, STRANGER, UNARCHIVED, World, Writer};

const KILLS: i64 = 6;

struct Life {
    _process: Killed,
    port: u16,
}

impl Life {
    fn start(world: &World) -> Self {
        let port = free_port();
        let child = flow()
            .args(["run", "--brokers", &world.address, "--topic", world.topic, "--instance-id", "killed"])
            .args(["--state", &world.state, "--log-database", &world.url, "--clock", "log"])
            .args(["--decision-topic", &format!("{}.decisions", world.topic)])
            .args(["--dead-letter-topic", &format!("{}.dead-letters", world.topic)])
            .args(["--retention-execute", "--retention-interval", "1s", "--max-drops", "2", "--lease-ttl", "3s"])
            .args(["--epoch-interval", "50ms", "--listen", &format!("127.0.0.1:{port}")])
            .spawn();
        Self { _process: Killed(child.unwrap()), port }
    }

    fn counted(&self) -> Option<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let name = "gocdnext_retention_dropped_log_partitions_total ";
        answer.lines().find_map(|line| line.strip_prefix(name))?.parse().ok()
    }
}

#[test]
fn a_year_goes_over_kills_and_nothing_goes_that_must_not() {
    let Some(server) = postgres::shared() else { return };
    let Some(mut world) = World::new(server, "killed-retention") else { return };
    set_policy(&world);
    let kills = std::env::var("RETENTION_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let mut numbers = ChaCha8Rng::seed_from_u64(41);
    let writer = Writer::start(&world);
    // before anything is old, all that there is was read once: from then on it is known to be whole
    let life = Life::start(&world);
    eventually("the series", || life.counted());
    drop(life);
    let mut months = (1..=MONTHS).rev();
    let mut at_drops = 0;
    for kill in 0..kills {
        let life = Life::start(&world);
        let (of_month, seen) = (MONTHS / kills + 1, world.dropped().len());
        for before in months.by_ref().take(usize::try_from(of_month).unwrap()) {
            world.month_passes(before);
        }
        // it waits for the lease of the one that was killed
        eventually("the series", || life.counted());
        let until = Instant::now() + Duration::from_millis(numbers.random_range(200..4_000));
        while Instant::now() < until && (kill % 2 == 0 || world.dropped().len() == seen) {
            sleep(Duration::from_millis(5));
        }
        drop(life);
        at_drops += usize::from(world.dropped().len() > seen);
    }
    assert!(at_drops > 0, "no drop came before a kill");
    months.for_each(|before| world.month_passes(before));
    world.moves_to(world.now);
    let life = Life::start(&world);
    let must_go: BTreeSet<String> = (1..=MONTHS)
        .filter(|before| ![UNARCHIVED, STRANGER].contains(before) && !INTRUDED.contains(before))
        .map(|before| world.partition(before))
        .filter(|partition| partition.upper + i64::from(RETENTION_DAYS) * DAY_MS < world.now)
        .map(|partition| partition.name)
        .collect();
    eventually("what may go is gone", || {
        let dropped = world.dropped();
        must_go.iter().all(|name| dropped.contains_key(name)).then_some(())
    });
    eventually("each drop is counted", || (life.counted()? == world.dropped().len() as u64).then_some(()));
    sleep(Duration::from_secs(2));
    let (written, dropped) = (writer.stop(), world.dropped());
    assert_eq!(life.counted(), Some(dropped.len() as u64));
    drop(life);
    check_every_line(&world, &dropped);
    let dropped = dropped.len();
    println!(
        "{kills} kills, {at_drops} of them after a drop, {dropped} partitions dropped, {written} statements of a live writer"
    );
}

/// Each drop is told once the topic takes it; that it does not is no reason to keep what may go.
#[test]
fn a_topic_that_takes_nothing_holds_up_no_drop() {
    let Some(server) = postgres::shared() else { return };
    let Some(mut world) = World::new(server, "refusing-retention") else { return };
    set_policy(&world);
    // before anything is old, all that there is was read once
    let life = Life::start(&world);
    eventually("the series", || life.counted());
    drop(life);
    (STRANGER + 1..=MONTHS).rev().for_each(|before| world.month_passes(before));
    world.moves_to(world.now);
    world.broker.configure(world.topic, "max.message.bytes", "100");
    let life = Life::start(&world);
    eventually("more drops than one run may make", || (world.dropped().len() >= 3).then_some(()));
    assert_eq!(life.counted(), Some(0), "nothing is told of them");
    world.broker.configure(world.topic, "max.message.bytes", "1048576");
    eventually("each drop is counted", || (life.counted()? == world.dropped().len() as u64).then_some(()));
}

fn set_policy(world: &World) {
    let days = RETENTION_DAYS.to_string();
    let set = ["retention", "policy", "set", "--archive", "on", "--days", &days, "--state", &world.state];
    assert!(flow().args(set).status().unwrap().success());
}

/// Row by row, against what the test itself wrote and told.
fn check_every_line(world: &World, dropped: &BTreeMap<String, (u64, i64)>) {
    let (there, truth) = (world.there(), world.truth.lock().unwrap());
    assert_eq!(there.difference(&truth.lines).count(), 0, "lines that nobody wrote");
    let mut gone: BTreeMap<String, u64> = dropped.keys().map(|name| (name.clone(), 0)).collect();
    for line @ (job, _, at) in truth.lines.difference(&there) {
        let partition = Month::of(*at).partition();
        let Some((_, dropped_at)) = dropped.get(&partition.name) else {
            panic!("{line:?} is gone, its partition is not")
        };
        assert!(partition.upper + i64::from(RETENTION_DAYS) * DAY_MS < *dropped_at, "{line:?} was young");
        let archived = truth.archived.get(job);
        assert!(archived.is_some_and(|told| told <= dropped_at), "{line:?} was not archived: {archived:?}");
        *gone.get_mut(&partition.name).unwrap() += 1;
    }
    let rows: BTreeMap<String, u64> = dropped.iter().map(|(name, (rows, _))| (name.clone(), *rows)).collect();
    assert_eq!(gone, rows, "each drop is in the ledger with what went by it");
    for before in [UNARCHIVED, STRANGER] {
        assert!(!dropped.contains_key(&world.partition(before).name), "{before}");
    }
}
