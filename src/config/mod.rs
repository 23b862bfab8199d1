//! The service's settings, valid and typed. How they are read (TOML, environment, flags) is in the files beside.
//!
//! [`table`] is the one list of them. [`load::load`] reads in two stages: as written ([`read`], [`environment`] and
//! the flags), then as valid ([`kind`], [`checks`]). [`show`] prints them, [`reference`] documents them.
//! What must stay true: no value is taken that its row does not allow, and no secret is printed.

mod checks;
pub mod environment;
pub mod fault;
pub mod grammar;
pub mod kafka;
pub mod kind;
pub mod load;
pub mod read;
pub mod reference;
pub mod show;
pub mod table;
pub mod units;
pub mod value;

#[cfg(test)]
mod tests;

use crate::store::StateUrl;
use dataflows::{sequencer::Clock, settings::Settings};
use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

/// Every setting; field names are the settings' names (durations and sizes without unit suffix).
#[derive(Clone)]
pub struct Config {
    /// Kafka bootstrap servers, comma-separated.
    pub brokers: String,
    pub topic: String,
    pub dead_letter_topic: String,
    /// Consumer group to which offsets are committed, for lag tools only.
    pub group_id: String,
    /// librdkafka's own settings.
    pub kafka: BTreeMap<String, String>,
    /// Memory librdkafka may queue.
    pub kafka_queue_bytes: usize,
    pub listen: SocketAddr,
    pub instance_id: String,
    /// Where the durable state is.
    pub state: StateUrl,
    /// A standby waits to take over: what this instance shows must give way when it can no longer know that it holds
    /// the lease.
    pub ha: bool,
    /// A holder that gives no sign of life for this long is superseded.
    pub lease_ttl: Duration,
    /// Where gocdnext keeps the lines of job logs; with it retention is on.
    pub log_database: Option<StateUrl>,
    /// Carry out what is decided about partitions of the log database.
    pub retention_execute: bool,
    /// How often the log database is looked after.
    pub retention_interval: Duration,
    /// Partitions dropped in one run.
    pub max_drops: u32,
    /// Where decisions of retention go.
    pub decision_topic: String,
    /// Dataflow threads, at least 1.
    pub workers: usize,
    pub clock: Clock,
    /// Length of an epoch when live.
    pub epoch_interval: Duration,
    /// Length of an epoch in a replay, at least.
    pub epoch_records: u64,
    /// Epochs that may be read ahead of the last committed one.
    pub max_epochs_in_flight: u64,
    /// `/readyz` stops waiting for the start-up catch-up after this.
    pub catch_up_timeout: Duration,
    /// Commits older than this make `/readyz` fail.
    pub max_commit_age: Duration,
    pub http_max_connections: usize,
    pub http_max_request_bytes: usize,
    pub http_timeout: Duration,
    /// Serve text format even to a client that asks for OpenMetrics.
    pub force_text_format: bool,
    /// A tracing filter, as `info` or `gocdnext_flow=debug`.
    pub log_level: String,
    /// Lines of one kind of warning or error that are written in a minute; the rest are counted.
    pub log_burst: u32,
    pub dataflow: Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".into(),
            topic: "gocdnext.events".into(),
            dead_letter_topic: "gocdnext.dead-letters".into(),
            group_id: "gocdnext-flow".into(),
            kafka: BTreeMap::new(),
            kafka_queue_bytes: 64 << 20,
            listen: SocketAddr::from(([0, 0, 0, 0], 8153)),
            instance_id: String::new(),
            state: StateUrl::sqlite("gocdnext-flow.db"),
            ha: false,
            lease_ttl: Duration::from_secs(15),
            log_database: None,
            retention_execute: false,
            retention_interval: Duration::from_secs(60),
            max_drops: 3,
            decision_topic: "gocdnext.decisions".into(),
            workers: 1,
            clock: Clock::Wall,
            epoch_interval: Duration::from_secs(1),
            epoch_records: 100_000,
            max_epochs_in_flight: 4,
            catch_up_timeout: Duration::from_mins(10),
            max_commit_age: Duration::from_secs(30),
            http_max_connections: 512,
            http_max_request_bytes: 64 << 10,
            http_timeout: Duration::from_secs(10),
            force_text_format: false,
            log_level: "info".into(),
            log_burst: 10,
            dataflow: Settings::default(),
        }
    }
}

/// By hand, so that a `{:?}` in a log never shows a secret.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = table::SETTINGS.iter().map(|row| (row.name.to_owned(), row.kind.show(&(row.get)(self))));
        let librdkafka = self.kafka.iter().map(|(name, value)| {
            let shown = if kafka::is_secret(name) { kafka::MASK } else { value };
            (format!("kafka.{name}"), shown.to_owned())
        });
        f.debug_map().entries(rows.chain(librdkafka)).finish()
    }
}
