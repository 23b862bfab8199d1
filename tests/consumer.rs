//! examples/consumer over a real Kafka: what is delivered twice counts once, and decisions of every kind are read.
//!
//! Needs a Python with the client of its requirements.txt, which `./dev test` sets up: `CONSUMER_PYTHON`, or `python3`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

mod kafka;

use kafka::{PATIENCE, broker, producer, send};
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::Producer,
};
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const FLEET: [&str; 7] = ["generate", "--jobs", "200", "--seed", "5", "--duplicates", "10%"];
const EVENTS: &str = "gocdnext.events";
const DECISIONS: &str = "gocdnext.decisions";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Python that has the client, if there is one.
fn python() -> Option<PathBuf> {
    let given = std::env::var_os("CONSUMER_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let mut import = Command::new(&given);
    import.args(["-c", "import confluent_kafka"]).stdout(Stdio::null()).stderr(Stdio::null());
    if import.status().is_ok_and(|status| status.success()) {
        return Some(given);
    }
    // past the capture of test output: a test that shows nothing must say so
    let line =
        "SKIPPED the consumer: no Python with confluent_kafka; ./dev test sets one up, CONSUMER_PYTHON names one\n";
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
    None
}

/// The same fleet to where the flags say.
fn generate(flags: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gocdnext-flow")).args(FLEET).args(flags).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Each example of a decision twice; the number of examples.
fn decide(address: &str) -> usize {
    let files: Vec<_> = fs::read_dir(root().join("schemas/examples/decisions")).unwrap().flatten().collect();
    let producer = producer(address, &[]);
    for file in files.iter().chain(&files) {
        send(&producer, DECISIONS, 0, b"id", &fs::read(file.path()).unwrap(), OwnedHeaders::new());
    }
    send(&producer, DECISIONS, 0, b"id", b"no event", OwnedHeaders::new());
    producer.flush(PATIENCE).unwrap();
    files.len()
}

/// A job's end with headers as others add them, and what is of no use to the consumer and an event all the same.
fn send_odd_ones(address: &str) {
    let finished = fs::read(root().join("schemas/examples/valid/job.finished.json")).unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "Content-Type", value: Some("Application/CloudEvents+JSON; charset=utf-8") })
        .insert(Header { key: "ce_id", value: Some("another") })
        .insert(Header { key: "trace-bin", value: Some(&[0xff_u8, 0xfe][..]) });
    let producer = producer(address, &[]);
    send(&producer, EVENTS, 0, b"run", &finished, headers);
    let unknown =
        br#"{"specversion": "1.0", "id": "1", "source": "/other", "type": "org.example.list", "data": [1]}"#;
    send(&producer, EVENTS, 0, b"other", unknown, OwnedHeaders::new());
    producer.flush(PATIENCE).unwrap();
}

#[test]
fn the_consumer_counts_once_what_comes_twice() {
    let Some(python) = python() else { return };
    let Some(broker) = broker::shared() else { return };
    for (topic, partitions) in [(EVENTS, 2), (DECISIONS, 1)] {
        broker.topic(topic, partitions, &[]);
    }
    let log = generate(&["--out", "-"]);
    generate(&["--brokers", &broker.address()]);
    send_odd_ones(&broker.address());
    let decisions = decide(&broker.address());
    let consumer = root().join("examples/consumer/consumer.py");
    let output = Command::new(python).arg(consumer).args([&broker.address(), "--until-idle", "20"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let totals: BTreeMap<&str, usize> = said
        .lines()
        .filter_map(|line| line.rsplit_once(": "))
        .filter_map(|(name, n)| Some((name, n.parse().ok()?)))
        .collect();
    let distinct: HashSet<&str> = log.lines().collect();
    let again = log.lines().count() - distinct.len();
    let ended = distinct.iter().filter(|event| event.contains("io.gocdnext.job.finished")).count();
    assert!(again > 0 && ended > 100, "{again} {ended}");
    let sum =
        |prefix: &str| totals.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, n)| n).sum::<usize>();
    assert_eq!((totals["events"], totals["events again"]), (distinct.len() + 2, again), "{said}");
    assert_eq!(sum("job.finished "), ended + 1, "{said}");
    assert_eq!((sum("decision "), totals["decisions again"]), (decisions, decisions), "{said}");
    assert_eq!(totals["not an event"], 1, "{said}");
}
