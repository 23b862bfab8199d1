//! Kafka by TLS, with SCRAM passwords and with a client's certificate: what is right works whole, what is wrong ends the
//! program with a sentence that tells what to look at and holds no secret.

use crate::{
    certificates::{Certificates, KEY_PASSWORD},
    kafka::{
        TIME,
        broker::{Broker, USER},
        eventually, letters, producer, run_queued, send, send_runs,
    },
    life::{Life, with},
    support::program::program,
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::OwnedHeaders,
    producer::Producer,
};
use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

const PASSWORD: &str = "canary-sasl-password";

pub struct Secured {
    pub broker: Broker,
    certificates: Certificates,
    ca: String,
    stranger: String,
}

/// Whether librdkafka can do TLS; false: SKIPPED.
pub fn built_in() -> bool {
    if !cfg!(feature = "kafka-tls") {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let line = format!("SKIPPED {test}: this build has no TLS for Kafka; cargo test --features kafka-tls\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    cfg!(feature = "kafka-tls")
}

/// The broker that the tests here share. `None`: SKIPPED.
pub fn secured() -> Option<Arc<Secured>> {
    static SHARED: Mutex<Weak<Secured>> = Mutex::new(Weak::new());
    if !built_in() {
        return None;
    }
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(secured) = shared.upgrade() {
        return Some(secured);
    }
    let certificates = Certificates::make()?;
    let broker = Broker::start_secured(certificates.folder(), PASSWORD)?;
    let path = |name| certificates.path(name).display().to_string();
    let (ca, stranger) = (path("ca.crt"), path("stranger.crt"));
    let secured = Arc::new(Secured { broker, certificates, ca, stranger });
    *shared = Arc::downgrade(&secured);
    Some(secured)
}

impl Secured {
    /// What everyone says who comes in with a password.
    pub fn by_password<'a>(
        &'a self,
        brokers: &'a str,
        topic: &'a str,
        mechanism: &'a str,
    ) -> Vec<(&'a str, &'a str)> {
        vec![
            ("brokers", brokers),
            ("topic", topic),
            ("epoch_interval", "100ms"),
            ("kafka.security.protocol", "SASL_SSL"),
            ("kafka.ssl.ca.location", &self.ca),
            ("kafka.sasl.mechanism", mechanism),
            ("kafka.sasl.username", USER),
            ("kafka.sasl.password", PASSWORD),
        ]
    }
}

/// What a group has committed for partition 0.
fn committed(brokers: &str, group: &str, topic: &str) -> Option<i64> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", brokers).set("group.id", group);
    let consumer: BaseConsumer = settings.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    let list = consumer.committed_offsets(list, Duration::from_secs(10)).ok()?;
    if let Offset::Offset(next) = list.elements()[0].offset() { Some(next) } else { None }
}

/// Reads, commits, and sends dead letters, by that mechanism alone.
fn works_whole(mechanism: &str, topic: &str) {
    let Some(secured) = secured() else { return };
    let (broker, address) = (&secured.broker, secured.broker.password_address());
    let dead = format!("{topic}.dead-letters");
    broker.topic(topic, 1, &[]);
    broker.topic(&dead, 1, &[]);
    let producer = producer(&broker.address(), &[]);
    send_runs(&producer, topic, 0, 0..20);
    send(&producer, topic, 0, b"key", b"no event", OwnedHeaders::new());
    send(&producer, topic, 0, b"key", run_queued(20, TIME).as_bytes(), OwnedHeaders::new());
    producer.flush(Duration::from_secs(60)).unwrap();
    let mut settings = secured.by_password(&address, topic, mechanism);
    settings.extend([("dead_letter_topic", dead.as_str()), ("group_id", topic)]);
    let mut life = Life::start(&settings);
    life.shows(r#"gocdnext_flow_events_total{type="run.queued"} 21"#);
    assert_eq!(letters(&broker.address(), &dead, 1)[0].value, b"no event");
    eventually("the group's offsets", || (committed(&broker.address(), topic, topic)? == 22).then_some(()));
    assert!(!life.said().contains(PASSWORD), "{}", life.said());
}

#[test]
fn scram_sha_256_works_whole() {
    works_whole("SCRAM-SHA-256", "scram256");
}

#[test]
fn scram_sha_512_works_whole() {
    works_whole("SCRAM-SHA-512", "scram512");
}

#[test]
fn a_client_s_certificate_with_a_locked_key_works() {
    let Some(secured) = secured() else { return };
    let (broker, address) = (&secured.broker, secured.broker.certificate_address());
    broker.topic("mutual", 1, &[]);
    send_runs(&producer(&broker.address(), &[]), "mutual", 0, 0..5);
    let path = |name| secured.certificates.path(name).display().to_string();
    let (certificate, key) = (path("client.crt"), path("client.locked.key"));
    let mut settings = vec![
        ("brokers", address.as_str()),
        ("topic", "mutual"),
        ("epoch_interval", "100ms"),
        ("kafka.security.protocol", "SSL"),
        ("kafka.ssl.ca.location", &secured.ca),
        ("kafka.ssl.certificate.location", &certificate),
        ("kafka.ssl.key.location", &key),
        ("kafka.ssl.key.password", KEY_PASSWORD),
    ];
    let mut life = Life::start(&settings);
    life.shows(r#"gocdnext_flow_events_total{type="run.queued"} 5"#);
    assert!(!life.said().contains(KEY_PASSWORD), "{}", life.said());
    drop(life);

    // the key cannot be unlocked: that is seen before any broker is asked
    settings.pop();
    settings.push(("kafka.ssl.key.password", "canary-wrong-key-password"));
    let said = refused(&settings);
    assert!(said.contains("ssl.key.location"), "{said}");
}

#[test]
fn generate_sends_by_tls_and_says_why_it_cannot() {
    let Some(secured) = secured() else { return };
    let (broker, address) = (&secured.broker, secured.broker.password_address());
    broker.topic("made", 1, &[]);
    let generate = |settings: &[(&str, &str)]| {
        let arguments = ["generate", "--jobs", "20", "--seed", "7", "--brokers", &address, "--topic", "made"];
        let settings: Vec<_> = settings.iter().filter(|(name, _)| name.starts_with("kafka.")).copied().collect();
        with(program(&arguments), &settings).output().unwrap()
    };
    let mut settings = secured.by_password(&address, "made", "SCRAM-SHA-512");
    let made = generate(&settings);
    assert!(made.status.success(), "{made:?}");
    settings.push(("kafka.sasl.password", "canary-wrong-password"));
    let refused = generate(&settings);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    is_told(&said, &address, "kafka.\"sasl.password\"");
}

/// Starts the program, which must end as with any wrong setting; what it said.
fn refused(settings: &[(&str, &str)]) -> String {
    let mut life = Life::start(settings);
    let status = life.ended();
    let said = life.said();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(!said.contains("canary-") && !said.contains("panicked"), "{said}");
    said
}

/// What, where and what to do, once, and no secret.
fn is_told(said: &str, broker: &str, setting: &str) {
    let error: Vec<_> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(matches!(error[..], [error] if error.contains(broker) && error.contains(setting)), "{said}");
    assert!(!said.contains("canary-") && !said.contains("panicked"), "{said}");
}

#[test]
fn a_wrong_password_is_said_and_not_tried_for_ever() {
    let Some(secured) = secured() else { return };
    let address = secured.broker.password_address();
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut settings = secured.by_password(&address, "any", mechanism);
        settings.push(("kafka.sasl.password", "canary-wrong-password"));
        let said = refused(&settings);
        is_told(&said, &address, "kafka.\"sasl.password\"");
        assert!(said.lines().count() < 20, "it is not said again and again: {said}");
    }
}

#[test]
fn a_broker_by_a_stranger_s_certificate_is_not_talked_to() {
    let Some(secured) = secured() else { return };
    let address = secured.broker.password_address();
    let mut settings = secured.by_password(&address, "any", "SCRAM-SHA-512");
    settings.push(("kafka.ssl.ca.location", &secured.stranger));
    is_told(&refused(&settings), &address, "kafka.\"ssl.ca.location\"");
}

#[test]
fn a_broker_by_another_name_than_its_certificate_s_is_not_talked_to() {
    let Some(secured) = secured() else { return };
    let address = secured.broker.password_address().replace("127.0.0.1", "localhost");
    let settings = secured.by_password(&address, "any", "SCRAM-SHA-512");
    is_told(&refused(&settings), &address, "the broker's name in its certificate");
}

#[test]
fn a_file_of_authorities_that_is_absent_is_said_at_once() {
    let Some(secured) = secured() else { return };
    let address = secured.broker.password_address();
    let mut settings = secured.by_password(&address, "any", "SCRAM-SHA-512");
    settings.push(("kafka.ssl.ca.location", "/nowhere/ca.crt"));
    let said = refused(&settings);
    assert!(said.contains("ssl.ca.location"), "{said}");
}
