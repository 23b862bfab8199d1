//! The watcher: which partitions there are, where they end, and how Kafka is.
//!
//! Once a second it asks for the topic's partitions and then for all their ends, each time with the clocks read first:
//! so a wall-clock reading covers partitions that were added before it, too.

use super::{
    Offsets, Shared, SourceError,
    client::{Health, Quiet},
    kafka_partition, partition_number, wall_ms,
};
use crate::{config::Config, sources::catch_up::Asked};
use dataflows::{feed::Partition, time::NextOffset};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    collections::BTreeSet,
    sync::{
        PoisonError,
        mpsc::{SyncSender, TrySendError},
    },
    time::{Duration, Instant},
};

const LIST_EVERY: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How librdkafka's in-process broker names its cluster; it has no admin API, and compacts nothing.
const IN_PROCESS: &str = "mockCluster";

/// What the broker said, for the reader.
#[derive(Debug)]
pub(super) struct Observation {
    pub asked: Asked,
    /// Partitions to be read from now on, with their first offsets.
    pub new: Offsets,
    /// Ends by partition; those that could not be listed are absent.
    pub ends: Offsets,
}

/// Why a look at the broker gave nothing.
enum Trouble {
    /// Tried again. The first word is the kind: a trouble is said once for each.
    Transient(&'static str, String),
    Definite(SourceError),
}

/// See the module.
pub struct Watcher {
    consumer: BaseConsumer<Quiet>,
    admin: AdminClient<Quiet>,
    brokers: String,
    topic: String,
    shared: Shared,
    health: Health,
    to_reader: SyncSender<Observation>,
    known: BTreeSet<Partition>,
    /// The kind of the trouble that was said last; at the start nothing is well yet.
    said: Option<&'static str>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Watcher {
    pub(super) fn new(
        consumer: BaseConsumer<Quiet>,
        admin: AdminClient<Quiet>,
        config: &Config,
        shared: Shared,
        health: Health,
        to_reader: SyncSender<Observation>,
    ) -> Self {
        let (brokers, topic) = (config.brokers.clone(), config.topic.clone());
        Self {
            consumer,
            admin,
            brokers,
            topic,
            shared,
            health,
            to_reader,
            known: BTreeSet::new(),
            said: Some("start"),
        }
    }

    /// Watches until stopped.
    pub fn run(mut self) -> Result<(), SourceError> {
        loop {
            match self.look() {
                Ok(()) => self.well(),
                Err(Trouble::Transient(kind, reason)) => self.unwell(kind, &reason),
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
        let partitions = self.partitions()?;
        if self.known.is_empty() {
            self.refuse_compacted()?;
        }
        if partitions.len() < self.known.len() {
            return Err(Trouble::Definite(SourceError::Offsets(format!(
                "topic {} had {} partitions and now has {}: it was made anew, what was counted belongs to the former one. \
                 Restart to count from its beginning",
                self.topic,
                self.known.len(),
                partitions.len()
            ))));
        }
        let new: BTreeSet<_> = partitions.difference(&self.known).copied().collect();
        let new = self.list(&new, Offset::Beginning)?;
        let ends = self.list(&partitions, Offset::End)?;
        if self.known.is_empty() && ends.len() < partitions.len() {
            return Err(Trouble::Transient("leader", format!("some partitions of {} have no leader", self.topic)));
        }
        let _ = self.shared.first_ends.set(ends.clone());
        let new_ones: Vec<_> = new.keys().copied().collect();
        match self.to_reader.try_send(Observation { asked, new, ends }) {
            Ok(()) => self.known.extend(new_ones),
            // the reader pauses; the next listing tells it as much
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
        Ok(())
    }

    fn partitions(&self) -> Result<BTreeSet<Partition>, Trouble> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), ANSWER_WITHIN);
        let metadata = metadata.map_err(|error| self.unreachable(&error))?;
        let absent = || Trouble::Transient("topic", format!("topic {} does not exist", self.topic));
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic).ok_or_else(absent)?;
        if let Some(error) = topic.error() {
            let code = RDKafkaErrorCode::from(error);
            return Err(match code {
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => absent(),
                code => Trouble::Transient("topic", format!("topic {}: {code}", self.topic)),
            });
        }
        let partitions: BTreeSet<_> = topic.partitions().iter().map(|p| partition_number(p.id())).collect();
        if partitions.is_empty() { Err(absent()) } else { Ok(partitions) }
    }

    /// Where the partitions begin or end, as a `read_committed` reader sees it.
    fn list(&self, partitions: &BTreeSet<Partition>, which: Offset) -> Result<Offsets, Trouble> {
        if partitions.is_empty() {
            return Ok(Offsets::new());
        }
        let mut wanted = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            let added = wanted.add_partition_offset(&self.topic, kafka_partition(*partition), which);
            added.map_err(|error| self.unreachable(&error))?;
        }
        let listed = self.consumer.offsets_for_times(wanted, ANSWER_WITHIN);
        let listed = listed.map_err(|error| self.unreachable(&error))?;
        let offset = |offset| if let Offset::Offset(offset) = offset { Some(NextOffset(offset)) } else { None };
        let elements = listed.elements();
        let found = elements.iter().filter(|element| element.error().is_ok());
        Ok(found.filter_map(|e| Some((partition_number(e.partition()), offset(e.offset())?))).collect())
    }

    fn unreachable(&self, error: &KafkaError) -> Trouble {
        let reason = self.health.take().unwrap_or_else(|| error.to_string());
        Trouble::Transient("broker", format!("Kafka at {} cannot be asked: {reason}", self.brokers))
    }

    /// A compacted topic forgets events that the series are made of (I1).
    fn refuse_compacted(&self) -> Result<(), Trouble> {
        let cluster = self.consumer.client().fetch_cluster_id(ANSWER_WITHIN);
        if cluster.is_some_and(|id| id.starts_with(IN_PROCESS)) {
            return Ok(());
        }
        let options = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN));
        let topic = [ResourceSpecifier::Topic(&self.topic)];
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|e| Trouble::Definite(SourceError::Fatal(e.to_string())))?;
        let described = runtime.block_on(self.admin.describe_configs(&topic, &options));
        let code = match described.map(|mut topics| topics.pop()) {
            Ok(Some(Ok(topic))) => {
                let policy = topic.get("cleanup.policy").and_then(|entry| entry.value.clone()).unwrap_or_default();
                return if policy.contains("compact") { Err(self.compacted(&policy)) } else { Ok(()) };
            }
            Ok(Some(Err(code))) | Err(KafkaError::AdminOp(code)) => Some(code),
            Ok(None) => None,
            Err(error) => return Err(self.unreachable(&error)),
        };
        match code {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed) => {
                tracing::warn!(topic = self.topic, "may not see whether the topic is compacted; it must not be");
                Ok(())
            }
            code => {
                let code = code.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
                Err(Trouble::Transient(
                    "configuration",
                    format!("cannot see how {} is configured: {code}", self.topic),
                ))
            }
        }
    }

    fn compacted(&self, policy: &str) -> Trouble {
        Trouble::Definite(SourceError::Settings(format!(
            "topic {} is compacted (cleanup.policy={policy}): Kafka would drop events that the series are made of. \
             Set its cleanup.policy to delete, or name another topic",
            self.topic
        )))
    }

    fn well(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(topic = self.topic, partitions = self.known.len(), "reading from Kafka");
        }
        self.check(Ok(()));
    }

    fn unwell(&mut self, kind: &'static str, reason: &str) {
        if self.said.replace(kind) != Some(kind) {
            tracing::warn!(topic = self.topic, brokers = self.brokers, "{reason}; keeps trying");
        }
        self.check(Err(reason.to_owned()));
    }

    fn check(&self, result: Result<(), String>) {
        let mut checks = self.shared.published.checks.0.lock().unwrap_or_else(PoisonError::into_inner);
        checks.insert("kafka", result);
    }

    /// For lag tools only: nothing is ever read from there, so a failure costs nothing.
    fn commit_to_group(&self) {
        if let Some(offsets) = self.shared.group.take() {
            let mut list = TopicPartitionList::with_capacity(offsets.len());
            for (partition, next) in &offsets {
                let _ = list.add_partition_offset(&self.topic, kafka_partition(*partition), Offset::Offset(next.0));
            }
            if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
                tracing::debug!(%error, "offsets were not committed to the group");
            }
        }
        // serves the client's events: the answers to commits
        while self.consumer.poll(Duration::ZERO).is_some() {}
    }
}
