//! Dead letters to a Kafka topic: key, value and headers of the original, its origin and the reason as headers more.
//!
//! A reader that cares about those that come twice compares `dead_letter_topic`, `dead_letter_partition` and
//! `dead_letter_offset`.

use super::{
    courier::{Courier, Record},
    dead_letters::{Sink, SinkError},
};
use crate::{config::Config, sources::stop::Stop};
use dataflows::feed::DeadLetter;
use rdkafka::message::{Header, OwnedHeaders};
use std::sync::Arc;

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
}

impl Sink for KafkaLetters {
    fn deliver(&mut self, letters: &[DeadLetter]) -> Result<(), SinkError> {
        let topic = self.courier.topic().to_owned();
        let record = |place: usize, whole: bool| record(&topic, &self.origin, &letters[place], place, whole);
        self.courier.deliver(letters.len(), record)
    }
}

fn record<'a>(topic: &'a str, origin: &str, letter: &'a DeadLetter, place: usize, whole: bool) -> Record<'a> {
    let mut record = Record::with_opaque_to(topic, place).headers(headers(origin, letter, whole));
    if !letter.key.is_empty() {
        record = record.key(&letter.key);
    }
    if whole && !letter.value.is_empty() {
        record = record.payload(&letter.value);
    }
    record
}

/// Those of the original, then where it came from and what is wrong with it.
fn headers(origin: &str, letter: &DeadLetter, whole: bool) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len() + 7);
    for (name, value) in &letter.headers {
        headers = headers.insert(Header { key: &name.replace('\0', ""), value: Some(value) });
    }
    let timestamp = letter.timestamp.map(|timestamp| timestamp.to_string());
    let size = (!whole).then(|| letter.value.len().to_string());
    let ours = [
        ("dead_letter_topic", Some(origin.to_owned())),
        ("dead_letter_partition", Some(letter.partition.to_string())),
        ("dead_letter_offset", Some(letter.offset.to_string())),
        ("dead_letter_timestamp", timestamp),
        ("dead_letter_reason", Some(letter.reason.name().to_owned())),
        ("dead_letter_detail", Some(letter.detail.clone())),
        // only where the value itself is left out
        ("dead_letter_value_bytes", size),
    ];
    for (key, value) in ours {
        if let Some(value) = &value {
            headers = headers.insert(Header { key, value: Some(value) });
        }
    }
    headers
}
