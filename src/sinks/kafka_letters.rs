//! Dead letters to a Kafka topic: key, value and headers of the original, its origin and the reason as headers more.
//!
//! Delivered at least once: what is not acknowledged is sent again for as long as it takes (I5), so a reader that
//! cares compares `dead_letter_topic`, `dead_letter_partition` and `dead_letter_offset`.

use super::dead_letters::{Sink, SinkError};
use crate::config::Config;
use crate::sources::{
    kafka::{Quiet, client_settings},
    stop::Stop,
};
use dataflows::feed::DeadLetter;
use rdkafka::{
    ClientConfig, ClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

const BACKOFF: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_millis(100);

/// What became of the letters sent, by their place in the list.
#[derive(Debug, Default)]
struct Answers {
    list: Mutex<Vec<(usize, Result<(), RDKafkaErrorCode>)>>,
    came: Condvar,
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, Vec<(usize, Result<(), RDKafkaErrorCode>)>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) -> Vec<(usize, Result<(), RDKafkaErrorCode>)> {
        let waited = self.came.wait_timeout_while(self.lock(), PATIENCE, |list| list.is_empty());
        let (mut list, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *list)
    }
}

#[derive(Clone, Debug, Default)]
struct Courier {
    quiet: Quiet,
    answers: Arc<Answers>,
}

impl ClientContext for Courier {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.quiet.error(error, reason);
    }
}

impl ProducerContext for Courier {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        let code = |error: &KafkaError| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| code(error));
        self.answers.lock().push((place, result));
        self.answers.came.notify_all();
    }
}

/// See the module.
pub struct KafkaLetters {
    settings: ClientConfig,
    producer: ThreadedProducer<Courier>,
    courier: Courier,
    /// Where the letters go.
    topic: String,
    /// Where they come from.
    origin: String,
    stop: Arc<Stop>,
    in_trouble: bool,
}

impl std::fmt::Debug for KafkaLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaLetters").field("topic", &self.topic).finish_non_exhaustive()
    }
}

fn letter_settings(config: &Config) -> ClientConfig {
    let mut settings = client_settings(config);
    settings.set("enable.idempotence", "true");
    settings.set("acks", "all");
    // an answer, good or bad, within this; a bad one is said and tried again
    settings.set("message.timeout.ms", "10000");
    // whatever a broker let in once must go out again
    settings.set("message.max.bytes", (64 << 20).to_string());
    settings.set("queue.buffering.max.kbytes", (64 << 10).to_string());
    settings
}

impl KafkaLetters {
    /// Makes the producer; no broker is asked yet.
    pub fn new(config: &Config, stop: Arc<Stop>) -> Result<Self, SinkError> {
        let (settings, courier) = (letter_settings(config), Courier::default());
        let topic = config.dead_letter_topic.clone();
        let producer = settings.create_with_context(courier.clone());
        let producer = producer.map_err(|e| SinkError { target: topic.clone(), cause: e.to_string() })?;
        Ok(Self { settings, producer, courier, topic, origin: config.topic.clone(), stop, in_trouble: false })
    }

    fn failed(&self, cause: impl ToString) -> SinkError {
        SinkError { target: self.topic.clone(), cause: cause.to_string() }
    }

    /// Sends one letter; `false`: there is no room now.
    fn send(&self, place: usize, letter: &DeadLetter, whole: bool) -> Result<bool, RDKafkaErrorCode> {
        let headers = headers(&self.origin, letter, whole);
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topic, place).headers(headers);
        if !letter.key.is_empty() {
            record = record.key(&letter.key);
        }
        if whole && !letter.value.is_empty() {
            record = record.payload(&letter.value);
        }
        match self.producer.send(record) {
            Ok(()) => Ok(true),
            Err((error, _)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => Ok(false),
                code => Err(code.unwrap_or(RDKafkaErrorCode::Unknown)),
            },
        }
    }

    /// Says once that letters do not get through, and once that they do again.
    fn note(&mut self, trouble: Option<RDKafkaErrorCode>) {
        match trouble {
            Some(code) if !self.in_trouble => {
                let reason = self.courier.quiet.health.take().unwrap_or_else(|| code.to_string());
                tracing::warn!(topic = self.topic, "dead letters cannot be sent: {reason}; keeps trying");
            }
            None if self.in_trouble => tracing::info!(topic = self.topic, "dead letters are sent again"),
            _ => {}
        }
        self.in_trouble = trouble.is_some();
    }

    /// An idempotent producer that has met a fatal error is of no use any more.
    fn renew(&mut self) -> Result<(), SinkError> {
        if self.producer.client().fatal_error().is_some() {
            let producer = self.settings.create_with_context(self.courier.clone());
            self.producer = producer.map_err(|e| self.failed(e))?;
        }
        Ok(())
    }
}

/// One letter on its way.
#[derive(Clone, Copy)]
struct Parcel {
    place: usize,
    /// With its value; without, where even the dead-letter topic finds it too large.
    whole: bool,
}

impl Sink for KafkaLetters {
    fn deliver(&mut self, letters: &[DeadLetter]) -> Result<(), SinkError> {
        let mut waiting: VecDeque<_> = (0..letters.len()).map(|place| Parcel { place, whole: true }).collect();
        let mut whole = vec![true; letters.len()];
        let mut under_way = 0_usize;
        while !waiting.is_empty() || under_way > 0 {
            if self.stop.is_stopped() {
                return Err(self.failed("the pipeline was stopped"));
            }
            let mut answers = Vec::new();
            while let Some(parcel) = waiting.front().copied() {
                match self.send(parcel.place, &letters[parcel.place], parcel.whole) {
                    Ok(true) => under_way += 1,
                    Ok(false) => break,
                    Err(code) => {
                        under_way += 1;
                        answers.push((parcel.place, Err(code)));
                    }
                }
                waiting.pop_front();
            }
            if answers.is_empty() {
                answers = self.courier.answers.wait();
            }
            under_way -= answers.len();
            let mut trouble = None;
            for (place, result) in answers {
                match result {
                    Ok(()) => self.note(None),
                    Err(RDKafkaErrorCode::MessageSizeTooLarge) if whole[place] => {
                        whole[place] = false;
                        tracing::warn!(
                            topic = self.topic,
                            "a dead letter is too large for the topic: sent without its value"
                        );
                        waiting.push_back(Parcel { place, whole: false });
                    }
                    Err(code) => {
                        trouble = Some(code);
                        waiting.push_back(Parcel { place, whole: whole[place] });
                    }
                }
            }
            if trouble.is_some() {
                self.note(trouble);
                self.renew()?;
                self.stop.pause(BACKOFF);
            }
        }
        Ok(())
    }
}

/// Those of the original, then where it came from and what is wrong with it.
fn headers(origin: &str, letter: &DeadLetter, whole: bool) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len() + 7);
    for (name, value) in &letter.headers {
        headers = headers.insert(Header { key: &name.replace('\0', ""), value: Some(value) });
    }
    let timestamp = letter.timestamp.map(|timestamp| timestamp.to_string());
    let size = (!whole).then(|| letter.value.len().to_string());
    let ours = [
        ("dead_letter_topic", Some(origin.to_owned())),
        ("dead_letter_partition", Some(letter.partition.to_string())),
        ("dead_letter_offset", Some(letter.offset.to_string())),
        ("dead_letter_timestamp", timestamp),
        ("dead_letter_reason", Some(letter.reason.name().to_owned())),
        ("dead_letter_detail", Some(letter.detail.clone())),
        // only where the value itself is left out
        ("dead_letter_value_bytes", size),
    ];
    for (key, value) in ours {
        if let Some(value) = &value {
            headers = headers.insert(Header { key, value: Some(value) });
        }
    }
    headers
}
