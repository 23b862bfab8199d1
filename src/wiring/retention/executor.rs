//! What is done about the log database while the pipeline runs: a thread that lists its partitions for the epochs, reads
//! those that are old enough to see what keeps them, carries out what is decided about them where that is asked for, and
//! tells Kafka of every drop until it is acknowledged.
//!
//! It never holds up an epoch: while the log database is away there is no catalogue, so nothing is decided about
//! partitions.

use super::StateLedger;
use crate::{
    config::Config,
    logs::{Drop, LogDatabase, LogsError, LogsUrl},
    retention::{self, Inputs, Ledger as _, Order, Outcome, Report, RetentionError},
    sinks::{
        courier::{Courier, Record},
        dead_letters::SinkError,
        decisions::SOURCE,
    },
    sources::stop::Stop,
    store::Store,
};
use dataflows::retention::{Obstacles, partitions::told};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;
use uuid::Uuid;

/// How often, at least, the log database is asked for its partitions.
const LIST_EVERY: Duration = Duration::from_secs(5);
/// A run that took long is followed by so many times that of rest: large partitions that nobody may drop are not read all
/// the time.
const REST: u32 = 20;
/// Drops told at a time.
const BATCH: u32 = 100;

/// See the module.
#[derive(Debug)]
pub struct Executor {
    url: LogsUrl,
    executes: bool,
    order: Order,
    /// How often partitions are read.
    interval: Duration,
    ledger: StateLedger,
    inputs: Arc<Inputs>,
    /// Connected, once it was there.
    logs: Option<LogDatabase>,
    runtime: Handle,
    courier: Courier,
    stop: Arc<Stop>,
    in_trouble: bool,
    /// When partitions are to be read at the latest.
    next: Instant,
    /// Those that were old enough after that was done last.
    old_enough: BTreeSet<String>,
}

impl Executor {
    /// Shows whether librdkafka takes the settings.
    pub fn new(
        config: &Config,
        url: LogsUrl,
        store: Arc<Store>,
        inputs: Arc<Inputs>,
        runtime: Handle,
        stop: Arc<Stop>,
    ) -> Result<Self, SinkError> {
        let courier = Courier::new(config, &config.topic, "dropped partitions", Arc::clone(&stop))?;
        let order = Order {
            dry_run: !config.retention_execute,
            max_drops: usize::try_from(config.max_drops).unwrap_or(usize::MAX),
            months_ahead: config.dataflow.retention.months_ahead,
            ..Order::default()
        };
        let (executes, ledger, in_trouble) = (config.retention_execute, StateLedger(store), false);
        let (next, old_enough, interval) = (Instant::now(), BTreeSet::new(), config.retention_interval);
        Ok(Self {
            url,
            executes,
            order,
            interval,
            ledger,
            inputs,
            logs: None,
            runtime,
            courier,
            stop,
            in_trouble,
            next,
            old_enough,
        })
    }

    /// Works until stopped.
    ///
    /// # Errors
    /// [`SinkError`] where no producer can be made.
    pub fn run(mut self) -> Result<(), SinkError> {
        while !self.stop.is_stopped() {
            match self.work() {
                Err(Trouble::Sink(_)) if self.stop.is_stopped() => return Ok(()),
                Err(Trouble::Sink(error)) => return Err(error),
                Err(Trouble::Retention(error)) => self.note(Some(&error)),
                Ok(()) => self.note(None),
            }
            self.stop.pause(LIST_EVERY.min(self.interval));
        }
        Ok(())
    }

    fn work(&mut self) -> Result<(), Trouble> {
        let runtime = self.runtime.clone();
        let looked = runtime.block_on(async {
            let logs = self.connected().await?;
            self.look(&logs).await?;
            Ok::<_, RetentionError>(logs)
        });
        let logs = looked.inspect_err(|_| {
            self.inputs.catalogued(None);
        })?;
        self.tell(&logs)
    }

    /// Makes nothing in the log database, unless it is to be worked on.
    async fn connected(&mut self) -> Result<LogDatabase, LogsError> {
        if let Some(logs) = &self.logs {
            return Ok(logs.clone());
        }
        let logs = if self.executes { LogDatabase::open(&self.url).await? } else { LogDatabase::look(&self.url) };
        Ok(self.logs.insert(logs).clone())
    }

    /// Lists the partitions, and, if it is time, carries out what is decided, or only reads what is in the way of it: now
    /// and then, and whenever others are old enough than before.
    async fn look(&mut self, logs: &LogDatabase) -> Result<(), RetentionError> {
        // a run may take long
        let old_enough = self.list(logs).await?;
        if Instant::now() < self.next && old_enough == self.old_enough {
            return Ok(());
        }
        let begun = Instant::now();
        let ran = retention::run(logs, &self.ledger, &self.order).await;
        self.next = Instant::now() + self.interval.max(begun.elapsed() * REST);
        let report = ran?;
        say(&report);
        self.inputs.found(obstacles(&report));
        self.old_enough = self.list(logs).await?;
        Ok(())
    }

    /// Tells the epochs which partitions there are; and which of them may go by policies and clocks alone.
    async fn list(&self, logs: &LogDatabase) -> Result<BTreeSet<String>, RetentionError> {
        let standing = self.ledger.standing().await?;
        let mut catalogue = logs.catalogue().await?;
        for partition in &mut catalogue.partitions {
            partition.adopted = standing.adopted.contains(&partition.name);
        }
        let old_enough = retention::old_enough(&catalogue, &standing);
        self.inputs.catalogued(Some(catalogue));
        Ok(old_enough)
    }

    /// Drops of which Kafka does not know yet; those of `retention run`, too.
    fn tell(&mut self, logs: &LogDatabase) -> Result<(), Trouble> {
        let runtime = self.runtime.clone();
        loop {
            let drops = runtime.block_on(logs.unacknowledged(BATCH))?;
            if drops.is_empty() {
                return Ok(());
            }
            // one that only looks may not write down that it has told
            let writer = runtime.block_on(LogDatabase::open(&self.url))?;
            let topic = self.courier.topic().to_owned();
            let events: Vec<String> = drops.iter().map(event).collect();
            self.courier.deliver(drops.len(), |place, _| {
                Record::with_opaque_to(&topic, place)
                    .key(drops[place].name.as_bytes())
                    .payload(events[place].as_bytes())
            })?;
            for drop in &drops {
                runtime.block_on(writer.acknowledge(&drop.name))?;
            }
        }
    }

    /// Says once that the log database cannot be asked, and once that it can again.
    fn note(&mut self, trouble: Option<&RetentionError>) {
        match trouble {
            Some(error) if !self.in_trouble => {
                tracing::warn!(%error, "retention cannot look after the log database; keeps trying");
            }
            None if self.in_trouble => tracing::info!("retention looks after the log database again"),
            _ => {}
        }
        self.in_trouble = trouble.is_some();
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Retention(#[from] RetentionError),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// The event of the contract, with an id that follows from the drop alone: sent twice it counts once.
fn event(drop: &Drop) -> String {
    let event = json!({
        "specversion": "1.0",
        "id": Uuid::from_u128(drop.decision).to_string(),
        "source": SOURCE,
        "type": "io.gocdnext.log.partition_dropped",
        "time": told(drop.dropped_at),
        "datacontenttype": "application/json",
        "data": { "partition": drop.name, "upper_bound": told(drop.upper) },
    });
    event.to_string()
}

/// What was done, and what went wrong; what is only kept is in the series.
fn say(report: &Report) {
    for (partition, outcome) in report.ensured.iter().chain(&report.partitions) {
        let partition = &partition.name;
        match outcome {
            Outcome::Ensured => tracing::info!(partition, "a partition of the logs was made"),
            Outcome::Dropped(drop) => {
                tracing::info!(partition, rows = drop.rows, "a partition of the logs was dropped");
            }
            Outcome::Refused { why } | Outcome::Busy { why } => {
                tracing::warn!(partition, "a partition of the logs was left as it is: {why}");
            }
            _ => {}
        }
    }
}

fn obstacles(report: &Report) -> Obstacles {
    let blocked = report.partitions.iter().filter_map(|(partition, outcome)| match outcome {
        Outcome::Blocked(obstacle) => Some((partition.name.clone(), obstacle.clone())),
        _ => None,
    });
    blocked.collect()
}

impl From<LogsError> for Trouble {
    fn from(error: LogsError) -> Self {
        Self::Retention(error.into())
    }
}
