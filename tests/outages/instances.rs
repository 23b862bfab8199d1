//! Two instances on one state: one serves, the other stands by, and takes over when the first ends, dies, or hangs (I7).

use crate::{
    kafka::broker,
    locks,
    pair::{Pair, Setup},
    postgres::{self, Server},
    support::{
        ending,
        folder::in_folder,
        load::{Flow, Load},
        sender::Sender,
        stage::{sqlite, topic},
    },
};
use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

const LEASE_TTL: Duration = Duration::from_secs(6);
/// A start, a takeover, an end: seconds, on a busy machine many.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough for a lease that is fought over to change hands.
const SILENCE: Duration = Duration::from_secs(2);
const FENCED: i32 = 5;

/// How the one that serves ceases to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cease {
    /// SIGTERM: it gives the lease back.
    Ends,
    /// SIGKILL: nothing is given back.
    Dies,
    /// SIGSTOP for longer than its lease lives; when it goes on it must find that out, and end.
    Hangs,
}

impl Cease {
    const ALL: [Self; 3] = [Self::Ends, Self::Dies, Self::Hangs];
}

/// Two instances under load, and which of them serves.
struct Game<'a> {
    pair: Pair,
    serving: usize,
    folder: &'a Path,
    /// The state's file, if it is one.
    file: Option<PathBuf>,
    sender: Sender,
}

impl<'a> Game<'a> {
    fn begin(folder: &'a Path, setup: Setup, file: Option<PathBuf>) -> Result<Self> {
        let sender = Sender::start(&setup.topic, Load::new(41), Flow::Steady)?;
        let mut pair = Pair::new(folder, setup);
        pair.start(0)?;
        pair.serves(0, Instant::now(), PATIENCE)?;
        let mut game = Self { pair, serving: 0, folder, file, sender };
        game.stand_by()?;
        Ok(game)
    }

    const fn standby(&self) -> usize {
        1 - self.serving
    }

    /// Starts the other one: it says that it stands by, and shows nothing.
    fn stand_by(&mut self) -> Result<()> {
        let which = self.standby();
        self.pair.start(which)?;
        self.pair.stands_by(which, PATIENCE)?;
        self.pair.stays_silent(which, SILENCE)
    }

    /// One takeover, and a new standby; how long the series were away.
    fn turn(&mut self, cease: Cease) -> Result<Duration> {
        let (former, next) = (self.serving, self.standby());
        let since = Instant::now();
        let took = match cease {
            Cease::Ends => {
                self.pair.during_the_end_of(former, PATIENCE, |pair| pair.serves(next, since, PATIENCE))?
            }
            Cease::Dies => {
                self.pair.take(former)?.kill()?;
                self.pair.serves(next, since, PATIENCE)?
            }
            Cease::Hangs => self.hang(former, next)?,
        };
        match cease {
            Cease::Ends => ensure!(took < LEASE_TTL, "what is given back is taken after {took:?}"),
            Cease::Dies | Cease::Hangs => ensure!(took > LEASE_TTL / 2, "a lease is taken {took:?} after its beat"),
        }
        self.serving = next;
        self.stand_by()?;
        Ok(took)
    }

    /// Not in the middle of a write to a file: a process that is stopped there keeps the file's lock, and nobody can take
    /// over.
    fn hang(&mut self, former: usize, next: usize) -> Result<Duration> {
        self.pair.hold(former)?;
        while let Some(file) = &self.file
            && !locks::is_free(file)?
        {
            self.pair.resume(former)?;
            self.pair.hold(former)?;
        }
        let took = self.pair.serves(next, Instant::now(), PATIENCE)?;
        sleep(Duration::from_secs(1));
        let mut held = self.pair.take(former)?;
        held.signal("CONT")?;
        let status = held.ended(PATIENCE)?;
        ensure!(status.code() == Some(FENCED), "the one that was held ends with {status}");
        self.pair.must_be_well()?;
        Ok(took)
    }

    fn end(mut self) -> Result<()> {
        ending::end(self.sender, self.folder, || self.pair.shown())?;
        for which in [0, 1] {
            self.pair.take(which)?.terminate(PATIENCE)?;
        }
        self.pair.must_be_well()
    }
}

/// Every way to cease, once.
fn each(folder: &Path, setup: Setup, file: Option<PathBuf>) -> Result<()> {
    let mut game = Game::begin(folder, setup, file)?;
    for cease in Cease::ALL {
        let took = game.turn(cease).with_context(|| format!("{cease:?}"))?;
        eprintln!("{cease:?}: the other serves after {took:.1?}");
    }
    game.end()
}

#[test]
fn two_instances_on_one_file_hand_over_and_never_both_show_series() {
    let Some(broker) = broker::shared() else { return };
    in_folder(|folder| {
        let setup =
            Setup { topic: topic(&broker, "pair-sqlite", 3), state: sqlite(folder), lease_ttl: LEASE_TTL, ha: true };
        each(folder, setup, Some(folder.join("state.db")))
    });
}

#[test]
fn two_instances_on_one_server_hand_over_and_never_both_show_series() {
    let Some(broker) = broker::shared() else { return };
    let Some(server) = postgres::shared() else { return };
    let state = server.url(&server.database());
    let setup = Setup { topic: topic(&broker, "pair-postgres", 3), state, lease_ttl: LEASE_TTL, ha: true };
    in_folder(|folder| each(folder, setup, None));
}

#[test]
fn a_second_instance_by_mistake_waits_unready_and_takes_over_all_the_same() {
    let Some(broker) = broker::shared() else { return };
    in_folder(|folder| {
        let topic = topic(&broker, "pair-mistake", 3);
        let setup = Setup { topic, state: sqlite(folder), lease_ttl: LEASE_TTL, ha: false };
        let mut game = Game::begin(folder, setup, None)?;
        game.turn(Cease::Dies)?;
        game.end()
    });
}

#[test]
fn with_ha_the_series_are_hidden_while_the_lease_cannot_be_renewed() {
    let Some(broker) = broker::shared() else { return };
    let Some(server) = Server::start(&[]) else { return };
    let state = server.url(&server.database());
    let setup = Setup { topic: topic(&broker, "pair-outage", 3), state, lease_ttl: LEASE_TTL, ha: true };
    in_folder(|folder| {
        let game = Game::begin(folder, setup, None)?;
        server.pause();
        sleep(LEASE_TTL);
        // a renewal that was under way may have come through
        for which in [0, 1] {
            game.pair.falls_silent(which, PATIENCE)?;
        }
        let resumed = Instant::now();
        server.resume();
        // the other one could not look either: what it did not see is no silence
        game.pair.serves(game.serving, resumed, PATIENCE)?;
        game.end()
    });
}

/// A number from the environment.
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// In turn and at random, for so many minutes.
fn in_turn(folder: &Path, setup: Setup, file: Option<PathBuf>) -> Result<()> {
    let minutes = given("TORTURE_MINUTES").unwrap_or(10);
    let seed = given("TORTURE_SEED").unwrap_or(1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let store = if file.is_some() { "sqlite" } else { "postgres" };
    let mut game = Game::begin(folder, setup, file)?;
    let begun = Instant::now();
    let mut turns = 0;
    while begun.elapsed() < Duration::from_mins(minutes) {
        turns += 1;
        let cease = Cease::ALL[random.random_range(0..Cease::ALL.len())];
        let took =
            game.turn(cease).with_context(|| format!("TORTURE_SEED={seed}, {store}, turn {turns}: {cease:?}"))?;
        eprintln!("turn {turns:>3} {store:<8} {cease:<6?} the other serves after {took:.1?}");
    }
    game.end().with_context(|| format!("TORTURE_SEED={seed}, {store}"))?;
    eprintln!("{store}: {turns} turns in {minutes} minutes");
    Ok(())
}

#[test]
#[ignore = "as long as it is told: ./dev torture --pair MINUTES"]
fn in_turn_on_one_file_for_minutes() {
    let Some(broker) = broker::shared() else { return };
    in_folder(|folder| {
        let topic = topic(&broker, "turns-sqlite", 3);
        let setup = Setup { topic, state: sqlite(folder), lease_ttl: LEASE_TTL, ha: true };
        in_turn(folder, setup, Some(folder.join("state.db")))
    });
}

#[test]
#[ignore = "as long as it is told: ./dev torture --pair MINUTES"]
fn in_turn_on_one_server_for_minutes() {
    let Some(broker) = broker::shared() else { return };
    let Some(server) = postgres::shared() else { return };
    let state = server.url(&server.database());
    let setup = Setup { topic: topic(&broker, "turns-postgres", 3), state, lease_ttl: LEASE_TTL, ha: true };
    in_folder(|folder| in_turn(folder, setup, None));
}
