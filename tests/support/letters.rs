//! The dead letters of a topic, by where they come from (I5).

use super::{log, sender::Topic};
use anyhow::{Context, Result};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{Headers, OwnedMessage},
};
use std::collections::BTreeSet;

/// What lies in partition 0 of the dead-letter topic.
#[derive(Debug, Default)]
pub struct Letters {
    /// Partition and offset of the originals.
    pub origins: BTreeSet<(String, String)>,
    /// Letters that were sent again after a kill: at least once is what is promised.
    pub again: u64,
}

/// Reads all that is there.
pub fn letters(topic: &Topic) -> Result<Letters> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", &topic.brokers).set("group.id", "letters").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = settings.create()?;
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(&topic.name, 0, Offset::Beginning)?;
    consumer.assign(&all)?;
    let mut letters = Letters::default();
    loop {
        let letter = match log::poll(&consumer)? {
            Err(KafkaError::PartitionEOF(_)) => return Ok(letters),
            polled => polled?.detach(),
        };
        let origin = (header(&letter, "dead_letter_partition")?, header(&letter, "dead_letter_offset")?);
        letters.again += u64::from(!letters.origins.insert(origin));
    }
}

fn header(letter: &OwnedMessage, name: &str) -> Result<String> {
    let mut headers = letter.headers().into_iter().flat_map(Headers::iter);
    let found = headers.find(|header| header.key == name).and_then(|header| header.value);
    let found = found.with_context(|| format!("a dead letter without {name}"))?;
    Ok(String::from_utf8_lossy(found).into_owned())
}
