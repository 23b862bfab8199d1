//! Decisions of retention as a consumer of their topic sees them: each once by its id, whatever happens to the program
//! that decides (I1, I4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]
#![allow(dead_code, reason = "the support is larger than what is used of it here")]

#[path = "support/command.rs"]
mod command;
mod kafka;

use command::{Killed, silent as flow};
use kafka::{broker, eventually, free_port, producer, send};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::OwnedHeaders,
    producer::Producer,
};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

const PARTITIONS: i32 = 3;

/// A reader of the events with state and topic of decisions of its own.
struct Reader {
    address: String,
    state: String,
    logs: String,
    decisions: &'static str,
}

impl Reader {
    fn new(address: &str, directory: &Path, decisions: &'static str) -> Self {
        let url = |what: &str| format!("sqlite:{}", directory.join(format!("{decisions}-{what}.db")).display());
        let reader = Self { address: address.to_owned(), state: url("state"), logs: url("logs"), decisions };
        let set = ["retention", "policy", "set", "--days", "30", "--archive", "on", "--state", &reader.state];
        assert!(flow().args(set).status().unwrap().success());
        reader
    }

    fn start(&self, workers: usize) -> Killed {
        let (listen, workers) = (format!("127.0.0.1:{}", free_port()), workers.to_string());
        let child = flow()
            .args(["run", "--brokers", &self.address, "--topic", "decided", "--state", &self.state])
            .args(["--log-database", &self.logs, "--decision-topic", self.decisions, "--instance-id", "decides"])
            .args(["--clock", "log", "--epoch-interval", "50ms", "--listen", &listen, "--workers", &workers])
            .spawn();
        Killed(child.unwrap())
    }

    /// What the topic holds: events by id, and how many records there were.
    fn decided(&self) -> (BTreeMap<String, Value>, usize) {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", &self.address).set("group.id", "test").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = settings.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.decisions, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let (mut found, mut records) = (BTreeMap::<String, Value>::new(), 0);
        while let Some(answer) = consumer.poll(Duration::from_secs(30)) {
            let Ok(message) = answer else { break };
            let event: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
            assert_eq!(message.key().unwrap(), event["id"].as_str().unwrap().as_bytes());
            let id = event["id"].as_str().unwrap().to_owned();
            let known = found.insert(id, event.clone());
            assert!(known.is_none_or(|known| known == event), "the same id, another decision: {event}");
            records += 1;
        }
        (found, records)
    }
}

#[test]
fn decisions_are_the_same_over_kill_9_and_each_has_one_id() {
    let Some(broker) = broker::shared() else { return };
    let address = broker.address();
    for (topic, partitions) in [("decided", PARTITIONS), ("calm", 1), ("killed", 1), ("gocdnext.dead-letters", 1)] {
        broker.topic(topic, partitions, &[]);
    }
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log.ndjson");
    let noise = ["--disorder", "10s", "--duplicates", "10%", "--garbage", "1%"];
    let made = flow().args(["generate", "--jobs", "3000", "--seed", "5"]).args(noise).arg("--out").arg(&log).status();
    assert!(made.unwrap().success());
    let log = fs::read(&log).unwrap();
    let lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').collect();

    let killed = Reader::new(&address, directory.path(), "killed");
    let producer = producer(&address, &[]);
    let mut numbers = ChaCha8Rng::seed_from_u64(23);
    for slice in lines.chunks(lines.len().div_ceil(6)) {
        for line in slice {
            send(&producer, "decided", numbers.random_range(0..PARTITIONS), b"", line, OwnedHeaders::new());
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        let life = killed.start(numbers.random_range(1..=4));
        std::thread::sleep(Duration::from_millis(numbers.random_range(500..5_000)));
        drop(life);
    }
    let calm = Reader::new(&address, directory.path(), "calm");
    let lives = [killed.start(3), calm.start(1)];
    let (expected, found) = eventually("as many decisions of both", || {
        std::thread::sleep(Duration::from_millis(500));
        let ((calm, _), (killed, records)) = (calm.decided(), killed.decided());
        (calm.len() > 40 && calm.len() == killed.len()).then_some((calm, (killed, records)))
    });
    drop(lives);
    let (found, records) = found;
    assert!(found == expected, "the same ids with the same words");
    let kinds: std::collections::BTreeSet<&str> =
        found.values().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(kinds.contains("io.gocdnext.retention.archive_logs"), "{kinds:?}");
    println!("{} decisions in {records} records over 6 kills", found.len());
}
