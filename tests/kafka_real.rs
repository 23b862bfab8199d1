//! The live path over a real Apache Kafka: what the in-process broker does not have (transactions, admin API, outages).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

mod kafka;

use gocdnext_flow::{config::Config, wiring::RunError};
use kafka::{
    Live, PATIENCE, TIME,
    broker::{self, Broker},
    config, producer, raw, run_queued, send, send_runs,
};
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, Producer},
};

#[test]
fn all_partitions_are_read_and_those_added_while_running_too() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("growing", 2, &[]);
    let producer = producer(&broker.address(), &[("topic.metadata.refresh.interval.ms", "200")]);
    send_runs(&producer, "growing", 0, 0..100);
    send_runs(&producer, "growing", 1, 100..300);
    let live = Live::start(&config(&broker.address(), "growing"));
    live.wait_for_runs(300);
    live.wait_until_caught_up();
    broker.partitions("growing", 4);
    live.eventually("the new partitions are known", || {
        let metadata = producer.client().fetch_metadata(Some("growing"), PATIENCE).ok()?;
        (metadata.topics()[0].partitions().len() == 4).then_some(())
    });
    send_runs(&producer, "growing", 3, 300..400);
    live.wait_for_runs(400);
    live.wait_until_caught_up();
    assert_eq!(live.published.own.lag.lock().unwrap().len(), 4);
}

/// A producer of one open transaction after another.
fn transactional(broker: &Broker, id: &str) -> BaseProducer {
    let producer = producer(&broker.address(), &[("transactional.id", id)]);
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

#[test]
fn the_end_is_reached_behind_aborted_and_control_records() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("transactions", 1, &[]);
    let producer = transactional(&broker, "one");
    producer.begin_transaction().unwrap();
    send_runs(&producer, "transactions", 0, 0..10);
    producer.commit_transaction(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    send_runs(&producer, "transactions", 0, 10..20);
    producer.abort_transaction(PATIENCE).unwrap();
    let live = Live::start(&config(&broker.address(), "transactions"));
    live.wait_for_runs(10);
    live.wait_until_caught_up();
    assert_eq!(live.lag(), 0);

    // now only offsets without records come: the end moves, and nothing is ever polled
    producer.begin_transaction().unwrap();
    send_runs(&producer, "transactions", 0, 20..30);
    producer.abort_transaction(PATIENCE).unwrap();
    live.wait_until_caught_up();

    // an open transaction is the end for those who read what is committed
    let other = transactional(&broker, "two");
    producer.begin_transaction().unwrap();
    send_runs(&producer, "transactions", 0, 30..40);
    other.begin_transaction().unwrap();
    send_runs(&other, "transactions", 0, 40..50);
    producer.abort_transaction(PATIENCE).unwrap();
    live.wait_until_caught_up();
    assert_eq!(live.runs(), Some(10), "read_committed");
    other.commit_transaction(PATIENCE).unwrap();
    live.wait_for_runs(20);
    live.wait_until_caught_up();
}

#[test]
fn a_broker_that_is_killed_and_comes_back_loses_nothing() {
    let Some(mut broker) = Broker::start() else { return };
    broker.topic("outage", 2, &[]);
    let producer = producer(&broker.address(), &[("enable.idempotence", "true"), ("max.in.flight", "1")]);
    send_runs(&producer, "outage", 0, 0..500);
    let live = Live::start(&config(&broker.address(), "outage"));
    live.wait_for_runs(500);
    let before = live.wait_until_caught_up();
    broker.kill();
    let reason = live.eventually("the outage is noticed", || live.check("kafka").err());
    assert!(reason.contains(&broker.address()), "{reason}");
    assert_eq!(live.runs(), Some(500), "I5: the last epoch stays shown");
    for run in 500..1_000 {
        send(&producer, "outage", 1, b"", run_queued(run, TIME).as_bytes(), OwnedHeaders::new());
    }
    broker.restart();
    producer.flush(PATIENCE).unwrap();
    live.wait_for_runs(1_000);
    let after = live.wait_until_caught_up();
    assert!(after.epoch > before.epoch);
    assert_eq!(live.check("kafka"), Ok(()));
}

#[test]
fn an_absent_topic_is_waited_for() {
    let Some(broker) = broker::shared() else { return };
    let live = Live::start(&config(&broker.address(), "late"));
    let reason = live.eventually("the check says so", || live.check("kafka").err().filter(|r| r.contains("late")));
    assert_eq!(reason, "topic late does not exist");
    assert_eq!(live.runs(), None, "I2: no false zero");
    broker.topic("late", 1, &[]);
    live.eventually("series", || live.runs());
    send_runs(&producer(&broker.address(), &[]), "late", 0, 0..5);
    live.wait_for_runs(5);
}

#[test]
fn a_compacted_topic_is_refused() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("compacted", 1, &[("cleanup.policy", "compact,delete")]);
    let error = Live::start(&config(&broker.address(), "compacted")).error();
    assert!(matches!(error, RunError::Settings(_)), "{error:?}");
    assert!(error.to_string().starts_with("topic compacted is compacted (cleanup.policy=compact,delete)"), "{error}");
}

#[test]
fn a_header_whose_name_is_not_utf_8_is_no_hindrance() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("names", 1, &[]);
    broker.topic("names.dead-letters", 1, &[]);
    let producer = producer(&broker.address(), &[]);
    let event = run_queued(1, TIME);
    for (value, name) in [(event.as_bytes(), c"ce_\xff"), (b"{", c"tr\xfface")] {
        raw::send_with_header(&producer, c"names", 0, value, (name, b"\xfe"));
    }
    producer.flush(PATIENCE).unwrap();
    send_runs(&producer, "names", 0, 2..3);
    let live = Live::start(&config(&broker.address(), "names"));
    live.wait_for_runs(2);
    let letter = kafka::letters(&broker.address(), "names.dead-letters", 1).remove(0);
    assert_eq!((letter.value.as_slice(), letter.header("dead_letter_offset")), (&b"{"[..], vec!["1"]));
    assert_eq!(letter.header("tr\u{fffd}ace").len(), 1, "I5: the header goes with it, its name as far as text can");
}

/// A sender that puts a megabyte into headers or key must not stop everybody's series (I5).
#[test]
fn letters_too_large_without_their_value_go_bare_and_those_only_together_too_large_go_whole() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("huge-letters", 1, &[("max.message.bytes", "4000000")]);
    broker.topic("huge-letters.dead-letters", 1, &[("max.message.bytes", "200000")]);
    let producer = producer(&broker.address(), &[("message.max.bytes", "4000000")]);
    let (large, many) = (vec![b'x'; 1_000_000], vec![b'y'; 100_000]);
    let headers = OwnedHeaders::new().insert(Header { key: "junk", value: Some(&large) });
    send(&producer, "huge-letters", 0, b"headers", b"{", headers);
    send(&producer, "huge-letters", 0, &large, b"{", OwnedHeaders::new());
    for _ in 0..8 {
        send(&producer, "huge-letters", 0, b"", &many, OwnedHeaders::new());
    }
    send_runs(&producer, "huge-letters", 0, 0..3);
    let live = Live::start(&config(&broker.address(), "huge-letters"));
    live.wait_for_runs(3);
    let mut letters = kafka::letters(&broker.address(), "huge-letters.dead-letters", 10);
    letters.sort_by_key(|letter| letter.header("dead_letter_offset").concat());
    let told = |letter: &kafka::Letter, name| letter.header(name).concat();
    assert_eq!((letters[0].key.len(), letters[0].header("junk")), (0, vec![]));
    assert_eq!(
        (told(&letters[0], "dead_letter_key_bytes"), told(&letters[0], "dead_letter_headers")),
        ("7".into(), "1".into())
    );
    assert_eq!((letters[1].key.len(), told(&letters[1], "dead_letter_key_bytes")), (0, "1000000".into()));
    for letter in &letters[2..] {
        assert_eq!((&letter.value, told(letter, "dead_letter_value_bytes")), (&many, String::new()));
    }
}

#[test]
fn dead_letters_wait_for_their_topic_and_those_too_large_go_without_their_value() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("letters", 1, &[("max.message.bytes", "4000000")]);
    let producer = producer(&broker.address(), &[("message.max.bytes", "4000000")]);
    send(&producer, "letters", 0, b"small", b"{", OwnedHeaders::new());
    send(&producer, "letters", 0, b"large", &vec![b'x'; 2_000_000], OwnedHeaders::new());
    send_runs(&producer, "letters", 0, 0..3);
    let config =
        Config { epoch_interval: std::time::Duration::from_millis(50), ..config(&broker.address(), "letters") };
    let live = Live::start(&config);
    live.eventually("the records are read", || {
        (live.published.own.lag.lock().unwrap().get(&0) == Some(&0)).then_some(())
    });
    let why = live.eventually("it says what it waits for", || live.published.own.held_up());
    assert_eq!(why, "dead letters cannot be sent to letters.dead-letters: the topic does not exist");
    assert_eq!(live.runs(), None, "I5: nothing is shown before its dead letters are safe");
    broker.topic("letters.dead-letters", 1, &[]);
    live.wait_for_runs(3);
    assert_eq!(live.published.own.held_up(), None);
    let mut letters = kafka::letters(&broker.address(), "letters.dead-letters", 2);
    letters.sort_by_key(|letter| std::cmp::Reverse(letter.key.clone()));
    assert_eq!((letters[0].key.as_slice(), letters[0].value.as_slice()), (&b"small"[..], &b"{"[..]));
    assert_eq!(letters[0].header("dead_letter_value_bytes"), [""; 0]);
    assert_eq!(letters[1].key, b"large");
    assert_eq!(letters[1].value, b"");
    assert_eq!(letters[1].header("dead_letter_value_bytes"), ["2000000"]);
    assert_eq!(letters[1].header("dead_letter_reason"), ["too_large"]);
    assert_eq!(letters[1].header("dead_letter_offset"), ["1"]);
}
