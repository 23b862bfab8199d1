//! The log as Kafka has it, for the reference: what all partitions hold, in one packed file, by the timestamps of the records.
//!
//! It may hold a record twice that was sent once, after an outage of the broker; the program reads it twice, too.

use super::sender::Topic;
use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::{Duration, Instant},
};

const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// A record's timestamp, and its value.
type Record = (i64, Vec<u8>);

/// Writes the records of a topic to a file, a line each; how many there are.
pub fn write(topic: &Topic, file: &Path) -> Result<u64> {
    let partitions = partitions(topic)?;
    let readers = (0..partitions).map(|partition| reader(topic, partition)).collect::<Result<Vec<_>>>()?;
    let mut heads = readers.iter().map(next).collect::<Result<Vec<_>>>()?;
    let mut out = GzEncoder::new(BufWriter::new(File::create(file)?), Compression::fast());
    let mut records = 0;
    while let Some(oldest) = oldest(&heads) {
        let (_, value) = std::mem::replace(&mut heads[oldest], next(&readers[oldest])?).context("a record")?;
        out.write_all(&value)?;
        out.write_all(b"\n")?;
        records += 1;
    }
    out.finish()?.flush()?;
    Ok(records)
}

fn oldest(heads: &[Option<Record>]) -> Option<usize> {
    let times = heads.iter().enumerate().filter_map(|(reader, head)| Some((head.as_ref()?.0, reader)));
    Some(times.min()?.1)
}

fn settings(topic: &Topic) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", &topic.brokers).set("group.id", "log").set("enable.partition.eof", "true");
    // many are open at once
    settings.set("queued.max.messages.kbytes", "16384").set("fetch.queue.backoff.ms", "10");
    settings
}

fn partitions(topic: &Topic) -> Result<i32> {
    let client: BaseConsumer = settings(topic).create()?;
    let metadata = client.fetch_metadata(Some(&topic.name), ANSWERS_WITHIN)?;
    Ok(i32::try_from(metadata.topics().first().context("the topic")?.partitions().len())?)
}

fn reader(topic: &Topic, partition: i32) -> Result<BaseConsumer> {
    let reader: BaseConsumer = settings(topic).create()?;
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(&topic.name, partition, Offset::Beginning)?;
    reader.assign(&all)?;
    Ok(reader)
}

/// The next record of a partition; `None`: it has no more.
fn next(reader: &BaseConsumer) -> Result<Option<Record>> {
    match poll(reader)? {
        Err(KafkaError::PartitionEOF(_)) => Ok(None),
        record => {
            let record = record?;
            let time = record.timestamp().to_millis().context("a timestamp")?;
            Ok(Some((time, record.payload().unwrap_or_default().to_vec())))
        }
    }
}

/// The client may return early without anything.
pub fn poll(consumer: &BaseConsumer) -> Result<KafkaResult<BorrowedMessage<'_>>> {
    let begun = Instant::now();
    while begun.elapsed() < ANSWERS_WITHIN {
        if let Some(polled) = consumer.poll(Duration::from_secs(1)) {
            return Ok(polled);
        }
    }
    bail!("the broker has not answered for {ANSWERS_WITHIN:?}")
}
