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
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

const BACKOFF: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the producer's thread looks for events at a time. rdkafka spins for the last millisecond of it: its own
/// thread, with a tenth of this, is most of what an idle process does.
const SERVE_FOR: Duration = Duration::from_secs(1);

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
    /// Made for the first letter: most processes never have one, and a producer has four threads.
    producer: Option<Arc<BaseProducer<Courier>>>,
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
    /// Shows whether librdkafka takes the settings; no broker is asked yet.
    pub fn new(config: &Config, stop: Arc<Stop>) -> Result<Self, SinkError> {
        let (settings, courier) = (letter_settings(config), Courier::default());
        let (topic, origin) = (config.dead_letter_topic.clone(), config.topic.clone());
        let letters = Self { settings, producer: None, courier, topic, origin, stop, in_trouble: false };
        letters.create()?;
        Ok(letters)
    }

    fn create(&self) -> Result<BaseProducer<Courier>, SinkError> {
        self.settings.create_with_context(self.courier.clone()).map_err(|error| self.failed(error))
    }

    /// The producer, with a thread that serves its events for as long as it is here.
    fn producer(&mut self) -> Result<Arc<BaseProducer<Courier>>, SinkError> {
        if let Some(producer) = &self.producer {
            return Ok(Arc::clone(producer));
        }
        let producer = Arc::new(self.create()?);
        let served = Arc::downgrade(&producer);
        let serve = move || {
            while let Some(producer) = served.upgrade() {
                producer.poll(SERVE_FOR);
            }
        };
        thread::Builder::new().name("letters".to_owned()).spawn(serve).map_err(|error| self.failed(error))?;
        self.producer = Some(Arc::clone(&producer));
        Ok(producer)
    }

    fn failed(&self, cause: impl ToString) -> SinkError {
        SinkError { target: self.topic.clone(), cause: cause.to_string() }
    }

    /// Sends one letter; `false`: there is no room now.
    fn send(
        &self,
        producer: &BaseProducer<Courier>,
        place: usize,
        letter: &DeadLetter,
        whole: bool,
    ) -> Result<bool, RDKafkaErrorCode> {
        let headers = headers(&self.origin, letter, whole);
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topic, place).headers(headers);
        if !letter.key.is_empty() {
            record = record.key(&letter.key);
        }
        if whole && !letter.value.is_empty() {
            record = record.payload(&letter.value);
        }
        match producer.send(record) {
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
    fn renew(&mut self) {
        self.producer.take_if(|producer| producer.client().fatal_error().is_some());
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
            let producer = self.producer()?;
            let mut answers = Vec::new();
            while let Some(parcel) = waiting.front().copied() {
                match self.send(&producer, parcel.place, &letters[parcel.place], parcel.whole) {
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
                // an answer that is still to come comes from the producer that was given the letter
                if under_way == 0 {
                    self.renew();
                }
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
