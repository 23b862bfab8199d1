//! The librdkafka clients: which settings exactness needs, and what becomes of librdkafka's own messages.

use super::{SourceError, raw::log_quietly};
use crate::config::{Config, kafka::refused};
use rdkafka::{
    ClientConfig, ClientContext,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a record of some hundred bytes that is read ahead takes of memory: librdkafka keeps more about it than it is long.
const BYTES_OF_SMALL_RECORD: usize = 2 << 10;

/// What librdkafka said last about its connections: the reason shown when Kafka cannot be asked.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    reason: Option<String>,
    refusal: Option<String>,
    may_not_read: bool,
    cannot_read_on: Option<String>,
}

impl Health {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the reason, so that an old one is not shown for a new trouble.
    #[must_use]
    pub fn take(&self) -> Option<String> {
        self.said().reason.take()
    }

    /// Why client and broker do not trust each other, and what to look at. It stays, since librdkafka says the same thing
    /// once in half a minute, until [`Health::is_well`].
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.said().refusal.clone()
    }

    /// Whether the brokers let the topic be read, as the reader finds.
    pub(super) fn may_read(&self, may: bool) {
        self.said().may_not_read = !may;
    }

    #[must_use]
    pub(super) fn is_refused_to_read(&self) -> bool {
        self.said().may_not_read
    }

    /// What the reader cannot take apart.
    pub(super) fn cannot_read_on(&self, why: Option<String>) {
        self.said().cannot_read_on = why;
    }

    #[must_use]
    pub(super) fn cannot_be_read_on(&self) -> Option<String> {
        self.said().cannot_read_on.clone()
    }

    /// A broker has answered.
    pub fn is_well(&self) {
        self.said().refusal = None;
    }
}

/// What to look at, where a connection fails for want of trust.
const fn remedy(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        RDKafkaErrorCode::Authentication => {
            Some("check kafka.\"sasl.username\", kafka.\"sasl.password\" and kafka.\"sasl.mechanism\"")
        }
        RDKafkaErrorCode::SSL => Some(
            "check kafka.\"ssl.ca.location\" (who signed the broker's certificate), the broker's name in its certificate, \
             and kafka.\"ssl.certificate.location\" where brokers ask for one",
        ),
        _ => None,
    }
}

/// A client that writes nothing by itself: its lines go to the debug log, its troubles to [`Health`], because what
/// people must know is said once, by the watcher.
#[derive(Clone, Debug, Default)]
pub struct Quiet {
    pub health: Health,
}

impl Quiet {
    /// A line of librdkafka's own. `level`: as syslog's.
    pub fn line(&self, level: i32, facility: &str, message: &str) {
        if matches!(facility, "FAIL" | "ERROR") {
            self.health.said().reason = Some(message.to_owned());
        }
        tracing::debug!(target: "librdkafka", level, facility, "{message}");
    }
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.line(level as i32, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // an end is no trouble, and that all brokers are down says less than why the last of them is
        if !matches!(error, KafkaError::PartitionEOF(_))
            && !matches!(code, Some(RDKafkaErrorCode::PartitionEOF | RDKafkaErrorCode::AllBrokersDown))
        {
            let mut said = self.health.said();
            said.reason = Some(reason.to_owned());
            if let Some(remedy) = code.and_then(remedy) {
                said.refusal = Some(format!("{reason}; {remedy}"));
            }
            tracing::debug!(target: "librdkafka", %error, "{reason}");
        }
    }
}

impl ConsumerContext for Quiet {}

/// Every client of the source.
pub(super) struct Clients {
    pub reader: BaseConsumer<Quiet>,
    pub watcher: BaseConsumer<Quiet>,
    pub health: Health,
}

impl Clients {
    pub fn create(config: &Config) -> Result<Self, SourceError> {
        let health = Health::default();
        let quiet = Quiet { health: health.clone() };
        let consumer = consumer_settings(config);
        let reader: BaseConsumer<Quiet> = create(&consumer, quiet.clone())?;
        log_quietly(reader.client());
        Ok(Self { reader, watcher: create(&consumer, quiet)?, health })
    }
}

pub(super) fn create<T: FromClientConfigAndContext<Quiet>>(
    settings: &ClientConfig,
    context: Quiet,
) -> Result<T, SourceError> {
    settings.create_with_context(context).map_err(|error| SourceError::Settings(refused(error)))
}

/// Settings that every client has, the user's own above ours.
#[must_use]
pub fn settings(config: &Config) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", &config.brokers);
    settings.set("client.id", "gocdnext-flow");
    settings.set("log.connection.close", "false");
    // librdkafka tries a broker again after half of this, not after a growing time: at 100, the default, 20 times a second
    settings.set("reconnect.backoff.ms", "500");
    // an outage must not go on for 10 s after its end
    settings.set("reconnect.backoff.max.ms", "2000");
    for (name, value) in &config.kafka {
        settings.set(name, value);
    }
    settings
}

pub(super) fn consumer_settings(config: &Config) -> ClientConfig {
    let mut defaults = settings(config);
    let mut ours = |name: &str, value: &str| {
        if !config.kafka.contains_key(name) {
            defaults.set(name, value);
        }
    };
    // at 1000, the default, a catch-up stalls whenever the queue is full
    ours("fetch.queue.backoff.ms", "5");
    // an end that is asked for again is answered after the fetch that is under way
    ours("fetch.wait.max.ms", "100");
    ours("allow.auto.create.topics", "false");
    let kbytes = (config.kafka_queue_bytes >> 10).max(1);
    ours("queued.max.messages.kbytes", &kbytes.to_string());
    // librdkafka counts keys and values alone
    let records = (config.kafka_queue_bytes / BYTES_OF_SMALL_RECORD).max(1);
    ours("queued.min.messages", &records.to_string());
    // an answer is unpacked whole, to a multiple of what was sent
    ours("fetch.max.bytes", &(config.kafka_queue_bytes / 8).clamp(1 << 20, 50 << 20).to_string());
    ours("group.id", &config.group_id);
    // exactness rests on these: what is seen, and what counts as read (I1, I4)
    ours("isolation.level", "read_committed");
    ours("enable.partition.eof", "true");
    ours("auto.offset.reset", "error");
    ours("enable.auto.commit", "false");
    ours("enable.auto.offset.store", "false");
    defaults
}
