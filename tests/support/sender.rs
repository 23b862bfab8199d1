//! Sends a load into a topic, at a rate, for as long as the test goes on; and in bursts, while nobody reads.

use super::load::{EVENTS_A_SECOND, Flow, Load};
use anyhow::{Context, Result, anyhow, ensure};
use gocdnext_flow::fleet::Record;
use rdkafka::{
    ClientConfig, ClientContext, Message,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// A broker that is there takes what is left within this.
const DELIVERED_WITHIN: Duration = Duration::from_secs(120);
/// Records between two looks at the clock.
const AT_ONCE: u32 = 10;

/// Where the records go.
#[derive(Clone, Debug)]
pub struct Topic {
    pub brokers: String,
    pub name: String,
}

/// So many records at once, and who is to hear when the broker has them.
type Burst = (usize, mpsc::Sender<()>);

/// A thread that sends. See the module.
pub struct Sender {
    topic: Topic,
    flow: Flow,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    bursts: mpsc::Sender<Burst>,
    thread: Option<JoinHandle<Result<u64>>>,
}

impl Sender {
    pub fn start(topic: &Topic, load: Load, flow: Flow) -> Result<Self> {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (bursts, asked) = mpsc::channel();
        let mut sending = Sending {
            bursts: asked,
            flow,
            producer: producer(&topic.brokers, flow)?,
            topic: topic.name.clone(),
            stop: Arc::clone(&stop),
            sent: Arc::clone(&sent),
        };
        let thread = Some(std::thread::spawn(move || sending.run(load)));
        Ok(Self { topic: topic.clone(), flow, stop, sent, bursts, thread })
    }

    pub const fn topic(&self) -> &Topic {
        &self.topic
    }

    pub const fn flow(&self) -> Flow {
        self.flow
    }

    /// Records handed to the client so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Sends so many records as fast as it goes, and returns when they are there. Nobody may read meanwhile: the log would
    /// lose its punctuality.
    pub fn burst(&self, records: usize) -> Result<()> {
        let (tell, there) = mpsc::channel();
        self.bursts.send((records, tell)).context("it sends")?;
        there.recv_timeout(DELIVERED_WITHIN).context("the burst is not delivered")
    }

    /// Ends the log, once the broker has all of it; how many records were sent.
    pub fn finish(mut self) -> Result<u64> {
        self.stop.store(true, Relaxed);
        let thread = self.thread.take().context("it sends")?;
        thread.join().map_err(|_| anyhow!("sending has failed"))?
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // its error is of interest only where the log is used
            let _ = thread.join();
        }
    }
}

/// What the broker did not take, of which there must be nothing.
#[derive(Clone, Debug, Default)]
struct Refused(Arc<Mutex<Vec<String>>>);

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, record)) = result {
            let refused = format!("partition {}, {} bytes: {error}", record.partition(), record.payload_len());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(refused);
        }
    }
}

impl Refused {
    fn nothing(&self) -> Result<()> {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(refused.is_empty(), "the broker did not take {} records: {}", refused.len(), refused.join("; "));
        Ok(())
    }
}

fn producer(brokers: &str, flow: Flow) -> Result<BaseProducer<Refused>> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("linger.ms", "2");
    // a new partition's first batch may else be lost, and count as sent
    settings.set("max.in.flight", "1");
    // a long log must fit the disk
    settings.set("compression.type", "lz4");
    settings.set("partitioner", "murmur2_random").set("topic.metadata.refresh.interval.ms", "200");
    // however long an outage is
    settings.set("message.timeout.ms", "0");
    // it must not be made up for in a burst
    settings.set("queue.buffering.max.messages", flow.events_a_second().unwrap_or(EVENTS_A_SECOND).to_string());
    Ok(settings.create_with_context(Refused::default())?)
}

struct Sending {
    bursts: Receiver<Burst>,
    flow: Flow,
    producer: BaseProducer<Refused>,
    topic: String,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Sending {
    fn run(&mut self, mut load: Load) -> Result<u64> {
        let steady = self.flow.events_a_second();
        let gap = Duration::from_secs(1) * AT_ONCE / steady.unwrap_or(EVENTS_A_SECOND);
        let at_once = if steady.is_some() { AT_ONCE as usize } else { 0 };
        let mut due = Instant::now();
        while !self.stop.load(Relaxed) {
            if let Ok((records, there)) = self.bursts.try_recv() {
                for record in load.by_ref().take(records) {
                    self.send(&record)?;
                }
                self.producer.flush(DELIVERED_WITHIN).context("the burst is not delivered")?;
                // whoever asked may have given up
                let _ = there.send(());
            }
            for record in load.by_ref().take(at_once) {
                self.send(&record)?;
            }
            self.producer.poll(Duration::ZERO);
            // what is late is not made up for: the log would lose its punctuality
            due = (due + gap).max(Instant::now());
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        self.producer.flush(DELIVERED_WITHIN).context("the last records are not delivered")?;
        self.producer.context().nothing()?;
        Ok(self.sent.load(Relaxed))
    }

    fn send(&mut self, record: &Record) -> Result<()> {
        let mut out = BaseRecord::to(&self.topic).key(&record.key[..]).payload(&record.value[..]);
        out = out.timestamp(record.time_ms);
        while let Err((error, back)) = self.producer.send(out) {
            if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                return Err(error.into());
            }
            self.producer.poll(Duration::from_millis(20));
            out = back;
        }
        self.sent.fetch_add(1, Relaxed);
        Ok(())
    }
}
