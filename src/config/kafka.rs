//! librdkafka's own settings: passed through by name, but for those that the pipeline answers for itself.
//!
//! Also the rule for what is secret, since these are the settings that can be.

use super::{
    fault::{Fault, Origin},
    read::Given,
};

/// Properties with a setting of their own.
const OURS: [(&str, &str); 5] = [
    ("bootstrap.servers", "brokers"),
    ("metadata.broker.list", "brokers"),
    ("group.id", "group_id"),
    ("queued.max.messages.kbytes", "kafka_queue_bytes"),
    ("queued.min.messages", "kafka_queue_bytes"),
];

/// Properties on which exactness rests: which records are seen, and when they count as read.
const FIXED: [&str; 6] = [
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "isolation.level",
    "enable.idempotence",
];

/// Words in a name whose value nobody may see.
const SECRET: [&str; 8] =
    ["password", "passphrase", "secret", "token", "key.pem", "private", "oauthbearer.config", "jaas"];

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
    let found = if is_secret(property) { "a value that is no text".to_owned() } else { given.value.shown() };
    given.value.scalar().ok_or_else(|| {
        fault(format!("`{property}` is wrong: found {found}"), Some("a text, a number, true or false"), None)
    })
}

/// The name of a setting as the place of `given` writes it.
fn like(given: &Given, setting: &str) -> String {
    match given.origin {
        Origin::Variable(_) => format!("{}{}", super::environment::PREFIX, setting.to_ascii_uppercase()),
        _ => setting.to_owned(),
    }
}
