//! Which rights the program needs at the brokers, and that it says which one is missing: a real broker with an authorizer.

use crate::{
    kafka::{
        TIME,
        acl::{self, ALLOW, DENY, DESCRIBE, READ, Rule, WRITE},
        broker::USER,
        eventually, letters, producer, run_queued, send, send_runs,
    },
    kafka_tls::secured,
    life::Life,
};
use rdkafka::{message::OwnedHeaders, producer::Producer};
use std::time::Duration;

const SHOWN: &str = r#"gocdnext_flow_events_total{type="run.queued"}"#;
const REFUSED: &str = "TOPIC_AUTHORIZATION_FAILED";

fn times(life: &Life, what: &str) -> usize {
    life.said().lines().filter(|line| line.contains(what)).count()
}

#[test]
fn a_topic_that_may_be_listed_and_not_read_is_said_and_read_once_it_may() {
    let Some(secured) = secured() else { return };
    let (broker, address) = (&secured.broker, secured.broker.password_address());
    broker.topic("listed", 2, &[]);
    let admin = producer(&broker.address(), &[]);
    send_runs(&admin, "listed", 0, 0..5);
    let rule = |operation, permission| Rule { topic: "listed", user: USER, operation, permission };
    acl::give(&admin, rule(DESCRIBE, ALLOW));
    let mut life = Life::start(&secured.by_password(&address, "listed", "SCRAM-SHA-256"));
    let why = life.check("kafka", REFUSED);
    assert!(why.contains("topic listed") && why.contains("the right READ"), "{why}");
    assert!(times(&life, REFUSED) == 1, "once: {}", life.said());

    acl::give(&admin, rule(READ, ALLOW));
    life.check("kafka", "");
    life.shows(&format!("{SHOWN} 5"));

    // taken away while nothing comes, and given back: that is found without a record
    acl::give(&admin, rule(READ, DENY));
    life.check("kafka", REFUSED);
    acl::take(&admin, rule(READ, DENY));
    life.check("kafka", "");
    send_runs(&admin, "listed", 1, 5..6);
    life.shows(&format!("{SHOWN} 6"));
    assert!(times(&life, REFUSED) == 2, "once for each time: {}", life.said());
}

#[test]
fn a_topic_without_any_right_to_it_is_said() {
    let Some(secured) = secured() else { return };
    let (broker, address) = (&secured.broker, secured.broker.password_address());
    broker.topic("foreign", 1, &[]);
    let admin = producer(&broker.address(), &[]);
    acl::give(&admin, Rule { topic: "foreign", user: "somebody", operation: READ, permission: ALLOW });
    let mut life = Life::start(&secured.by_password(&address, "foreign", "SCRAM-SHA-256"));
    let why = life.check("kafka", REFUSED);
    assert!(why.contains("topic foreign") && why.contains("the right READ"), "{why}");
}

#[test]
fn two_rights_are_enough() {
    let Some(secured) = secured() else { return };
    let (broker, address) = (&secured.broker, secured.broker.password_address());
    for topic in ["least", "least.dead-letters"] {
        broker.topic(topic, 1, &[]);
    }
    let admin = producer(&broker.address(), &[]);
    let rule = |topic, operation| Rule { topic, user: USER, operation, permission: ALLOW };
    acl::give(&admin, rule("least", READ));
    acl::give(&admin, rule("least.dead-letters", DESCRIBE));
    send(&admin, "least", 0, b"key", b"no event", OwnedHeaders::new());
    send(&admin, "least", 0, b"key", run_queued(1, TIME).as_bytes(), OwnedHeaders::new());
    admin.flush(Duration::from_secs(60)).unwrap();
    let mut settings = secured.by_password(&address, "least", "SCRAM-SHA-256");
    settings.push(("dead_letter_topic", "least.dead-letters"));
    let mut life = Life::start(&settings);
    eventually("what is missing for the dead letters", || {
        (times(&life, "dead letters cannot be sent") == 1).then_some(())
    });
    assert!(life.said().contains("least.dead-letters"), "{}", life.said());
    acl::give(&admin, rule("least.dead-letters", WRITE));
    life.shows(&format!("{SHOWN} 1"));
    assert_eq!(letters(&broker.address(), "least.dead-letters", 1)[0].value, b"no event");
}
