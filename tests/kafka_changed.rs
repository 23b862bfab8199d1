//! A topic that is not what it was (real Apache Kafka): made anew, cut short, with fewer partitions. Nothing may be read
//! from the wrong place, and whoever reads the message must know what happened and what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

mod kafka;

use dataflows::time::NextOffset;
use gocdnext_flow::{
    config::Config,
    sources::kafka::{Offsets, StartAt},
    wiring::RunError,
};
use kafka::{
    Live, PATIENCE, TIME, broker, broker::Broker, config, eventually, producer, run_queued, send, send_runs,
};
use rdkafka::{message::OwnedHeaders, producer::Producer};
use std::sync::atomic::Ordering::Relaxed;

fn offsets(offsets: &[i64]) -> Offsets {
    (0..).zip(offsets.iter().copied().map(NextOffset)).collect()
}

/// The refusal of a pipeline, which leaves with exit code 4 and names the command to go on with.
fn refusal(mut live: Live) -> String {
    let error = live.error();
    assert!(matches!(error, RunError::Refused(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("`gocdnext-flow state reset --to earliest`"), "{text}");
    text
}

/// The same name, another topic.
fn made_anew(broker: &Broker, topic: &str, partitions: i32) {
    broker.delete_topic(topic);
    eventually("the topic is made anew", || broker.try_topic(topic, partitions, &[]).ok());
}

/// The topic's id, as a refusal tells it.
fn id_of(config: &Config) -> String {
    let start = StartAt { topic_id: Some("another".to_owned()), ..StartAt::default() };
    let text = refusal(Live::start_from(config, start));
    assert!(
        text.contains("was deleted and made anew: what was counted belongs to the one with the id another"),
        "{text}"
    );
    let (_, rest) = text.split_once("Kafka now has ").unwrap();
    rest.split_once(". ").unwrap().0.to_owned()
}

#[test]
fn a_topic_made_anew_is_told_from_the_former_one() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("anew", 1, &[]);
    let config = config(&broker.address(), "anew");
    let producer = producer(&broker.address(), &[("topic.metadata.refresh.interval.ms", "200")]);
    send_runs(&producer, "anew", 0, 0..10);
    let start = StartAt { offsets: offsets(&[5]), topic_id: Some(id_of(&config)) };
    Live::start_from(&config, start.clone()).wait_for_runs(5);

    made_anew(&broker, "anew", 1);
    eventually("the new topic is written to", || {
        send(&producer, "anew", 0, b"", run_queued(1, TIME).as_bytes(), OwnedHeaders::new());
        producer.flush(PATIENCE).unwrap();
        let (_, end) = producer.client().fetch_watermarks("anew", 0, PATIENCE).ok()?;
        (end >= 10).then_some(())
    });
    let text = refusal(Live::start_from(&config, start.clone()));
    assert!(
        text.contains(&format!("id {}, Kafka now has ", start.topic_id.unwrap())),
        "its offsets would fit: {text}"
    );
}

#[test]
fn a_topic_that_is_compacted_from_now_on_ends_the_pipeline() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("compacted-later", 1, &[]);
    send_runs(&producer(&broker.address(), &[]), "compacted-later", 0, 0..5);
    let mut live = Live::start(&config(&broker.address(), "compacted-later"));
    live.wait_for_runs(5);
    broker.configure("compacted-later", "cleanup.policy", "compact");
    let error = live.error();
    assert!(matches!(error, RunError::Settings(_)), "{error:?}");
    assert!(error.to_string().starts_with("topic compacted-later is compacted"), "{error}");
}

#[test]
fn a_topic_made_anew_while_it_is_read_ends_the_pipeline() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("replaced", 1, &[]);
    send_runs(&producer(&broker.address(), &[]), "replaced", 0, 0..5);
    let live = Live::start(&config(&broker.address(), "replaced"));
    live.wait_for_runs(5);
    made_anew(&broker, "replaced", 1);
    refusal(live);
}

#[test]
fn fewer_partitions_are_refused() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("fewer", 2, &[]);
    let start = StartAt { offsets: offsets(&[0, 0, 0]), topic_id: None };
    let text = refusal(Live::start_from(&config(&broker.address(), "fewer"), start));
    assert!(text.contains("partitions that were read before are gone (2), Kafka now has 2"), "{text}");
}

#[test]
fn offsets_that_kafka_does_not_have_are_refused_before_anything_is_read() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("shorter", 2, &[]);
    let producer = producer(&broker.address(), &[]);
    send_runs(&producer, "shorter", 0, 0..5);
    send_runs(&producer, "shorter", 1, 5..10);
    broker.delete_records("shorter", 0, 4);
    let config = config(&broker.address(), "shorter");
    let refused = |next: &[i64]| {
        let start = StartAt { offsets: offsets(next), topic_id: None };
        refusal(Live::start_from(&config, start))
    };
    let deleted = refused(&[2, 5]);
    assert!(deleted.contains("(partition 0: next offset 2, Kafka has 4 to 5)"), "{deleted}");
    let ahead = refused(&[4, 50]);
    assert!(ahead.contains("(partition 1: next offset 50, Kafka has 0 to 5)"), "{ahead}");
    let start = StartAt { offsets: offsets(&[4]), topic_id: None };
    Live::start_from(&config, start).wait_for_runs(1 + 5);
}

#[test]
fn records_deleted_before_they_could_be_read_end_the_pipeline() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("outrun", 1, &[]);
    let producer = producer(&broker.address(), &[]);
    let mut config = config(&broker.address(), "outrun");
    (config.max_epochs_in_flight, config.kafka_queue_bytes) = (1, 64 << 10);
    // a dead letter without a topic holds the epoch, and so the reader
    send(&producer, "outrun", 0, b"", b"{", OwnedHeaders::new());
    producer.flush(PATIENCE).unwrap();
    let live = Live::start(&config);
    live.eventually("the reader waits", || {
        let own = &live.published.own;
        let read = own.lag.lock().unwrap().get(&0) == Some(&0);
        (read && own.epochs_in_flight.load(Relaxed) == 1).then_some(())
    });
    let padding = "x".repeat(100_000);
    for _ in 0..200 {
        send(&producer, "outrun", 0, b"", padding.as_bytes(), OwnedHeaders::new());
    }
    producer.flush(PATIENCE).unwrap();
    broker.delete_records("outrun", 0, 200);
    broker.topic("outrun.dead-letters", 1, &[]);
    let text = refusal(live);
    assert!(text.contains("(partition 0: next offset ") && text.contains("Kafka has 200 to 201)"), "{text}");
}
