//! The demo's log database: lines of the fleet's jobs as they end, and a year of months behind it whose time runs out
//! before one's eyes.
//!
//! No clock is bent: partitions, rules and executor are those of `run`. What moves is the policy. Step by step it keeps
//! a month less, as if a month had passed; the archives of that month's jobs come a step later, and what is in the way of
//! no drop goes. The jobs of that year are told of as late events, which is what they are.

mod archivist;
mod year;

use crate::{
    clock::wall_ms,
    config::Config,
    logs::{LogDatabase, embedded::Line},
    published::Published,
    sinks::events::EventProducer,
    store::{StateUrl, Store},
};
use anyhow::Context;
use archivist::Archivist;
use dataflows::{
    event::Id,
    retention::{Policy, policy::DAY_MS},
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;
use year::Year;

/// A month of the year behind passes in this time.
const STEP: Duration = Duration::from_secs(10);
/// How often the fleet's lines are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often the executor looks: a demo has little to read.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Jobs whose lines wait to be written; beyond it they are left out, for the fleet must not wait for a file.
const MOST_WAITING: usize = 10_000;
/// Lines of each job.
const LINES: i64 = 5;
/// Archives are asked for so soon after a job's end that some are in time and some are not.
const ARCHIVE_GRACE_MS: i64 = 1_000;

/// Switches retention on, over a log database in this directory.
pub fn settings(config: &mut Config, directory: &Path) {
    config.log_database = Some(StateUrl::sqlite(directory.join("logs.db")));
    config.retention_execute = true;
    config.retention_interval = LOOK_EVERY;
    config.dataflow.retention.archive_grace_ms = ARCHIVE_GRACE_MS;
}

/// The log database with its year, ready to live.
pub struct Logs {
    runtime: Runtime,
    database: LogDatabase,
    store: Store,
    producer: EventProducer,
    archivist: Archivist,
    year: Year,
    ended: Receiver<Id>,
}

/// Where the fleet's ended jobs are told.
#[derive(Clone, Debug)]
pub struct Ended(SyncSender<Id>);

/// Its thread.
pub struct Keeper {
    thread: JoinHandle<()>,
    /// Dropped to stop it.
    stop: Sender<()>,
}

impl Logs {
    /// Makes the database, its partitions and their lines, and vouches for what is from before the pipeline's time.
    pub fn prepare(config: &Config) -> anyhow::Result<(Self, Ended)> {
        let runtime = Builder::new_current_thread().enable_all().build().context("starting the log keeper")?;
        let year = Year::before(wall_ms());
        let url = config.log_database.clone().context("the demo has no log database")?;
        let (database, store) = runtime.block_on(async {
            let database = LogDatabase::open(&url).await?;
            for month in &year.months {
                database.ensure(month.month).await?;
                database.append(&month.lines).await?;
            }
            let store = Store::open(&config.state).await?;
            set_policy(&store, year.first_days()).await?;
            for month in year.months.iter().filter(|month| month.adopted) {
                store.adopt(&month.name, "the demo's own past", &[]).await?;
            }
            Ok::<_, anyhow::Error>((database, store))
        })?;
        let producer = EventProducer::new(&config.brokers, &config.topic, &config.kafka)?;
        let archivist = Archivist::new(config)?;
        let (tell, ended) = sync_channel(MOST_WAITING);
        Ok((Self { runtime, database, store, producer, archivist, year, ended }, Ended(tell)))
    }

    /// Goes on by the clock, from the first series shown on.
    pub fn keep(self, published: Arc<Published>) -> anyhow::Result<Keeper> {
        let (stop, stopped) = channel();
        let live = move || {
            if let Err(error) = self.live(&published, &stopped) {
                // the rest of the demo goes on without it
                tracing::warn!(%error, "the demo's log database is not kept any more");
            }
        };
        let thread = thread::Builder::new().name("logs".into()).spawn(live).context("starting the log keeper")?;
        Ok(Keeper { thread, stop })
    }

    fn live(mut self, published: &Published, stopped: &Receiver<()>) -> anyhow::Result<()> {
        let mut next = None;
        while stopped.recv_timeout(WRITE_EVERY) == Err(RecvTimeoutError::Timeout) {
            self.write()?;
            self.archive()?;
            // what is sent before all is caught up would not be late
            if next.is_none() && published.snapshot.load().is_some() {
                self.send(&self.year.jobs())?;
                next = Some(Instant::now());
            }
            if next.is_some_and(|next| Instant::now() >= next) {
                self.step()?;
                next = Some(Instant::now() + STEP);
            }
        }
        Ok(())
    }

    /// Archives what is asked for and has no archive yet: the fleet may have been faster.
    fn archive(&self) -> anyhow::Result<()> {
        let asked = self.archivist.asked();
        let jobs: Vec<Id> = asked.iter().map(|asked| asked.job).collect();
        let archived: BTreeSet<_> = {
            let rows = self.runtime.block_on(self.store.log_rows(&jobs))?;
            rows.into_iter().filter(|row| row.archived_at.is_some()).map(|row| row.key()).collect()
        };
        let open = asked.iter().filter(|asked| !archived.contains(&(asked.job, asked.run, asked.attempt)));
        self.send(&open.map(|asked| asked.answer(wall_ms())).collect::<Vec<_>>())
    }

    /// A month passes.
    fn step(&mut self) -> anyhow::Result<()> {
        let Some(step) = self.year.step(wall_ms()) else { return Ok(()) };
        self.send(&step.archived)?;
        self.runtime.block_on(set_policy(&self.store, step.days))
    }

    fn send(&self, events: &[String]) -> anyhow::Result<()> {
        events.iter().try_for_each(|event| self.producer.send(b"", event.as_bytes()))?;
        Ok(())
    }

    /// Lines of the jobs that have ended since.
    fn write(&self) -> anyhow::Result<()> {
        let now = wall_ms();
        let lines: Vec<Line> = self.ended.try_iter().flat_map(|job| lines(job, now)).collect();
        if lines.is_empty() {
            return Ok(());
        }
        Ok(self.runtime.block_on(self.database.append(&lines))?)
    }
}

impl Ended {
    /// Takes note of a record that tells of the end of a job.
    pub fn see(&self, value: &[u8]) {
        let Some(job) = ended_job(value) else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.0.try_send(job) {
            tracing::debug!("a job's lines are not written");
        }
    }
}

fn ended_job(value: &[u8]) -> Option<Id> {
    let text = std::str::from_utf8(value).ok()?;
    if !text.contains("io.gocdnext.job.finished") {
        return None;
    }
    let (_, rest) = text.split_once(r#""job_id":""#)?;
    Uuid::try_parse(rest.get(..36)?).ok().map(|job| job.as_u128())
}

impl Keeper {
    /// Ends it.
    pub fn stop(self) {
        drop(self.stop);
        // one that failed has said so
        let _ = self.thread.join();
    }
}

fn lines(job: Id, end: i64) -> impl Iterator<Item = Line> {
    (0..LINES).map(move |seq| Line { job, seq, at: end - LINES + seq, text: format!("step {seq} is done") })
}

async fn set_policy(store: &Store, days: i64) -> anyhow::Result<()> {
    let log_retention_days = u32::try_from(days.clamp(0, 366 * 2)).unwrap_or_default();
    Ok(store.set_policy(None, Policy { log_retention_days, archive: true }).await?)
}

/// Whole days from one time to another.
const fn days_between(from: i64, to: i64) -> i64 {
    (to - from).div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_jobs_are_seen_in_what_the_fleet_says() {
        let records = crate::fleet::Fleet::new(crate::fleet::FleetOptions { max_jobs: Some(50), ..<_>::default() });
        let (mut seen, mut said) = (0, 0);
        for record in records {
            let event: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
            let is_end = event["type"] == "io.gocdnext.job.finished";
            let job = event["data"]["job_id"].as_str().and_then(|job| Uuid::try_parse(job).ok());
            let expected = job.map(|job| job.as_u128()).filter(|_| is_end);
            assert_eq!(ended_job(&record.value), expected);
            (seen, said) = (seen + u32::from(expected.is_some()), said + u32::from(is_end));
        }
        assert!(said >= 50 && seen == said);
        assert_eq!(ended_job(b"io.gocdnext.job.finished \xff"), None);
    }
}
