//! The live path over librdkafka's in-process broker, and over a made-up one for what that cannot be told to do: no Java
//! needed, no throughput or durability shown.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

mod kafka;

use gocdnext_flow::sources::kafka::StartAt;
use kafka::{Live, PATIENCE, config, made_up::MadeUp, producer, run_queued, send, send_runs};
use rdkafka::{
    message::{Header, OwnedHeaders},
    mocking::MockCluster,
    producer::{DefaultProducerContext, Producer},
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

fn cluster(topic: &str, partitions: i32) -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("a broker");
    cluster.create_topic(topic, partitions, 1).expect("a topic");
    cluster.create_topic(&format!("{topic}.dead-letters"), 1, 1).expect("a topic");
    cluster
}

#[test]
fn every_partition_is_read_and_shown_only_when_all_that_was_there_is_read() {
    let cluster = cluster("events", 3);
    let brokers = cluster.bootstrap_servers();
    let producer = producer(&brokers, &[]);
    for partition in 0..3 {
        let first = u64::try_from(partition).unwrap() * 1_000;
        send_runs(&producer, "events", partition, first..first + 1_000);
    }
    let live = Live::start(&config(&brokers, "events"));
    let first = live.eventually("the first series", || live.runs());
    assert_eq!(first, 3_000, "I2: no part of the history is ever shown");
    live.wait_until_caught_up();
    assert_eq!(live.check("kafka"), Ok(()));
    assert_eq!(live.lag(), 0);
    send_runs(&producer, "events", 1, 3_000..3_010);
    live.wait_for_runs(3_010);
}

#[test]
fn what_cannot_be_read_goes_to_the_dead_letters_with_all_it_had() {
    let cluster = cluster("events", 1);
    let brokers = cluster.bootstrap_servers();
    let producer = producer(&brokers, &[]);
    let header = |key, value: &'static str| Header { key, value: Some(value) };
    let headers = OwnedHeaders::new().insert(header("trace", "a")).insert(header("trace", "b"));
    send(&producer, "events", 0, b"k1", b"{not json", headers);
    let good = run_queued(1, kafka::TIME);
    send(&producer, "events", 0, b"k2", good.as_bytes(), OwnedHeaders::new());
    producer.flush(PATIENCE).unwrap();

    let live = Live::start(&config(&brokers, "events"));
    live.wait_for_runs(1);
    let letter = kafka::letters(&brokers, "events.dead-letters", 1).remove(0);
    assert_eq!((letter.key.as_slice(), letter.value.as_slice()), (&b"k1"[..], &b"{not json"[..]));
    assert_eq!(letter.header("trace"), ["a", "b"], "in their order, doubled ones too");
    assert_eq!(letter.header("dead_letter_topic"), ["events"]);
    assert_eq!(letter.header("dead_letter_partition"), ["0"]);
    assert_eq!(letter.header("dead_letter_offset"), ["0"]);
    assert_eq!(letter.header("dead_letter_reason"), ["not_json"]);
    assert_eq!(letter.header("dead_letter_timestamp").len(), 1);
    assert!(!letter.header("dead_letter_detail")[0].is_empty());
    assert_eq!(letter.header("dead_letter_value_bytes"), [""; 0]);
}

#[test]
fn an_absent_broker_is_waited_for_and_named() {
    let brokers = format!("127.0.0.1:{}", kafka::free_port());
    let live = Live::start(&config(&brokers, "events"));
    let reason = live.eventually("a reason", || live.check("kafka").err().filter(|reason| reason != "not yet"));
    assert!(reason.starts_with(&format!("Kafka at {brokers} cannot be asked: ")), "{reason}");
    assert_eq!(live.runs(), None, "I2: own health only");
}

#[test]
fn reading_starts_at_the_offsets_given() {
    let cluster = cluster("events", 2);
    let brokers = cluster.bootstrap_servers();
    let producer = producer(&brokers, &[]);
    send_runs(&producer, "events", 0, 0..10);
    send_runs(&producer, "events", 1, 10..20);
    let offsets = BTreeMap::from([(0, dataflows::time::NextOffset(7))]);
    // this broker tells no id, as old ones do: there is nothing to compare with
    let start = StartAt { offsets, topic_id: Some("of another broker".to_owned()) };
    let live = Live::start_from(&config(&brokers, "events"), start);
    live.wait_for_runs(3 + 10);
}

/// The one that is read from may be behind the one that lists the ends: a follower, or a leader that was replaced (I5).
#[test]
fn records_that_the_broker_has_listed_and_does_not_give_yet_are_waited_for() {
    let broker = MadeUp::start("events", 10, 5);
    let live = Live::start(&config(&broker.brokers(), "events"));
    let read = || live.published.own.records.load(Ordering::Relaxed);
    live.eventually("what it gives is read", || (read() == 5).then_some(()));
    // it says that this is the end, again and again
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((live.runs(), live.lag()), (None, 5), "I2: nothing is shown before its end");
    broker.says(10, 10);
    live.wait_for_runs(10);

    broker.says(12, 10);
    live.eventually("two more are missed", || (live.lag() == 2).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((live.runs(), live.lag()), (Some(10), 2));
    broker.says(12, 12);
    live.wait_for_runs(12);
    live.wait_until_caught_up();
}

/// What a broker says of a partition that it cannot give now is told, until it can, also where nothing new is written.
#[test]
fn a_partition_that_cannot_be_read_for_a_while_is_named_and_read_on() {
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, RD_KAFKA_RESP_ERR_POLICY_VIOLATION};
    let cluster = cluster("events", 1);
    let brokers = cluster.bootstrap_servers();
    let producer = producer(&brokers, &[]);
    send_runs(&producer, "events", 0, 0..5);
    let live = Live::start(&config(&brokers, "events"));
    live.wait_for_runs(5);
    live.wait_until_caught_up();
    // the second one as by a broker that is behind: when it is asked, it has the offset
    for (round, error) in
        [RD_KAFKA_RESP_ERR_POLICY_VIOLATION, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE].iter().enumerate()
    {
        cluster.request_errors(RDKafkaApiKey::Fetch, &[*error]);
        let reason = live.eventually(&format!("{error:?} is told"), || live.check("kafka").err());
        assert!(reason.contains("partition 0 cannot be read on: "), "{error:?}: {reason}");
        live.eventually("it is well again", || live.check("kafka").ok());
        let sent = 5 * (round as u64 + 1);
        send_runs(&producer, "events", 0, sent..sent + 5);
        live.wait_for_runs(sent + 5);
    }
}

/// What an epoch gives lies in memory until it is committed: its length in time alone would not bound that (I6).
#[test]
fn an_epoch_that_has_read_much_ends_before_its_time() {
    let cluster = cluster("events", 1);
    let brokers = cluster.bootstrap_servers();
    let producer = producer(&brokers, &[]);
    for _ in 0..30 {
        send(&producer, "events", 0, b"", &vec![b'x'; 100_000], OwnedHeaders::new());
    }
    producer.flush(PATIENCE).unwrap();
    let mut config = config(&brokers, "events");
    (config.epoch_interval, config.kafka_queue_bytes) = (Duration::from_secs(3_600), 1 << 20);
    let live = Live::start(&config);
    live.eventually("two epochs of a megabyte each", || {
        let records = live.published.own.records.load(Ordering::Relaxed);
        (20..30).contains(&records).then_some(())
    });
}
