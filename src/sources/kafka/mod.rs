//! The Kafka source: every partition of one topic, from its beginning or from given offsets, epoch by epoch.
//!
//! Two threads, each with a client of its own: the *watcher* ([`watch`]) asks the broker for partitions and ends, and
//! says how Kafka is; the *reader* ([`read`]) polls records, copies them into arenas, feeds the workers and ends the
//! epochs. The watcher may block for seconds; the reader asks only whether an offset is gone, once a broker has said so.
//! What must stay true:
//! - Ends are listed before anything is read (I2), and again and again, with the wall clock read first.
//! - Nothing is read before what Kafka has was compared with what was counted ([`start`]).
//! - A failure never looks like progress: transient ones go to `/readyz` and are tried again, offsets that Kafka no
//!   longer has end the pipeline.

mod arena;
mod ask;
mod client;
#[expect(unsafe_code, reason = "rdkafka panics at some records and lacks some questions")]
mod raw;
mod read;
mod start;
mod survey;
mod unread;
mod watch;

use super::{in_flight::InFlight, stop::Stop};
use crate::{config::Config, published::Published, retention::Inputs};
use client::Clients;
use dataflows::{
    feed::Partition,
    graph::Feeder,
    time::{Epoch, Millis, NextOffset},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
};

pub use client::{Health, Quiet, settings as client_settings};
pub use start::StartAt;
pub use survey::{Point, Survey, survey};
pub use watch::Watcher;

/// Why the source ended for good.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// librdkafka refuses a setting, or the topic is not of a kind that can be read.
    #[error("{0}")]
    Settings(String),
    /// Offsets that Kafka no longer has.
    #[error("{0}")]
    Offsets(String),
    /// librdkafka has given up.
    #[error("{0}")]
    Fatal(String),
    #[error(transparent)]
    Stopped(#[from] dataflows::graph::Stopped),
}

/// Next offsets by partition.
pub type Offsets = BTreeMap<Partition, NextOffset>;

/// What the source shares with the rest of the pipeline.
#[derive(Clone, Debug)]
pub struct Shared {
    pub published: Arc<Published>,
    pub in_flight: Arc<InFlight>,
    pub stop: Arc<Stop>,
    /// The end offsets before anything was ever read (I2); empty until they could be listed, set beforehand where a
    /// former run has kept them.
    pub first_ends: Arc<OnceLock<Offsets>>,
    /// The topic's id, to be kept with the offsets; empty until it was asked for, before anything is read. `None`: the
    /// broker has none. It never changes: a topic made anew ends the source.
    pub topic_id: Arc<OnceLock<Option<String>>>,
    /// What epochs are told of retention; `None`: it is off.
    pub retention: Option<Arc<Inputs>>,
    /// Offsets to be committed to the group: the newest only, for lag tools only.
    pub group: Arc<GroupOffsets>,
}

impl Shared {
    #[must_use]
    pub fn new(published: Arc<Published>, config: &Config) -> Self {
        Self {
            published,
            in_flight: Arc::new(InFlight::new(config.max_epochs_in_flight)),
            stop: Arc::default(),
            first_ends: Arc::default(),
            topic_id: Arc::default(),
            retention: None,
            group: Arc::default(),
        }
    }
}

/// See [`Shared::group`].
#[derive(Debug, Default)]
pub struct GroupOffsets(Mutex<Option<Offsets>>);

impl GroupOffsets {
    /// Replaces what was not committed yet.
    pub fn set(&self, offsets: Offsets) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(offsets);
    }

    fn take(&self) -> Option<Offsets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The two halves of the source, ready to run on threads of their own.
#[derive(Debug)]
pub struct Source {
    pub reader: read::Reader,
    pub watcher: Watcher,
}

/// Makes the clients, which shows whether librdkafka takes the settings; nothing is asked of a broker yet.
///
/// Partitions in `start` are read from there, others from their beginning. What does not fit what Kafka has ends the
/// watcher with [`SourceError::Offsets`] before anything is read.
pub fn open(
    config: &Config,
    shared: &Shared,
    start: StartAt,
    feeder: Feeder,
    first_epoch: Epoch,
) -> Result<Source, SourceError> {
    let clients = Clients::create(config)?;
    // a reader that pauses loses listings, which come again
    let (to_reader, observations) = mpsc::sync_channel(16);
    let offsets = start.offsets.clone();
    let reader =
        read::Reader::new(clients.reader, config, shared.clone(), offsets, feeder, first_epoch, observations);
    let asker = ask::Asker::new(clients.watcher, client_settings(config), config, clients.health);
    let watcher = Watcher::new(asker, config, shared.clone(), start, to_reader);
    Ok(Source { reader, watcher })
}

/// The epoch of a moment: the wall clock cut to the interval, but always later than `after`.
#[must_use]
pub fn epoch_at(wall: Millis, interval_ms: u64, after: Epoch) -> Epoch {
    let wall = u64::try_from(wall).unwrap_or(0);
    let interval_ms = interval_ms.max(1);
    Epoch((wall / interval_ms * interval_ms).max(after.0 + 1))
}

/// Kafka numbers partitions with an i32 that is never negative.
fn partition_number(partition: i32) -> Partition {
    Partition::try_from(partition).unwrap_or(0)
}

/// Back to Kafka's type.
fn kafka_partition(partition: Partition) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_cut_from_the_wall_clock_and_increase_even_if_it_steps_back() {
        assert_eq!(epoch_at(12_345, 1_000, Epoch(0)), Epoch(12_000));
        assert_eq!(epoch_at(12_999, 1_000, Epoch(12_000)), Epoch(12_001));
        assert_eq!(epoch_at(5_000, 1_000, Epoch(12_001)), Epoch(12_002));
        assert_eq!(epoch_at(-1, 0, Epoch(3)), Epoch(4));
    }
}
