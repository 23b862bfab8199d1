//! What a source hands to the workers: batches of raw records, and the end of each epoch.
//!
//! One feeder (a thread of the service) reads, cuts epochs and deals the batches out. Every worker gets every
//! [`Feed::EpochEnd`], in the same order; a batch belongs to the epoch that is open on its channel.

use crate::{
    retention::RetentionInput,
    time::{Epoch, Millis, NextOffset},
    words::words,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Number of a source partition: a Kafka partition, or a file by its place on the command line.
pub type Partition = u32;

/// One message from the feeder to a worker.
#[derive(Clone, Debug)]
pub enum Feed {
    Batch(Batch),
    EpochEnd(Arc<EpochEnd>),
}

/// Raw records in one arena (about 256 KiB), so that a batch costs one allocation, whatever it holds.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub partition: Partition,
    pub bytes: Vec<u8>,
    pub records: Records,
    /// What the wall clock said when they had been read. A record that is from later by its own word has a clock that is
    /// fast, and tells nothing of how far the log is. `None`: there is no other clock than the log's.
    pub read_at: Option<Millis>,
}

/// Where the records of a batch lie in its arena.
#[derive(Clone, Debug)]
pub enum Records {
    /// Every line is a structured event; blank lines are skipped. The offset of a record is its line's number,
    /// the first being `first_line`.
    Lines { first_line: i64 },
    /// Kafka records, each possibly of another partition than the batch's.
    Kafka(Vec<KafkaRecord>),
}

impl Default for Records {
    fn default() -> Self {
        Self::Lines { first_line: 1 }
    }
}

/// One Kafka record: `bytes[key_start..headers_start]` is the key, then the headers, then the value.
///
/// Headers are a sequence of: name length (u16 LE), name, value length (u32 LE), value.
#[derive(Clone, Copy, Debug)]
pub struct KafkaRecord {
    pub partition: Partition,
    pub offset: i64,
    /// The record's timestamp; `None` where the broker gave none.
    pub timestamp: Option<Millis>,
    pub key_start: u32,
    pub headers_start: u32,
    pub value_start: u32,
    pub value_end: u32,
}

/// The end of an epoch, with what the sequencer needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EpochEnd {
    pub epoch: Epoch,
    /// The epoch that opens now; larger than `epoch`.
    pub next_epoch: Epoch,
    /// Every partition of the source, in order of number.
    pub partitions: Vec<PartitionProgress>,
    /// Set when every partition has reached an end offset that was fetched after the wall clock read this.
    pub wall: Option<Millis>,
    /// The source ends here: what is still open at the end of the log is reported.
    pub last: bool,
    /// What holds for retention in this epoch; `None`: nothing is known of it, or retention is off.
    pub retention: Option<Arc<RetentionInput>>,
}

/// How far one partition has been read at the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionProgress {
    pub partition: Partition,
    pub next_offset: NextOffset,
    pub state: CatchUp,
}

/// Whether a partition has been read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatchUp {
    /// There is more to read.
    Behind,
    /// Its end was reached, and confirmed by the broker within the last 5 s (in a file: end of file).
    CaughtUp,
    /// Its end was reached, but the broker has not confirmed it lately: stream time holds.
    Unconfirmed,
}

/// A record that could not be read, for the dead-letter topic or file (I5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub partition: Partition,
    /// Kafka offset, or line number.
    pub offset: i64,
    pub timestamp: Option<Millis>,
    pub reason: Reason,
    /// What exactly is wrong, and with which field.
    pub detail: String,
    pub key: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub value: Vec<u8>,
}

words! {
    /// Why a record was rejected; the closed list of the label `reason`.
    pub enum Reason {
        /// Longer than `max_event_bytes`.
        TooLarge = "too_large",
        /// Nested deeper than `max_event_depth`.
        TooDeep = "too_deep",
        /// Not JSON (bad UTF-8 included).
        NotJson = "not_json",
        /// Not a `CloudEvents` 1.0 event: no `specversion`, `id`, `source`, `type` or `time`, or an unreadable one.
        NotCloudEvent = "not_cloudevent",
        /// A required field of `data` is absent.
        MissingField = "missing_field",
        /// A field of `data` has a value that the contract does not allow.
        InvalidField = "invalid_field",
    }
}
