//! Crash torture: the real program under load with disorder and duplicates, killed again and again, at random moments and
//! in every window of its commit, over both stores, with another number of workers each time.
//!
//! One scraper watches all lives at 10 Hz: no counter goes back, no series vanishes, the epoch never goes back, at least
//! 95 % of scrapes are answered while the program is up; each life commits a new epoch within 10 s and at least three
//! before it is killed. At the end every series equals the reference, a `replay` over the same records.
//!
//! Why the two can be compared (I1): with `--clock log` stream time ends at the largest time of any partition, as a
//! replay's does, once all is read. On the way it differs: it follows the slowest partition while one is behind, and may
//! run ahead of records that were sent within the last 5 s; so a log that grows while it is read is punctual by a wide margin,
//! and half of the rounds read logs that do not (`support/load.rs`).
//! What is decided by time, jobs and runs lost, agents gone, ends settled, what is forgotten, is then a function of
//! the facts and the last stream time. Exemplars depend on the order of reading; the text format has none. The own figures
//! of duplicates depend on epochs where facts conflict, and are not compared; events and rejected records are.
//!
//! `TORTURE_KILLS` is the number of kills over all stores, `TORTURE_STORE` the only store, `TORTURE_SEED` reproduces a
//! schedule: `./dev torture --kills N --store sqlite|postgres --seed S`. The moments themselves are the machine's own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

mod checks;
#[path = "../kafka/mod.rs"]
mod kafka;
mod plan;
#[path = "../postgres/mod.rs"]
mod postgres;
mod round;
#[path = "../support/mod.rs"]
mod support;
mod table;

use anyhow::{Context, Result, ensure};
use kafka::broker::Broker;
use postgres::Server;
use round::Round;
use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use support::{
    folder::in_folder,
    load::Flow,
    stage::{Stage, sqlite, topic},
};

const KILLS: usize = 60;
const PARTITIONS: i32 = 4;
/// Rounds at the same time: most of each is waiting for the lease of a process that was killed.
const ROUNDS: usize = 4;

/// A setting of the torture from the environment.
fn given<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} cannot be read")))
}

fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    given("TORTURE_SEED").unwrap_or_else(now)
}

/// Where the state of a round lies.
#[derive(Clone, Copy)]
enum Store<'a> {
    Sqlite,
    Postgres(&'a Server),
}

impl Store<'_> {
    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    fn state(self, folder: &Path) -> String {
        match self {
            Self::Sqlite => sqlite(folder),
            Self::Postgres(server) => server.url(&server.database()),
        }
    }
}

/// The stores that are there and asked for.
fn stores(server: Option<&Server>) -> Vec<Store<'_>> {
    let only = given::<String>("TORTURE_STORE");
    let mut stores: Vec<_> = [Some(Store::Sqlite), server.map(Store::Postgres)].into_iter().flatten().collect();
    stores.retain(|store| only.as_ref().is_none_or(|only| only == store.name()));
    assert!(!stores.is_empty(), "TORTURE_STORE={only:?}: there is no such store");
    stores
}

/// What a round goes over.
#[derive(Clone, Copy)]
struct Ground<'a> {
    store: Store<'a>,
    flow: Flow,
    seed: u64,
}

/// One for each round: each store with a steady log, then with backlogs.
fn grounds<'a>(stores: &[Store<'a>], seed: u64) -> Vec<Ground<'a>> {
    let flows = [Flow::Steady, Flow::Backlogs];
    let grounds = flows.iter().flat_map(|flow| stores.iter().map(|store| (*store, *flow)));
    let grounds: Vec<_> = grounds.collect();
    let rounds = (seed..).zip(grounds.iter().cycle()).take(ROUNDS);
    rounds.map(|(seed, (store, flow))| Ground { store: *store, flow: *flow, seed }).collect()
}

/// One round of so many kills.
fn round(broker: &Broker, folder: &Path, ground: Ground<'_>, kills: usize) -> Result<Round> {
    let Ground { store, flow, seed } = ground;
    let name = format!("{}-{seed}", store.name());
    let folder = folder.join(&name);
    fs::create_dir(&folder)?;
    let topic = topic(broker, &format!("torture-{name}"), PARTITIONS);
    let stage = Stage::set(&folder, topic, store.state(&folder), flow, seed)?;
    Round::play(store.name(), flow.name(), stage, &plan::plan(seed, flow, kills))
}

/// All rounds, at the same time.
fn rounds(broker: &Broker, stores: &[Store<'_>], folder: &Path, seed: u64, kills: usize) -> Result<Vec<Round>> {
    let kills = kills.div_ceil(ROUNDS);
    std::thread::scope(|scope| {
        let play = |ground| scope.spawn(move || round(broker, folder, ground, kills));
        let playing: Vec<_> = grounds(stores, seed).into_iter().map(play).collect();
        let ended: Vec<_> = playing.into_iter().map(|round| round.join().expect("no panic")).collect();
        // one failure must not hide another
        let failures: Vec<_> =
            ended.iter().filter_map(|round| Some(format!("{:#}", round.as_ref().err()?))).collect();
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        ended.into_iter().collect()
    })
}

#[test]
fn however_often_it_is_killed_no_counter_goes_back_and_nothing_is_lost() {
    let Some(broker) = Broker::start() else { return };
    let server = Server::start(&[]);
    let (kills, seed) = (given("TORTURE_KILLS").unwrap_or(KILLS), seed());
    let rounds = in_folder(|folder| {
        eprintln!("{kills} kills, TORTURE_SEED={seed}, in {}", folder.display());
        let stores = stores(server.as_ref());
        rounds(&broker, &stores, folder, seed, kills).with_context(|| format!("TORTURE_SEED={seed}"))
    });
    eprintln!("{}", table::table(&rounds));
}
