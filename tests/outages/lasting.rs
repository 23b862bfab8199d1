//! An outage that lasts as long as it is told: `./dev torture --outage MINUTES`. Events go on coming meanwhile, as far as
//! there is a broker to take them.
//!
//! Every ten seconds it is asked how it does, and says so in a line. What must stay true all the while: the last committed
//! epoch is served, `/readyz` names the check, and memory does not grow with time. Then it goes on by itself, and at the
//! end every series is compared.

use crate::{
    kafka::broker::Broker,
    postgres::Server,
    support::{
        ending::counted,
        exposition::Exposition,
        folder::in_folder,
        load::Flow,
        reference::differences,
        stage::{Stage, sqlite, topic},
    },
};
use anyhow::{Context, Result, ensure};
use std::{
    cell::RefCell,
    fmt, fs,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

const LOOK_EVERY: Duration = Duration::from_secs(10);
const COMMITS_WITHIN: Duration = Duration::from_secs(60);
const NOTICED_WITHIN: Duration = Duration::from_secs(60);
/// Pauses between tries grow to 5 s.
const GOES_ON_WITHIN: Duration = Duration::from_secs(60);
/// What has gathered is read within this.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(1200);
/// What librdkafka may read ahead, `kafka_queue_bytes`, and as much again for all that is on its way.
const MAY_GROW_MIB: u64 = 2 * 64;

/// How it does at a moment of the outage.
struct Look {
    after: Duration,
    ready: u16,
    failing: String,
    shown: Arc<Exposition>,
    rss_mib: u64,
}

impl Look {
    fn at(stage: &mut Stage, after: Duration) -> Result<Self> {
        let (ready, failing) = stage.failing()?;
        let rss_mib = rss_mib(stage.running()?.id())?;
        let shown = stage.scraper.latest().context("a scrape")?;
        Ok(Self { after, ready, failing, shown, rss_mib })
    }

    fn own(&self, name: &str) -> f64 {
        self.shown.sum(&format!("gocdnext_flow_{name}")).unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, ready, failing, rss_mib, .. } = self;
        let (after, epoch) = (after.as_secs(), self.shown.epoch().unwrap_or_default());
        let (age, lag) = (self.own("commit_age_seconds"), self.own("kafka_lag_records"));
        let counted = counted(&self.shown).unwrap_or(f64::NAN);
        let in_flight = self.own("epochs_in_flight");
        write!(
            f,
            "{after:>5} s  readyz {ready}  epoch {epoch}  age {age:>6.1} s  counted {counted}  lag {lag}  in flight {in_flight}  \
             rss {rss_mib} MiB  {failing}"
        )
    }
}

fn rss_mib(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("its memory")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib >> 10)
}

fn minutes() -> Result<Duration> {
    let text = std::env::var("OUTAGE_MINUTES").unwrap_or_else(|_| "2".to_owned());
    Ok(Duration::from_mins(text.parse().with_context(|| format!("OUTAGE_MINUTES={text}"))?))
}

/// What is away, by the name of its check.
#[derive(Clone, Copy)]
struct Away {
    check: &'static str,
    /// Without a database nothing is committed; without a broker there is nothing new to commit.
    commits: bool,
}

fn play(mut stage: Stage, away: Away, stop: impl FnOnce(), mend: impl FnOnce()) -> Result<()> {
    let outage = minutes()?;
    let name = away.check;
    stage.start(stage.command(2))?;
    stage.moved()?;
    stage.commits(50, COMMITS_WITHIN)?;
    stage.shows_series(COMMITS_WITHIN)?;
    stop();
    let stopped = Instant::now();
    stage.wait_for_check(name, true, NOTICED_WITHIN)?;
    watch(&mut stage, away, stopped, outage)?;
    let (commits, sent) = (stage.scraper.progress().commits, stage.sent());
    mend();
    let mended = Instant::now();
    eprintln!("{name}: back after {:.0?}, {sent} records sent", stopped.elapsed());
    stage.commits(commits + 1, GOES_ON_WITHIN)?;
    eprintln!("{name}: a new epoch {:.1?} after it came back", mended.elapsed());
    stage.wait_for_check(name, false, GOES_ON_WITHIN)?;
    eprintln!("{name}: its check is well {:.1?} after it came back", mended.elapsed());
    catch_up(&mut stage, name, sent, mended)?;
    stage.commits(stage.scraper.progress().commits + 100, COMMITS_WITHIN)?;
    let rss = rss_mib(stage.running()?.id())?;
    let found = stage.finish()?;
    eprintln!("{name}: {found:?}, rss {rss} MiB at the end");
    Ok(())
}

/// Looks on until the outage is over.
fn watch(stage: &mut Stage, away: Away, stopped: Instant, outage: Duration) -> Result<()> {
    let name = away.check;
    // an epoch that was on its way has come by then
    sleep(LOOK_EVERY);
    let first = Look::at(stage, stopped.elapsed())?;
    eprintln!("{name}: {first}");
    let mut age = first.own("commit_age_seconds");
    while stopped.elapsed() < outage {
        sleep(LOOK_EVERY.min(outage.saturating_sub(stopped.elapsed())));
        stage.scraper.must_be_well()?;
        let look = Look::at(stage, stopped.elapsed())?;
        eprintln!("{name}: {look}");
        ensure!(look.shown.shows_series(), "I5: the last epoch stays served");
        ensure!(look.ready == 503 && look.failing.contains(name), "/readyz does not name {name}: {look}");
        let moved = differences(&look.shown, &first.shown);
        ensure!(moved.is_empty(), "what is shown has moved:\n  {}", moved.join("\n  "));
        if !away.commits {
            ensure!(look.shown.epoch() == first.shown.epoch(), "an epoch without a database: {look}");
            let before = std::mem::replace(&mut age, look.own("commit_age_seconds"));
            ensure!(age > before, "the commit's age was {before} s, then {age} s");
            ensure!(look.own("kafka_lag_records") > 0.0, "events go on coming and nothing is read: {look}");
        }
        let most = first.rss_mib + MAY_GROW_MIB;
        ensure!(look.rss_mib <= most, "I6: memory has grown from {} to {} MiB", first.rss_mib, look.rss_mib);
    }
    Ok(())
}

/// Until all that was sent during the outage is counted.
fn catch_up(stage: &mut Stage, name: &str, sent: u64, mended: Instant) -> Result<()> {
    let until = Instant::now() + CATCHES_UP_WITHIN;
    let sent = sent as f64;
    loop {
        stage.scraper.must_be_well()?;
        let look = Look::at(stage, mended.elapsed())?;
        if counted(&look.shown).is_some_and(|counted| counted >= sent) && look.ready == 200 {
            eprintln!("{name}: caught up: {look}");
            return Ok(());
        }
        ensure!(Instant::now() < until, "{name}: not caught up: {look}");
        sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "as long as it is told: ./dev torture --outage MINUTES"]
fn a_database_that_is_away_for_minutes() {
    let Some(broker) = Broker::start() else { return };
    let Some(server) = Server::start(&[]) else { return };
    // stopped by one closure, started by another
    let server = RefCell::new(server);
    in_folder(|folder| {
        let state = server.borrow().url(&server.borrow().database());
        let stage = Stage::set(folder, topic(&broker, "lasting-database", 3), state, Flow::Trickle, 51)?;
        let away = Away { check: "database", commits: false };
        play(stage, away, || server.borrow_mut().stop(), || server.borrow_mut().restart())
    });
}

#[test]
#[ignore = "as long as it is told: ./dev torture --outage MINUTES"]
fn a_broker_that_is_away_for_minutes() {
    let Some(broker) = Broker::start() else { return };
    let broker = RefCell::new(broker);
    in_folder(|folder| {
        let topic = topic(&broker.borrow(), "lasting-broker", 3);
        let stage = Stage::set(folder, topic, sqlite(folder), Flow::Trickle, 52)?;
        let away = Away { check: "kafka", commits: true };
        play(stage, away, || broker.borrow_mut().kill(), || broker.borrow_mut().restart())
    });
}
