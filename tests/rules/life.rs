//! The program itself, over the in-process broker of librdkafka, with a log database that has an old partition.

use crate::{
    http::get,
    kafka::{self, PATIENCE},
    support::program::{Running, Uptime, program},
};
use dataflows::{retention::month::Month, time::Millis};
use gocdnext_flow::logs::{LogDatabase, LogsUrl};
use rdkafka::{
    message::OwnedHeaders,
    mocking::MockCluster,
    producer::{BaseProducer, DefaultProducerContext, Producer},
    types::RDKafkaRespErr,
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

const TOPIC: &str = "gocdnext.events";
/// A topic that the broker takes nothing for.
pub const REFUSED: &str = "gocdnext.refused";
/// Older than any retention: whatever the policy, it blocks or goes.
const MONTHS_OLD: i64 = 40;

pub fn now_ms() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Millis::try_from(since.as_millis()).unwrap()
}

/// A broker in this process.
pub struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Broker {
    pub fn start() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        for topic in [TOPIC, "gocdnext.dead-letters", "gocdnext.decisions"] {
            cluster.create_topic(topic, 1, 1).unwrap();
        }
        cluster.topic_error(REFUSED, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
        let producer = kafka::producer(&cluster.bootstrap_servers(), &[]);
        Self { cluster, producer }
    }

    pub fn send(&self, records: &[String]) {
        for record in records {
            kafka::send(&self.producer, TOPIC, 0, b"key", record.as_bytes(), OwnedHeaders::new());
        }
        self.producer.flush(PATIENCE).unwrap();
    }
}

/// A log database with a partition that is old enough to go.
pub fn log_database(folder: &Path) -> String {
    let file = folder.join("logs.db");
    let made = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let logs = LogDatabase::open(&LogsUrl::sqlite(&file)).await?;
        logs.ensure(Month::of(now_ms()).plus(-MONTHS_OLD)).await
    });
    made.unwrap();
    format!("sqlite:{}", file.display())
}

/// A running program; it ends with this.
pub struct Life {
    pub address: SocketAddr,
    pub state: PathBuf,
    _running: Running,
}

impl Life {
    /// An address to be listened at, known before anyone listens.
    pub fn at(address: SocketAddr, folder: &Path, name: &str, broker: &Broker, flags: &[&str]) -> Self {
        let state = folder.join(format!("{name}.db"));
        let mut command = program(&["run", "--epoch-interval", "100ms", "--topic", TOPIC, "--instance-id", name]);
        command.args(["--brokers", &broker.cluster.bootstrap_servers(), "--listen", &address.to_string()]);
        command.args(["--state", &format!("sqlite:{}", state.display())]).args(flags);
        let running = Running::start(command, &Arc::<Uptime>::default(), folder, name).unwrap();
        let life = Self { address, state, _running: running };
        life.shows("gocdnext_flow_caught_up 1");
        life
    }

    /// When the process was started, as it says itself.
    pub fn start_time(&self) -> String {
        kafka::eventually("process_start_time_seconds", || {
            let (_, text) = get(self.address, "/metrics", PATIENCE).ok()?;
            text.lines().find_map(|line| line.strip_prefix("process_start_time_seconds ")).map(str::to_owned)
        })
    }

    /// Waits until `/metrics` has a line that begins so.
    pub fn shows(&self, line: &str) {
        kafka::eventually(line, || {
            let (_, text) = get(self.address, "/metrics", PATIENCE).ok()?;
            text.lines().any(|shown| shown.starts_with(line)).then_some(())
        });
    }
}
