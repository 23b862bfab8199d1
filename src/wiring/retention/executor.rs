//! What is done about the log database while the pipeline runs: a thread that lists its partitions for the epochs, reads
//! those that are old enough to see what keeps them, and carries out what is decided about them where that is asked for.
//!
//! It never holds up an epoch: while the log database is away there is no catalogue, so nothing is decided about
//! partitions.

use super::StateLedger;
use crate::{
    config::Config,
    logs::{LogDatabase, LogsError, LogsUrl},
    retention::{self, Inputs, Ledger as _, Order, Outcome, Report, RetentionError},
    sources::stop::Stop,
    store::Store,
};
use dataflows::retention::Obstacles;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// How often, at least, the log database is asked for its partitions.
const LIST_EVERY: Duration = Duration::from_secs(5);
/// A run that took long is followed by so many times that of rest: large partitions that nobody may drop are not read all
/// the time.
const REST: u32 = 20;

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
    /// Opened, once it was there.
    logs: Option<LogDatabase>,
    runtime: Handle,
    stop: Arc<Stop>,
    in_trouble: bool,
    /// When partitions are to be read at the latest.
    next: Instant,
    /// Those that were old enough after that was done last.
    old_enough: BTreeSet<String>,
}

impl Executor {
    #[must_use]
    pub fn new(
        config: &Config,
        url: LogsUrl,
        store: Arc<Store>,
        inputs: Arc<Inputs>,
        runtime: Handle,
        stop: Arc<Stop>,
    ) -> Self {
        let order = Order::of(config, !config.retention_execute);
        let (executes, ledger, in_trouble) = (config.retention_execute, StateLedger(store), false);
        let (next, old_enough, interval) = (Instant::now(), BTreeSet::new(), config.retention_interval);
        Self {
            url,
            executes,
            order,
            interval,
            ledger,
            inputs,
            logs: None,
            runtime,
            stop,
            in_trouble,
            next,
            old_enough,
        }
    }

    /// Works until stopped.
    pub fn run(mut self) {
        let runtime = self.runtime.clone();
        while !self.stop.is_stopped() {
            let worked = runtime.block_on(self.work());
            if worked.is_err() {
                self.inputs.catalogued(None);
            }
            self.note(worked.err().as_ref());
            self.stop.pause(LIST_EVERY.min(self.interval));
        }
    }

    async fn work(&mut self) -> Result<(), RetentionError> {
        let logs = self.opened().await?;
        self.look(&logs).await
    }

    /// Makes nothing in the log database, unless it is to be worked on.
    async fn opened(&mut self) -> Result<LogDatabase, LogsError> {
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
        // one that fails rests as well
        self.old_enough = old_enough;
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

    /// Says once which database cannot be asked, and once that it can again.
    fn note(&mut self, trouble: Option<&RetentionError>) {
        match trouble {
            Some(RetentionError::Logs(error)) if !self.in_trouble => {
                tracing::warn!(%error, "retention cannot look after the log database; keeps trying");
            }
            Some(RetentionError::State(error)) if !self.in_trouble => {
                tracing::warn!(%error, "retention cannot read the state, and leaves the log database alone; keeps trying");
            }
            None if self.in_trouble => tracing::info!("retention looks after the log database again"),
            _ => {}
        }
        self.in_trouble = trouble.is_some();
    }
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
