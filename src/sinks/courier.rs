//! Records to a Kafka topic, sent until the brokers have acknowledged them, for as long as it takes (I5).
//!
//! Delivered at least once: what was not acknowledged is sent again, also after a restart of whoever sends.

use super::dead_letters::SinkError;
use crate::config::{Config, kafka::refused};
use crate::sources::{
    kafka::{Quiet, client_settings},
    stop::Stop,
};
use rdkafka::{
    ClientConfig, ClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
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

/// How long it is asked what is wrong with the topic.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// It has nothing else to send, so only its settings can be the cause.
const NO_ROOM: &str = "librdkafka has no room for one of them; raise kafka.\"queue.buffering.max.kbytes\"";

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
struct Context {
    quiet: Quiet,
    answers: Arc<Answers>,
}

impl ClientContext for Context {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.quiet.error(error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        let code = |error: &KafkaError| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| code(error));
        self.answers.lock().push((place, result));
        self.answers.came.notify_all();
    }
}

/// A record to send, its place in the list as its opaque.
pub type Record<'a> = BaseRecord<'a, [u8], [u8], usize>;

/// How much of a record is sent: less and less, as long as the brokers find it too large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    #[default]
    Whole,
    /// As before, but in a batch of its own: a batch that is too large is refused whole.
    Alone,
    WithoutValue,
    /// Nothing that came from outside.
    Bare,
}

impl Extent {
    const fn next(self) -> Option<Self> {
        match self {
            Self::Whole => Some(Self::Alone),
            Self::Alone => Some(Self::WithoutValue),
            Self::WithoutValue => Some(Self::Bare),
            Self::Bare => None,
        }
    }
}

/// Which records are to be sent, and how much of each.
#[derive(Debug)]
struct Load {
    waiting: VecDeque<usize>,
    extents: Vec<Extent>,
    under_way: usize,
    /// The one under way must have no company.
    alone: bool,
}

impl Load {
    fn of(count: usize) -> Self {
        Self { waiting: (0..count).collect(), extents: vec![Extent::Whole; count], under_way: 0, alone: false }
    }

    fn is_delivered(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }

    /// The next that may be sent now.
    fn next(&self) -> Option<(usize, Extent)> {
        let place = *self.waiting.front()?;
        let extent = self.extents[place];
        let wants_to_be_alone = extent != Extent::Whole;
        (self.under_way == 0 || !(self.alone || wants_to_be_alone)).then_some((place, extent))
    }

    fn sent(&mut self) {
        if let Some(place) = self.waiting.pop_front() {
            self.under_way += 1;
            self.alone = self.extents[place] != Extent::Whole;
        }
    }
}

/// See the module.
pub struct Courier {
    settings: ClientConfig,
    /// Made for the first record: most processes never send a dead letter, and a producer has four threads.
    producer: Option<Arc<BaseProducer<Context>>>,
    context: Context,
    topic: String,
    /// As people call what is sent, in the plural.
    what: &'static str,
    stop: Arc<Stop>,
    in_trouble: bool,
    /// How little of a record may be sent at worst.
    least: Extent,
    /// Hears why records do not get through, and that they do again.
    told: Option<Told>,
}

/// See [`Courier::tells`].
pub type Told = Box<dyn Fn(Option<String>) + Send>;

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// What every producer of ours has: an acknowledgement means that the record is there.
///
/// One request at a time: a new partition's leader may refuse the first and take the second, which librdkafka reads as
/// an acknowledgement of both (<https://github.com/confluentinc/confluent-kafka-go/issues/921>), and the first is lost.
pub(super) const LOSSLESS: [(&str, &str); 3] =
    [("enable.idempotence", "true"), ("acks", "all"), ("max.in.flight", "1")];

/// The user's own stand above ours, but for what exactness rests on.
fn settings(config: &Config) -> ClientConfig {
    let mut settings = client_settings(config);
    settings.extend(LOSSLESS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut ours = |name: &str, value: &str| {
        if !config.kafka.contains_key(name) {
            settings.set(name, value);
        }
    };
    // an answer, good or bad, within this; a bad one is said and tried again
    ours("message.timeout.ms", "10000");
    // whatever a broker let in once must go out again
    ours("message.max.bytes", &(64 << 20).to_string());
    ours("queue.buffering.max.kbytes", &(64 << 10).to_string());
    settings
}

impl Courier {
    /// Shows whether librdkafka takes the settings; no broker is asked yet.
    pub fn new(config: &Config, topic: &str, what: &'static str, stop: Arc<Stop>) -> Result<Self, SinkError> {
        let (settings, context, topic) = (settings(config), Context::default(), topic.to_owned());
        let (in_trouble, least) = (false, Extent::Bare);
        let courier = Self { settings, producer: None, context, topic, what, stop, in_trouble, least, told: None };
        courier.create()?;
        Ok(courier)
    }

    /// What is too large is never cut, since its receivers need all of it: it waits for a topic that takes it.
    #[must_use]
    pub fn uncut(mut self) -> Self {
        self.least = Extent::Alone;
        self
    }

    /// `told` is called with the reason where records do not get through, and with none once they do again.
    pub fn tells(&mut self, told: Told) {
        self.told = Some(told);
    }

    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    fn create(&self) -> Result<BaseProducer<Context>, SinkError> {
        self.settings.create_with_context(self.context.clone()).map_err(|error| self.failed(refused(error)))
    }

    /// The producer, with a thread that serves its events for as long as it is here.
    fn producer(&mut self) -> Result<Arc<BaseProducer<Context>>, SinkError> {
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
        thread::Builder::new().name("courier".to_owned()).spawn(serve).map_err(|error| self.failed(error))?;
        self.producer = Some(Arc::clone(&producer));
        Ok(producer)
    }

    fn failed(&self, cause: impl ToString) -> SinkError {
        SinkError { target: self.topic.clone(), cause: cause.to_string() }
    }

    /// Says once that records do not get through, and once that they do again. Why is told as it is now: one trouble may
    /// follow on another.
    fn note(&mut self, trouble: Option<RDKafkaErrorCode>) {
        match trouble {
            Some(code) => {
                let reason = self.reason(code);
                if !self.in_trouble {
                    tracing::warn!(topic = self.topic, "{} cannot be sent: {reason}; keeps trying", self.what);
                }
                self.tell(Some(format!("{} cannot be sent to {}: {reason}", self.what, self.topic)));
            }
            None if self.in_trouble => {
                tracing::info!(topic = self.topic, "{} are sent again", self.what);
                self.tell(None);
            }
            _ => {}
        }
        self.in_trouble = trouble.is_some();
    }

    /// What people can act on. Of a topic that is not there librdkafka says only that time is up.
    fn reason(&self, code: RDKafkaErrorCode) -> String {
        if code == RDKafkaErrorCode::QueueFull {
            return NO_ROOM.to_owned();
        }
        let said = self.context.quiet.health.take();
        if let Some(answer) = self.producer.as_ref().and_then(|producer| of_topic(producer, &self.topic)) {
            return answer;
        }
        said.unwrap_or_else(|| code.to_string())
    }

    fn tell(&self, reason: Option<String>) {
        if let Some(told) = &self.told {
            told(reason);
        }
    }

    /// An idempotent producer that has met a fatal error is of no use any more.
    fn renew(&mut self) {
        self.producer.take_if(|producer| producer.client().fatal_error().is_some());
    }

    /// Returns when all `count` records are acknowledged. `record` makes the one at a place, or so much of it as the brokers
    /// take.
    ///
    /// # Errors
    /// [`SinkError`], once the pipeline is stopped, or where no producer can be made.
    pub fn deliver<'a>(
        &mut self,
        count: usize,
        record: impl Fn(usize, Extent) -> Record<'a>,
    ) -> Result<(), SinkError> {
        let mut load = Load::of(count);
        while !load.is_delivered() {
            if self.stop.is_stopped() {
                return Err(self.failed("the pipeline was stopped"));
            }
            let producer = self.producer()?;
            let mut answers = Vec::new();
            while let Some((place, extent)) = load.next() {
                match offer(&producer, load.under_way, || record(place, extent)) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(code) => answers.push((place, Err(code))),
                }
                load.sent();
            }
            if answers.is_empty() {
                answers = self.context.answers.wait();
            }
            let trouble = self.sort(answers, &mut load);
            if trouble.is_some() {
                self.note(trouble);
                // an answer that is still to come comes from the producer that was given the record
                if load.under_way == 0 {
                    self.renew();
                }
                self.stop.pause(BACKOFF);
            }
        }
        Ok(())
    }

    fn note_cut(&self, extent: Extent) {
        let left_out = match extent {
            Extent::Whole | Extent::Alone => return,
            Extent::WithoutValue => "its value",
            Extent::Bare => "its value, key and headers",
        };
        tracing::warn!(
            topic = self.topic,
            "one of the {} is too large for the topic: sent without {left_out}",
            self.what
        );
    }

    /// What was not acknowledged waits again.
    fn sort(
        &mut self,
        answers: Vec<(usize, Result<(), RDKafkaErrorCode>)>,
        load: &mut Load,
    ) -> Option<RDKafkaErrorCode> {
        let mut trouble = None;
        load.under_way -= answers.len();
        for (place, result) in answers {
            match result {
                Ok(()) => self.note(None),
                Err(code) => {
                    let too_large = code == RDKafkaErrorCode::MessageSizeTooLarge;
                    match load.extents[place].next().filter(|next| too_large && *next <= self.least) {
                        Some(extent) => {
                            self.note_cut(extent);
                            load.extents[place] = extent;
                        }
                        None => trouble = Some(code),
                    }
                    load.waiting.push_back(place);
                }
            }
        }
        trouble
    }
}

/// What the brokers have against the topic; `None`: nothing, or they do not answer.
fn of_topic(producer: &BaseProducer<Context>, topic: &str) -> Option<String> {
    let metadata = producer.client().fetch_metadata(Some(topic), ASK_WITHIN).ok()?;
    let code = RDKafkaErrorCode::from(metadata.topics().iter().find(|found| found.name() == topic)?.error()?);
    Some(match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            "the topic does not exist".to_owned()
        }
        code => code.to_string(),
    })
}

/// Sends one record; `false`: there is no room until one of those under way is acknowledged.
fn offer<'a>(
    producer: &BaseProducer<Context>,
    under_way: usize,
    record: impl Fn() -> Record<'a>,
) -> Result<bool, RDKafkaErrorCode> {
    if send(producer, record())? {
        return Ok(true);
    }
    if under_way > 0 {
        return Ok(false);
    }
    // librdkafka gives room back only after it has told of the acknowledgement
    thread::sleep(PATIENCE);
    if send(producer, record())? { Ok(true) } else { Err(RDKafkaErrorCode::QueueFull) }
}

/// Sends one record; `false`: there is no room now.
fn send(producer: &BaseProducer<Context>, record: Record<'_>) -> Result<bool, RDKafkaErrorCode> {
    match producer.send(record) {
        Ok(()) => Ok(true),
        Err((error, _)) => match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Ok(false),
            code => Err(code.unwrap_or(RDKafkaErrorCode::Unknown)),
        },
    }
}
