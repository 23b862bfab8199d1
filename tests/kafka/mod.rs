//! What the Kafka tests share: events, a producer, and a pipeline to look at from outside.

#![allow(dead_code, reason = "each test program uses a part of it")]

#[expect(unsafe_code, reason = "rdkafka asks nothing about rights")]
pub mod acl;
pub mod broker;
pub mod leash;
pub mod made_up;
#[expect(unsafe_code, reason = "rdkafka sends only headers whose name is UTF-8")]
pub mod raw;

use dataflows::{event::Kind, names::Names, registry::Snapshot};
use gocdnext_flow::{
    config::Config,
    lease::Held,
    published::Published,
    sources::kafka::StartAt,
    store::StateUrl,
    wiring::{Durable, Pipeline, RunError},
};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Headers, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Nothing here takes long; a test that waits in vain fails after this.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` finds what it looks for.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A `run.queued` of its own run; `time` in RFC 3339.
pub fn run_queued(run: u64, time: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","type":"io.gocdnext.run.queued","source":"/test","id":"run-{run}","time":"{time}",
        "data":{{"project_id":"5b0c1f0e-7f64-4c57-9f0a-5d0a3c6a1b01","pipeline":"web",
        "pipeline_id":"8a3f2d54-0b7e-4a0e-8a51-0d6c9e3f7c02","run_id":"00000000-0000-0000-0000-{run:012x}"}}}}"#
    )
}

/// An event time in the past, the same for all.
pub const TIME: &str = "2026-01-31T09:30:00Z";

pub fn producer(brokers: &str, settings: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("linger.ms", "1").set("message.timeout.ms", "60000");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().expect("a producer")
}

/// Puts `run.queued` events of these runs on a partition.
pub fn send_runs(producer: &BaseProducer, topic: &str, partition: i32, runs: std::ops::Range<u64>) {
    for run in runs {
        let value = run_queued(run, TIME);
        send(producer, topic, partition, b"key", value.as_bytes(), OwnedHeaders::new());
    }
    producer.flush(PATIENCE).expect("the broker takes the events");
}

pub fn send(producer: &BaseProducer, topic: &str, partition: i32, key: &[u8], value: &[u8], headers: OwnedHeaders) {
    let record = BaseRecord::to(topic).partition(partition).key(key).payload(value).headers(headers);
    producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
}

/// A record of the dead-letter topic.
pub struct Letter {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Letter {
    /// The values of a header, in their order.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// The first `count` records of a topic's partition 0.
pub fn letters(brokers: &str, topic: &str, count: usize) -> Vec<Letter> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", brokers).set("group.id", "test").set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = settings.create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&list).expect("it is assigned");
    let mut found = Vec::new();
    eventually("dead letters", || {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(10)) {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let headers = message.headers().into_iter().flat_map(Headers::iter);
            found.push(Letter {
                key: message.key().unwrap_or_default().to_vec(),
                value: message.payload().unwrap_or_default().to_vec(),
                headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
            });
        }
        (found.len() == count).then_some(())
    });
    found
}

/// A running pipeline.
pub struct Live {
    pub published: Arc<Published>,
    runtime: Runtime,
    pipeline: Option<Pipeline>,
    _held: Held,
    _scratch: TempDir,
}

impl Live {
    pub fn start(config: &Config) -> Self {
        Self::start_from(config, StartAt::default())
    }

    pub fn start_from(config: &Config, start: StartAt) -> Self {
        // RUST_LOG=debug shows what the pipeline and librdkafka have to say
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let runtime = Runtime::new().expect("a runtime");
        let published = Published::new(Names::new(1_000));
        let scratch = TempDir::new().expect("a directory");
        let state = StateUrl::sqlite(scratch.path().join("state.db"));
        let durable = runtime.block_on(Durable::acquire(&state, config, &config.topic, &published));
        let (held, mut durable) = durable.expect("its state is new");
        durable.details.topic_id = start.topic_id;
        durable.details.offsets = start.offsets.into_iter().map(|(partition, next)| (partition, next.0)).collect();
        let pipeline = Pipeline::start(config, &published, &durable, vec![]).expect("it starts");
        Self { published, runtime, pipeline: Some(pipeline), _held: held, _scratch: scratch }
    }

    /// Waits for the pipeline to fail.
    pub fn error(&mut self) -> RunError {
        let pipeline = self.pipeline.as_mut().expect("it runs");
        let failed = async { tokio::time::timeout(PATIENCE, pipeline.failed()).await };
        self.runtime.block_on(failed).expect("it fails")
    }

    pub fn shown(&self) -> Option<Arc<Snapshot>> {
        self.published.snapshot.load_full()
    }

    /// `run.queued` events in the series shown; `None` while nothing is shown.
    pub fn runs(&self) -> Option<u64> {
        Some(self.shown()?.totals.quality.events[Kind::RunQueued as usize])
    }

    pub fn wait_for_runs(&self, runs: u64) {
        self.eventually(&format!("{runs} runs"), || (self.runs()? == runs).then_some(()));
    }

    /// Waits until stream time follows the wall clock, so until every partition has reached its end.
    pub fn wait_until_caught_up(&self) -> Arc<Snapshot> {
        let wall = gocdnext_flow::clock::wall_ms();
        self.eventually("stream time at the wall clock", || self.shown().filter(|s| s.stream_time.0 >= wall))
    }

    /// As the function of that name; a failure tells how the pipeline is.
    pub fn eventually<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        eventually(what, || {
            let found = look();
            if found.is_none() && start.elapsed() > PATIENCE.mul_f32(0.9) {
                let checks = self.published.checks.0.lock().expect("the checks").clone();
                panic!("in vain: {what}; runs {:?}, lag {}, checks {checks:?}", self.runs(), self.lag());
            }
            found
        })
    }

    pub fn check(&self, name: &str) -> Result<(), String> {
        self.published.checks.0.lock().expect("the checks")[name].clone()
    }

    pub fn lag(&self) -> u64 {
        self.published.own.lag.lock().expect("the lag").values().sum()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(pipeline) = self.pipeline.take() {
            self.runtime.block_on(pipeline.stop());
        }
    }
}

/// Settings for a test: short epochs, nothing that waits.
pub fn config(brokers: &str, topic: &str) -> Config {
    let mut config = Config { brokers: brokers.into(), topic: topic.into(), ..Config::default() };
    config.epoch_interval = Duration::from_millis(50);
    config.dead_letter_topic = format!("{topic}.dead-letters");
    config
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address").port()
}
