//! Dead letters to a Kafka topic: key, value and headers of the original, its origin and the reason as headers more.
//!
//! A reader that cares about those that come twice compares `dead_letter_topic`, `dead_letter_partition` and
//! `dead_letter_offset`. So that each of them stands once, a letter that was sent again and is rejected again loses those
//! of the first time.

use super::{
    courier::{Courier, Extent, Record, Told},
    dead_letters::{Sink, SinkError},
};
use crate::{config::Config, sources::stop::Stop};
use dataflows::feed::DeadLetter;
use rdkafka::message::{Header, OwnedHeaders};
use std::sync::Arc;

/// In front of the names of our headers.
const OURS: &str = "dead_letter_";

/// See the module.
#[derive(Debug)]
pub struct KafkaLetters {
    courier: Courier,
    /// Where they come from.
    origin: String,
}

impl KafkaLetters {
    /// Shows whether librdkafka takes the settings; no broker is asked yet.
    pub fn new(config: &Config, stop: Arc<Stop>) -> Result<Self, SinkError> {
        let courier = Courier::new(config, &config.dead_letter_topic, "dead letters", stop)?;
        Ok(Self { courier, origin: config.topic.clone() })
    }

    /// See [`Courier::tells`].
    #[must_use]
    pub fn telling(mut self, told: Told) -> Self {
        self.courier.tells(told);
        self
    }
}

impl Sink for KafkaLetters {
    fn deliver(&mut self, letters: &[DeadLetter]) -> Result<(), SinkError> {
        let topic = self.courier.topic().to_owned();
        let record = |place: usize, extent: Extent| record(&topic, &self.origin, &letters[place], place, extent);
        self.courier.deliver(letters.len(), record)
    }
}

fn record<'a>(topic: &'a str, origin: &str, letter: &'a DeadLetter, place: usize, extent: Extent) -> Record<'a> {
    let mut record = Record::with_opaque_to(topic, place).headers(headers(origin, letter, extent));
    if extent < Extent::Bare && !letter.key.is_empty() {
        record = record.key(&letter.key);
    }
    if extent < Extent::WithoutValue && !letter.value.is_empty() {
        record = record.payload(&letter.value);
    }
    record
}

/// Those of the original, then where it came from and what is wrong with it.
fn headers(origin: &str, letter: &DeadLetter, extent: Extent) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len() + 9);
    let theirs = if extent < Extent::Bare { &letter.headers[..] } else { &[] };
    for (name, value) in theirs {
        let name = name.replace('\0', "");
        if !name.starts_with(OURS) {
            headers = headers.insert(Header { key: &name, value: Some(value) });
        }
    }
    let timestamp = letter.timestamp.map(|timestamp| timestamp.to_string());
    let value_bytes = (extent >= Extent::WithoutValue).then(|| letter.value.len().to_string());
    let key_bytes = (extent == Extent::Bare).then(|| letter.key.len().to_string());
    let header_count = (extent == Extent::Bare).then(|| letter.headers.len().to_string());
    let ours = [
        ("dead_letter_topic", Some(origin.to_owned())),
        ("dead_letter_partition", Some(letter.partition.to_string())),
        ("dead_letter_offset", Some(letter.offset.to_string())),
        ("dead_letter_timestamp", timestamp),
        ("dead_letter_reason", Some(letter.reason.name().to_owned())),
        ("dead_letter_detail", Some(letter.detail.clone())),
        // only where these themselves are left out
        ("dead_letter_value_bytes", value_bytes),
        ("dead_letter_key_bytes", key_bytes),
        ("dead_letter_headers", header_count),
    ];
    for (key, value) in ours {
        if let Some(value) = &value {
            headers = headers.insert(Header { key, value: Some(value) });
        }
    }
    headers
}
