//! librdkafka's own settings: passed through by name, but for those that the pipeline answers for itself.
//!
//! Whether librdkafka takes a name and its value is asked here already, so that a mistake is said with its place.
//! Also the rule for what is secret, since these are the settings that can be.

use super::{
    fault::{Fault, Origin},
    grammar::nearest,
    read::Given,
};
use rdkafka::{ClientConfig, error::KafkaError, types::RDKafkaConfRes};

/// Properties with a setting of their own.
const OURS: [(&str, &str); 5] = [
    ("bootstrap.servers", "brokers"),
    ("metadata.broker.list", "brokers"),
    ("group.id", "group_id"),
    ("queued.max.messages.kbytes", "kafka_queue_bytes"),
    ("queued.min.messages", "kafka_queue_bytes"),
];

/// Properties on which exactness rests: which records are seen, and when they count as read, or as sent.
const FIXED: [&str; 13] = [
    "acks",
    "request.required.acks",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    // where a checksum is wrong, librdkafka 2.12 goes on from an offset that does not exist
    "check.crcs",
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "isolation.level",
    "enable.idempotence",
    "transactional.id",
    "enable.gapless.guarantee",
];

/// Words in a name whose value nobody may see.
const SECRET: [&str; 8] =
    ["password", "passphrase", "secret", "token", "key.pem", "private", "oauthbearer.config", "jaas"];

/// Those that people set, for what was perhaps meant.
const COMMON: [&str; 18] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "client.id",
    "fetch.max.bytes",
    "session.timeout.ms",
    "socket.timeout.ms",
    "statistics.interval.ms",
];

/// What is shown in place of a secret.
pub const MASK: &str = "***";

#[must_use]
pub fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|word| name.contains(word))
}

/// The value of `kafka."property"`.
pub(super) fn property(property: &str, given: &Given) -> Result<String, Fault> {
    let fault = |problem: String, allowed: Option<&str>, suggestion: Option<&str>| Fault {
        origin: given.origin.clone(),
        problem,
        allowed: allowed.map(str::to_owned),
        suggestion: suggestion.map(str::to_owned),
    };
    let name_fits = property.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'_');
    if property.is_empty() || !name_fits {
        let allowed = "librdkafka's names: lower-case words with dots, as kafka.\"security.protocol\"";
        return Err(fault(format!("there is no librdkafka setting `{property}`"), Some(allowed), None));
    }
    if let Some((_, setting)) = OURS.iter().find(|(name, _)| *name == property) {
        return Err(fault(format!("`{property}` has a setting of its own"), None, Some(&like(given, setting))));
    }
    if FIXED.contains(&property) {
        let why = "the pipeline sets it itself, since exactness rests on it";
        return Err(fault(format!("`{property}` cannot be set: {why}"), None, None));
    }
    // no value is shown: it may be that of a secret whose name is misspelt
    let value = given.value.scalar().ok_or_else(|| {
        fault(format!("`{property}` is a list or a table"), Some("a text, a number, true or false"), None)
    })?;
    match ClientConfig::new().set(property, &value).create_native_config() {
        Ok(_) => Ok(value),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            let suggestion = nearest(property, COMMON).map(|name| like(given, &format!("kafka.{name}")));
            let allowed = "librdkafka's names, as its CONFIGURATION.md lists them";
            Err(fault(format!("there is no librdkafka setting `{property}`"), Some(allowed), suggestion.as_deref()))
        }
        // what the packages take must not keep a plain build from showing it; `run` says it
        Err(KafkaError::ClientConfig(_, what, ..)) if what.contains("at build time") => Ok(value),
        Err(error) => Err(fault(refused(error), None, None)),
    }
}

/// Why librdkafka refuses settings. Its own text would show the value that it refuses.
#[must_use]
pub fn refused(error: KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, what, name, value) => {
            let shown = if is_secret(&name) { MASK } else { &value };
            let what = if is_secret(&name) { what.replace(&value, MASK) } else { what };
            format!("librdkafka refuses kafka.\"{name}\" = \"{shown}\": {what}")
        }
        other => format!("librdkafka refuses its settings: {other}"),
    }
}

/// The name of a setting as the place of `given` writes it.
fn like(given: &Given, setting: &str) -> String {
    match given.origin {
        Origin::Variable(_) => {
            format!("{}{}", super::environment::PREFIX, setting.to_ascii_uppercase().replace('.', "_"))
        }
        _ => setting.to_owned(),
    }
}
