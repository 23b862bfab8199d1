//! The dead letters' way to Kafka when brokers fail before, while and after they take them: `deliver` ends only once each is
//! there (I5). Over librdkafka's in-process broker.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

mod kafka;

use dataflows::feed::{DeadLetter, Reason};
use gocdnext_flow::{
    sinks::{
        dead_letters::{Sink, SinkError},
        kafka_letters::KafkaLetters,
    },
    sources::stop::Stop,
};
use kafka::config;
use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    thread::{JoinHandle, sleep, spawn},
    time::Duration,
};

const TOPIC: &str = "events.dead-letters";
const BROKER: i32 = 1;
/// Long enough for a sink that does not wait to have come back.
const A_WHILE: Duration = Duration::from_millis(700);

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("a broker");
    cluster.create_topic(TOPIC, 1, 1).expect("a topic");
    cluster
}

fn letter(offset: i64) -> DeadLetter {
    let (detail, value) = ("no JSON".to_owned(), format!("{{{offset}").into_bytes());
    let (key, headers) = (Vec::new(), Vec::new());
    DeadLetter { partition: 2, offset, timestamp: None, reason: Reason::NotJson, detail, key, headers, value }
}

/// Delivers letters on a thread of its own.
fn deliver(brokers: &str, stop: &Arc<Stop>, offsets: std::ops::Range<i64>) -> JoinHandle<Result<(), SinkError>> {
    let mut sink = KafkaLetters::new(&config(brokers, "events"), Arc::clone(stop)).unwrap();
    spawn(move || sink.deliver(&offsets.map(letter).collect::<Vec<_>>()))
}

/// The offsets of so many letters.
fn found(brokers: &str, count: usize) -> BTreeSet<String> {
    let letters = kafka::letters(brokers, TOPIC, count);
    letters.iter().flat_map(|letter| letter.header("dead_letter_offset")).map(ToString::to_string).collect()
}

fn offsets(range: std::ops::Range<i64>) -> BTreeSet<String> {
    range.map(|offset| offset.to_string()).collect()
}

#[test]
fn a_broker_that_is_away_is_waited_for() {
    let cluster = cluster();
    let (brokers, stop) = (cluster.bootstrap_servers(), Arc::default());
    cluster.broker_down(BROKER).unwrap();
    let delivery = deliver(&brokers, &stop, 0..20);
    sleep(A_WHILE);
    assert!(!delivery.is_finished(), "nobody has taken them");
    cluster.broker_up(BROKER).unwrap();
    delivery.join().unwrap().unwrap();
    assert_eq!(found(&brokers, 20), offsets(0..20));
}

#[test]
fn what_a_broker_refuses_is_sent_again() {
    let cluster = cluster();
    let (brokers, stop) = (cluster.bootstrap_servers(), Arc::default());
    // the first two librdkafka tries again itself; the last comes back to the sink
    let refusals = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    ];
    cluster.request_errors(RDKafkaApiKey::Produce, &refusals);
    deliver(&brokers, &stop, 0..20).join().unwrap().unwrap();
    assert_eq!(found(&brokers, 20), offsets(0..20));
}

/// As the leader of a new partition does that does not know yet that it is.
#[test]
fn letters_refused_are_not_there_because_later_ones_are() {
    let cluster = cluster();
    let (brokers, stop) = (cluster.bootstrap_servers(), Arc::default());
    let mut config = config(&brokers, "events");
    // a letter a request, each on its way for long
    config.kafka.insert("batch.num.messages".to_owned(), "1".to_owned());
    let mut sink = KafkaLetters::new(&config, stop).unwrap();
    sink.deliver(&[letter(0)]).unwrap();
    cluster.broker_round_trip_time(BROKER, Duration::from_millis(300)).unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION]);
    sink.deliver(&(1..6).map(letter).collect::<Vec<_>>()).unwrap();
    assert_eq!(found(&brokers, 6), offsets(0..6));
}

/// Taken, and the answer does not come: they are sent again, and none is given up.
#[test]
fn letters_whose_acknowledgement_is_lost_are_there_at_least_once() {
    let cluster = cluster();
    let (brokers, stop) = (cluster.bootstrap_servers(), Arc::default());
    deliver(&brokers, &stop, 0..1).join().unwrap().unwrap();
    // longer than a message is waited for
    cluster.broker_round_trip_time(BROKER, Duration::from_secs(12)).unwrap();
    let delivery = deliver(&brokers, &stop, 1..20);
    sleep(Duration::from_secs(11));
    assert!(!delivery.is_finished(), "it is not acknowledged");
    cluster.broker_round_trip_time(BROKER, Duration::ZERO).unwrap();
    delivery.join().unwrap().unwrap();
    assert_eq!(found(&brokers, 20), offsets(0..20));
}

#[test]
fn who_is_told_to_end_gives_up_and_says_so() {
    let cluster = cluster();
    let (brokers, stop): (_, Arc<Stop>) = (cluster.bootstrap_servers(), Arc::default());
    cluster.broker_down(BROKER).unwrap();
    let delivery = deliver(&brokers, &stop, 0..3);
    sleep(A_WHILE);
    stop.stop();
    let error = delivery.join().unwrap().unwrap_err().to_string();
    assert_eq!(error, format!("dead letters cannot be written to {TOPIC}: the pipeline was stopped"));
}
