//! Sends events to a topic, for `generate` and `demo`.
//!
//! A full queue makes the sender wait (I6); an event that the broker did not take is an error, never silence.

use super::courier::LOSSLESS;
use crate::{config::kafka::refused, sources::kafka::Quiet};
use rdkafka::{
    ClientConfig, ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// After this long an event that no broker takes has failed.
const TIMEOUT_MS: u32 = 30_000;

/// Between two looks at what has failed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why events could not be sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProduceError {
    #[error("{0}")]
    Settings(String),
    #[error("cannot send events to the topic {topic} on {brokers}: {why}")]
    Send { topic: String, brokers: String, why: String },
}

/// A producer of one topic.
pub struct EventProducer {
    producer: ThreadedProducer<Deliveries>,
    failure: Failure,
    quiet: Quiet,
    brokers: String,
    topic: String,
}

/// The first failure to deliver, told by librdkafka's thread.
type Failure = Arc<Mutex<Option<KafkaError>>>;

struct Deliveries {
    failure: Failure,
    quiet: Quiet,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.quiet.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            tracing::debug!(topic = message.topic(), %error, "an event was not taken");
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}

impl EventProducer {
    /// `settings` are librdkafka's own and override what is set here.
    ///
    /// # Errors
    /// [`ProduceError::Settings`]; an absent broker shows only when events are sent.
    pub fn new(brokers: &str, topic: &str, settings: &BTreeMap<String, String>) -> Result<Self, ProduceError> {
        let (failure, quiet) = (Failure::default(), Quiet::default());
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "20")
            .set("message.timeout.ms", TIMEOUT_MS.to_string());
        config.extend(settings.iter().map(|(name, value)| (name.clone(), value.clone())));
        config.extend(LOSSLESS.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let producer = config
            .create_with_context(Deliveries { failure: Arc::clone(&failure), quiet: quiet.clone() })
            .map_err(|error| ProduceError::Settings(refused(error)))?;
        Ok(Self { producer, failure, quiet, brokers: brokers.to_owned(), topic: topic.to_owned() })
    }

    /// Queues one event; waits while the queue is full.
    ///
    /// # Errors
    /// [`ProduceError::Send`], also where an earlier event was not taken.
    pub fn send(&self, key: &[u8], value: &[u8]) -> Result<(), ProduceError> {
        let mut record = BaseRecord::to(&self.topic).key(key).payload(value);
        loop {
            self.check()?;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(self.failed(&error)),
            }
        }
    }

    /// Waits until everything was taken.
    ///
    /// # Errors
    /// [`ProduceError::Send`]
    pub fn finish(&self) -> Result<(), ProduceError> {
        let until = Instant::now() + Duration::from_millis(u64::from(TIMEOUT_MS) + 5_000);
        loop {
            let flushed = self.producer.flush(LOOK_EVERY);
            self.check()?;
            match flushed {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > until => return Err(self.failed(&error)),
                Err(_) => {}
            }
        }
    }

    /// A password or certificate that is refused will be refused again: no use to wait for the time-out.
    fn check(&self) -> Result<(), ProduceError> {
        if let Some(refusal) = self.quiet.health.refusal() {
            return Err(self.failed_for(refusal));
        }
        match &*self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(self.failed(error)),
            None => Ok(()),
        }
    }

    fn failed(&self, error: &KafkaError) -> ProduceError {
        let why = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
        self.failed_for(format!("{why}; are the brokers up, and is the topic there?"))
    }

    fn failed_for(&self, why: String) -> ProduceError {
        ProduceError::Send { topic: self.topic.clone(), brokers: self.brokers.clone(), why }
    }
}

impl fmt::Debug for EventProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventProducer")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
