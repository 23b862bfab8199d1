//! The database does not do its work under load: stopped, hung, locked by another, or without room. What was committed last
//! stays served, and it goes on by itself.

use crate::{
    kafka::broker,
    locks,
    postgres::{self, Server},
    support::{
        folder::in_folder,
        load::Flow,
        program,
        stage::{Stage, sqlite, topic},
    },
};
use anyhow::{Context, Result, ensure};
use sqlx::{Connection, Executor, PgConnection};
use std::{
    cell::RefCell,
    fs,
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// Longer than the lease lives.
const OUTAGE: Duration = Duration::from_secs(6);
const LEASE_TTL: &str = "3s";
/// A statement that hangs gives up after some 10 s, and so does the question what became of it.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);
/// Pauses between tries grow to 5 s.
const GOES_ON_WITHIN: Duration = Duration::from_secs(60);
const COMMITS_WITHIN: Duration = Duration::from_secs(60);

/// What is served in the outage: an epoch, and its age.
fn served(stage: &Stage) -> Result<(u64, f64)> {
    stage.scraper.must_be_well()?;
    let shown = stage.scraper.latest().context("a scrape")?;
    ensure!(shown.shows_series(), "I5: the last epoch stays served");
    let age = shown.value("gocdnext_flow_commit_age_seconds").context("its age")?;
    Ok((shown.epoch().context("an epoch")?, age))
}

/// An outage between two stretches of commits; ends with the comparison.
pub fn play(
    mut stage: Stage,
    mut command: Command,
    stop: impl FnOnce(&mut Stage),
    mend: impl FnOnce(&mut Stage),
) -> Result<()> {
    command.args(["--lease-ttl", LEASE_TTL]);
    stage.start(command)?;
    stage.moved()?;
    stage.commits(10, COMMITS_WITHIN)?;
    stage.shows_series(COMMITS_WITHIN)?;
    stop(&mut stage);
    let stopped = Instant::now();
    let error = stage.wait_for_check("database", true, NOTICED_WITHIN)?;
    eprintln!("noticed after {:.1?}: {error:?}", stopped.elapsed());
    sleep(Duration::from_secs(2));
    let (epoch, age) = served(&stage)?;
    sleep(OUTAGE.saturating_sub(stopped.elapsed()).max(Duration::from_secs(2)));
    let (epoch_later, age_later) = served(&stage)?;
    ensure!(epoch == epoch_later, "epoch {epoch_later} after {epoch} without a database");
    ensure!(age > 1.0 && age_later > age + 1.0, "the commit's age was {age} s, then {age_later} s");
    let commits = stage.scraper.progress().commits;
    mend(&mut stage);
    stage.commits(commits + 1, GOES_ON_WITHIN)?;
    stage.commits(commits + 20, COMMITS_WITHIN)?;
    stage.wait_for_check("database", false, GOES_ON_WITHIN)?;
    stage.finish()?;
    Ok(())
}

#[test]
fn a_database_that_is_stopped_holds_the_epoch_and_it_goes_on_by_itself() {
    let Some(broker) = broker::shared() else { return };
    let Some(server) = Server::start(&[]) else { return };
    // stopped by one closure, started by another
    let server = RefCell::new(server);
    in_folder(|folder| {
        let state = server.borrow().url(&server.borrow().database());
        let stage = Stage::set(folder, topic(&broker, "stopped-database", 3), state, Flow::Steady, 31)?;
        let command = stage.command(2);
        play(stage, command, |_| server.borrow_mut().stop(), |_| server.borrow_mut().restart())
    });
}

#[test]
fn a_database_that_hangs_is_no_different() {
    let Some(broker) = broker::shared() else { return };
    let Some(server) = Server::start(&[]) else { return };
    in_folder(|folder| {
        let state = server.url(&server.database());
        let stage = Stage::set(folder, topic(&broker, "hanging-database", 3), state, Flow::Steady, 32)?;
        let command = stage.command(2);
        play(stage, command, |_| server.pause(), |_| server.resume())
    });
}

#[test]
fn a_server_that_becomes_read_only_is_no_different() {
    let Some(broker) = broker::shared() else { return };
    let Some(server) = Server::start(&[]) else { return };
    let read_only = |on: &str| {
        server.sql("postgres", &format!("ALTER SYSTEM SET default_transaction_read_only = {on}"));
        server.sql("postgres", "SELECT pg_reload_conf()");
    };
    in_folder(|folder| {
        let state = server.url(&server.database());
        let stage = Stage::set(folder, topic(&broker, "read-only-database", 3), state, Flow::Steady, 35)?;
        let command = stage.command(2);
        play(stage, command, |_| read_only("on"), |_| read_only("off"))
    });
}

#[test]
fn a_file_that_another_keeps_locked_is_no_different() {
    let Some(broker) = broker::shared() else { return };
    in_folder(|folder| {
        let stage = Stage::set(folder, topic(&broker, "locked-file", 3), sqlite(folder), Flow::Steady, 33)?;
        let (command, file) = (stage.command(2), folder.join("state.db"));
        let lock = RefCell::new(None);
        play(stage, command, |_| drop(lock.replace(Some(locks::take(&file)))), |_| drop(lock.take()))
    });
}

/// Whoever reads its state still, and waits for the database there, ends when it is told to, and gives the lease back.
#[test]
fn an_end_amid_a_start_gives_the_lease_back() {
    let Some(broker) = broker::shared() else { return };
    let Some(server) = postgres::shared() else { return };
    let database = server.database();
    let lease = |what: &str| server.sql(&database, &format!("SELECT {what} FROM gocdnext_flow_lease"));
    in_folder(|folder| {
        let topic = topic(&broker, "broken-off-start", 3);
        let mut stage = Stage::set(folder, topic, server.url(&database), Flow::Steady, 36)?;
        stage.start(stage.command(2))?;
        stage.commits(20, COMMITS_WITHIN)?;
        stage.kill()?;
        let generation = lease("generation");
        let runtime = Runtime::new()?;
        let locked = runtime.block_on(async {
            let mut connection = PgConnection::connect(&server.url(&database)).await?;
            connection.execute("BEGIN; LOCK TABLE gocdnext_flow_blob IN ACCESS EXCLUSIVE MODE").await?;
            Ok::<_, sqlx::Error>(connection)
        })?;
        stage.start(stage.command(2))?;
        let begun = Instant::now();
        while lease("generation") == generation {
            ensure!(begun.elapsed() < GOES_ON_WITHIN, "the lease of the one that was killed is not taken");
            sleep(Duration::from_millis(20));
        }
        sleep(Duration::from_secs(1));
        stage.terminate(NOTICED_WITHIN)?;
        ensure!(lease("released") == "t", "the lease is kept by one that has ended");
        drop(locked);
        stage.start(stage.command(3))?;
        stage.commits(20, COMMITS_WITHIN)?;
        stage.finish()?;
        Ok(())
    });
}

/// Lets the files of a process grow no further than they are, or again.
fn limit(stage: &mut Stage, bytes: &str) {
    let id = stage.running().expect("it runs").id();
    let limited = Command::new("prlimit").args(["--pid", &id.to_string(), &format!("--fsize={bytes}:")]).status();
    assert!(limited.expect("prlimit runs").success(), "the files' sizes are limited");
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |file| file.len())
}

#[test]
fn a_file_that_has_no_room_to_grow_is_no_different() {
    let Some(broker) = broker::shared() else { return };
    in_folder(|folder| {
        let stage = Stage::set(folder, topic(&broker, "full-disk", 3), sqlite(folder), Flow::Steady, 34)?;
        let log = folder.join("state.db-wal");
        // a full disk is an error, a limit is a signal, too
        let command = program::wrapped(r#"trap "" XFSZ; exec "$0" "$@""#, &stage.command(2));
        play(
            stage,
            command,
            |stage| limit(stage, &size(&log).min(1 << 16).to_string()),
            |stage| limit(stage, "unlimited"),
        )
    });
}
