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

/// Sent again with its headers and rejected again, it tells of the second time alone.
#[test]
fn a_letter_that_comes_back_has_each_header_of_ours_once() {
    let cluster = cluster();
    let (brokers, stop) = (cluster.bootstrap_servers(), Arc::default());
    let theirs = ["trace", "dead_letter_offset", "dead_letter_topic", "dead_\0letter_key_bytes", "trace"];
    let headers = theirs.map(|name| (name.to_owned(), b"old".to_vec())).into();
    let mut sink = KafkaLetters::new(&config(&brokers, "events"), stop).unwrap();
    sink.deliver(&[DeadLetter { headers, ..letter(7) }]).unwrap();
    let letter = kafka::letters(&brokers, TOPIC, 1).remove(0);
    assert_eq!(letter.header("dead_letter_offset"), ["7"]);
    assert_eq!(letter.header("dead_letter_topic"), ["events"]);
    assert_eq!(letter.header("dead_letter_key_bytes"), [""; 0], "its key is there");
    assert_eq!(letter.header("trace"), ["old", "old"]);
}

/// Nothing under way will ever make room: it is said, with what to do, and others get through.
#[test]
fn a_letter_that_librdkafka_has_no_room_for_is_told() {
    let cluster = cluster();
    let (brokers, stop): (_, Arc<Stop>) = (cluster.bootstrap_servers(), Arc::default());
    let mut config = config(&brokers, "events");
    config.kafka.insert("queue.buffering.max.kbytes".to_owned(), "1".to_owned());
    let (tell, told) = std::sync::mpsc::channel();
    let tell = move |trouble| drop(tell.send(trouble));
    let mut sink = KafkaLetters::new(&config, Arc::clone(&stop)).unwrap().telling(Box::new(tell));
    let long = DeadLetter { value: vec![b'x'; 5_000], ..letter(0) };
    let delivery = spawn(move || sink.deliver(&[long, letter(1)]));
    let trouble = told.recv_timeout(kafka::PATIENCE).unwrap().unwrap();
    assert!(trouble.contains("raise kafka.\"queue.buffering.max.kbytes\""), "{trouble}");
    assert_eq!(found(&brokers, 1), offsets(1..2));
    assert!(!delivery.is_finished(), "it waits");
    stop.stop();
    delivery.join().unwrap().unwrap_err();
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
