//! The watcher: which partitions there are, where they end, whether they are still those that were read, and how Kafka
//! is.
//!
//! Once a second it asks for the topic's partitions and then for all their ends, each time with the clocks read first:
//! so a wall-clock reading covers partitions that were added before it, too. Its first look, before which nothing is
//! read, also compares what Kafka has with what was counted ([`start`]).

use super::{
    Offsets, Shared, SourceError,
    ask::{Asker, Trouble},
    kafka_partition,
    start::{self, Has, StartAt},
};
use crate::{clock::wall_ms, config::Config, sources::catch_up::Asked};
use dataflows::feed::Partition;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
};
use std::{
    collections::BTreeSet,
    sync::mpsc::{SyncSender, TrySendError},
    thread,
    time::{Duration, Instant},
};

const LIST_EVERY: Duration = Duration::from_secs(1);
/// A topic made anew while it is read is found within this; its records until then are never counted beyond a restart,
/// since the id that is kept is the former one's.
const IDENTIFY_EVERY: Duration = Duration::from_secs(10);

/// How often it is asked whether the topic is compacted by now. It takes a client of its own each time.
const CONFIGURATION_EVERY: Duration = Duration::from_secs(if cfg!(debug_assertions) { 2 } else { 300 });

/// Looks in a row that end at a wrong password or certificate before the first that went well: then it is no matter of
/// time. While the topic is read it may be one, as where passwords are changed, and nothing is lost meanwhile.
const REFUSALS: u32 = 3;

/// So long must fewer partitions be told of than were read before the topic counts as another one.
const FEWER_FOR: Duration = Duration::from_secs(20);

/// What the broker said, for the reader.
#[derive(Debug)]
pub(super) struct Observation {
    pub asked: Asked,
    /// Partitions to be read from now on, with their first offsets.
    pub new: Offsets,
    /// Ends by partition; those that could not be listed are absent.
    pub ends: Offsets,
}

/// See the module.
pub struct Watcher {
    asker: Asker,
    brokers: String,
    topic: String,
    shared: Shared,
    start: StartAt,
    to_reader: SyncSender<Observation>,
    known: BTreeSet<Partition>,
    /// `None`: the next look asks for the topic's id.
    identified: Option<Instant>,
    /// As that, for whether it is compacted.
    configured: Option<Instant>,
    /// The kind of the trouble that was said last; at the start nothing is well yet.
    said: Option<&'static str>,
    refusals: u32,
    /// Since when fewer partitions are told of than were read.
    fewer: Option<Instant>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Watcher {
    pub(super) fn new(
        asker: Asker,
        config: &Config,
        shared: Shared,
        start: StartAt,
        to_reader: SyncSender<Observation>,
    ) -> Self {
        let (brokers, topic) = (config.brokers.clone(), config.topic.clone());
        let (known, said) = (BTreeSet::new(), Some("start"));
        let (identified, configured, refusals, fewer) = (None, None, 0, None);
        Self { asker, brokers, topic, shared, start, to_reader, known, identified, configured, said, refusals, fewer }
    }

    /// Watches until stopped.
    pub fn run(mut self) -> Result<(), SourceError> {
        let watched = self.watch();
        if watched.is_err() {
            // closing may take as long as a group without coordinator is waited for, and the reader reads on meanwhile
            thread::spawn(move || drop(self));
        }
        watched
    }

    fn watch(&mut self) -> Result<(), SourceError> {
        loop {
            match self.look() {
                Ok(()) => self.well(),
                Err(Trouble::Transient(kind, reason)) => self.unwell(kind, &reason),
                Err(Trouble::Refused(reason)) => self.refused(reason)?,
                Err(Trouble::Definite(error)) => return Err(error),
            }
            self.commit_to_group();
            if self.shared.stop.pause(LIST_EVERY) {
                return Ok(());
            }
        }
    }

    fn look(&mut self) -> Result<(), Trouble> {
        let asked = Asked { wall: wall_ms(), at: Instant::now() };
        let partitions = self.asker.partitions()?;
        let first = self.known.is_empty();
        self.refuse_compacted(first)?;
        self.identify(first)?;
        self.miss_none(&partitions)?;
        let new: BTreeSet<_> = partitions.difference(&self.known).copied().collect();
        let new = self.asker.list(&new, Offset::Beginning)?;
        let ends = self.asker.list(&partitions, Offset::End)?;
        if first {
            if new.len() < partitions.len() {
                return Err(self.leaderless(&partitions, &new));
            }
            if ends.len() < partitions.len() {
                return Err(self.leaderless(&partitions, &ends));
            }
            start::within(&self.topic, &self.start.offsets, Has { low: &new, high: &ends })?;
        }
        // known already where a former run has listed them
        let _ = self.shared.first_ends.set(ends.clone());
        let leaderless = (ends.len() < partitions.len()).then(|| self.leaderless(&partitions, &ends));
        let new_ones: Vec<_> = new.keys().copied().collect();
        match self.to_reader.try_send(Observation { asked, new, ends }) {
            Ok(()) => self.known.extend(new_ones),
            // the reader pauses; the next listing tells it as much
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
        // stream time waits for those that were left out
        leaderless.map_or(Ok(()), Err)?;
        // last: all else goes on, and a right may be given at any time
        self.asker.can_read()
    }

    /// A broker that lags behind the others may tell of fewer for a while, as where partitions were just added.
    fn miss_none(&mut self, partitions: &BTreeSet<Partition>) -> Result<(), Trouble> {
        let ours = self.start.offsets.keys().chain(&self.known);
        let Err(refusal) = start::all_partitions(&self.topic, ours, partitions) else {
            self.fewer = None;
            return Ok(());
        };
        if self.fewer.get_or_insert_with(Instant::now).elapsed() >= FEWER_FOR {
            return Err(refusal.into());
        }
        let there = partitions.len();
        Err(Trouble::Transient(
            "fewer",
            format!("of {} fewer partitions are told of than were read: {there}", self.topic),
        ))
    }

    fn leaderless(&self, all: &BTreeSet<Partition>, listed: &Offsets) -> Trouble {
        let missing: Vec<_> = all.iter().filter(|partition| !listed.contains_key(partition)).collect();
        Trouble::Transient("leader", format!("of {} these partitions have no leader: {missing:?}", self.topic))
    }

    /// Compaction may be turned on at any time. Later looks need no answer.
    fn refuse_compacted(&mut self, first: bool) -> Result<(), Trouble> {
        if self.configured.is_some_and(|at| at.elapsed() < CONFIGURATION_EVERY) {
            return Ok(());
        }
        match self.asker.refuse_compacted(first) {
            Err(Trouble::Transient(_, reason) | Trouble::Refused(reason)) if !first => {
                tracing::debug!("the topic's configuration was not told: {reason}");
            }
            answer => answer?,
        }
        self.configured = Some(Instant::now());
        Ok(())
    }

    /// Whether the topic is still the one that was read. Later looks need no answer: a topic that is there can be read.
    fn identify(&mut self, first: bool) -> Result<(), Trouble> {
        if self.identified.is_some_and(|at| at.elapsed() < IDENTIFY_EVERY) {
            return Ok(());
        }
        let seen = match self.asker.topic_id() {
            Err(Trouble::Transient(_, reason) | Trouble::Refused(reason)) if !first => {
                tracing::debug!("the topic's id was not told: {reason}");
                return Ok(());
            }
            answer => answer?,
        };
        let ours = self.start.topic_id.as_deref().or_else(|| self.shared.topic_id.get()?.as_deref());
        start::same_topic(&self.topic, ours, seen.as_deref())?;
        let _ = self.shared.topic_id.set(seen);
        self.identified = Some(Instant::now());
        Ok(())
    }

    fn refused(&mut self, reason: String) -> Result<(), SourceError> {
        self.refusals += 1;
        if self.known.is_empty() && self.refusals >= REFUSALS {
            return Err(SourceError::Settings(reason));
        }
        self.unwell("refused", &reason);
        Ok(())
    }

    fn well(&mut self) {
        self.refusals = 0;
        if self.said.take().is_some() {
            tracing::info!(topic = self.topic, partitions = self.known.len(), "reading from Kafka");
        }
        self.shared.published.check("kafka", Ok(()));
    }

    fn unwell(&mut self, kind: &'static str, reason: &str) {
        // whatever it is, the topic may be another one when it is over
        self.identified = None;
        if kind != "fewer" {
            self.fewer = None;
        }
        if self.said.replace(kind) != Some(kind) {
            tracing::warn!(topic = self.topic, brokers = self.brokers, "{reason}; keeps trying");
        }
        self.shared.published.check("kafka", Err(reason.to_owned()));
    }

    /// For lag tools only: nothing is ever read from there, so a failure costs nothing.
    fn commit_to_group(&self) {
        let consumer = &self.asker.consumer;
        if let Some(offsets) = self.shared.group.take() {
            let mut list = TopicPartitionList::with_capacity(offsets.len());
            for (partition, next) in &offsets {
                let _ = list.add_partition_offset(&self.topic, kafka_partition(*partition), Offset::Offset(next.0));
            }
            if let Err(error) = consumer.commit(&list, CommitMode::Async) {
                tracing::debug!(%error, "offsets were not committed to the group");
            }
        }
        // serves the client's events: the answers to commits
        while consumer.poll(Duration::ZERO).is_some() {}
    }
}
