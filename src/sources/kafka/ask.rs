//! The watcher's questions to the broker about its topic. Each is bounded in time and says what no answer means.

use super::{
    Offsets, SourceError,
    client::{Health, Quiet},
    kafka_partition, partition_number, raw,
};
use crate::config::Config;
use dataflows::{feed::Partition, time::NextOffset};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use std::{collections::BTreeSet, time::Duration};

const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How librdkafka's in-process broker names its cluster; it answers no admin question, and compacts nothing.
const IN_PROCESS: &str = "mockCluster";

/// What to do where the brokers refuse the topic.
const RIGHTS: &str = "the brokers' ACLs do not let this user read it: give the user the right READ on the topic";

/// Why a question gave nothing.
pub(super) enum Trouble {
    /// Asked again. The first word is the kind: a trouble is said once for each.
    Transient(&'static str, String),
    /// Password or certificate. Asked again some times: a broker that starts may not know its users yet.
    Refused(String),
    Definite(SourceError),
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Definite(error)
    }
}

/// See the module.
pub(super) struct Asker {
    pub consumer: BaseConsumer<Quiet>,
    settings: ClientConfig,
    brokers: String,
    topic: String,
    health: Health,
}

impl Asker {
    /// `settings`: for a client that is needed once.
    pub fn new(consumer: BaseConsumer<Quiet>, settings: ClientConfig, config: &Config, health: Health) -> Self {
        Self { consumer, settings, brokers: config.brokers.clone(), topic: config.topic.clone(), health }
    }

    pub fn partitions(&self) -> Result<BTreeSet<Partition>, Trouble> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), ANSWER_WITHIN);
        let metadata = metadata.map_err(|error| self.unreachable(&error))?;
        self.health.is_well();
        let absent = || self.refused(Code::UnknownTopicOrPartition);
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic).ok_or_else(absent)?;
        if let Some(error) = topic.error() {
            return Err(self.refused(error.into()));
        }
        let partitions: BTreeSet<_> = topic.partitions().iter().map(|p| partition_number(p.id())).collect();
        if partitions.is_empty() { Err(absent()) } else { Ok(partitions) }
    }

    fn in_process(&self) -> bool {
        let cluster = self.consumer.client().fetch_cluster_id(ANSWER_WITHIN);
        cluster.is_some_and(|id| id.starts_with(IN_PROCESS))
    }

    /// The topic's id; `None` where the broker tells none: too old, or in process.
    pub fn topic_id(&self) -> Result<Option<String>, Trouble> {
        if self.in_process() {
            return Ok(None);
        }
        match raw::topic_id(self.consumer.client(), &self.topic, ANSWER_WITHIN) {
            Err(Code::UnsupportedFeature | Code::UnsupportedVersion) => Ok(None),
            Err(code @ (Code::OperationTimedOut | Code::BrokerTransportFailure | Code::AllBrokersDown)) => {
                Err(self.unreachable(&KafkaError::AdminOp(code)))
            }
            answer => answer.map_err(|code| self.refused(code)),
        }
    }

    /// What the broker says of the topic itself.
    fn refused(&self, code: Code) -> Trouble {
        let topic = &self.topic;
        Trouble::Transient(
            "topic",
            match code {
                Code::UnknownTopicOrPartition | Code::UnknownTopic => format!("topic {topic} does not exist"),
                Code::TopicAuthorizationFailed => {
                    format!("topic {topic}: TOPIC_AUTHORIZATION_FAILED, {RIGHTS}")
                }
                code => format!("topic {topic}: {code}"),
            },
        )
    }

    /// Where the partitions begin or end, as a `read_committed` reader sees it; those that cannot be listed are absent.
    pub fn list(&self, partitions: &BTreeSet<Partition>, which: Offset) -> Result<Offsets, Trouble> {
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

    /// What the reader has found: a topic may be listed to whom it may not be read, and hold what cannot be read.
    pub fn can_read(&self) -> Result<(), Trouble> {
        if self.health.is_refused_to_read() {
            let reason = format!("topic {}: TOPIC_AUTHORIZATION_FAILED at reading, {RIGHTS}", self.topic);
            return Err(Trouble::Transient("rights", reason));
        }
        match self.health.cannot_be_read_on() {
            Some(why) => Err(Trouble::Transient("unread", format!("topic {}: {why}", self.topic))),
            None => Ok(()),
        }
    }

    fn unreachable(&self, error: &KafkaError) -> Trouble {
        // serves the client's events, which tell why
        while self.consumer.poll(Duration::ZERO).is_some() {}
        if let Some(refusal) = self.health.refusal() {
            return Trouble::Refused(format!("Kafka at {} cannot be asked: {refusal}", self.brokers));
        }
        let reason = self.health.take().unwrap_or_else(|| error.to_string());
        Trouble::Transient("broker", format!("Kafka at {} cannot be asked: {reason}", self.brokers))
    }

    /// A compacted topic forgets events that the series are made of (I1).
    /// `first`: says so where it may not see that.
    pub fn refuse_compacted(&self, first: bool) -> Result<(), Trouble> {
        if self.in_process() {
            return Ok(());
        }
        match self.cleanup_policy()? {
            Ok(policy) if policy.contains("compact") => Err(self.compacted(&policy)),
            Ok(_) => Ok(()),
            Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
                if first {
                    tracing::warn!(topic = self.topic, "may not see whether the topic is compacted; it must not be");
                }
                Ok(())
            }
            Err(code) => {
                let unseen = format!("cannot see how {} is configured: {code}", self.topic);
                Err(Trouble::Transient("configuration", unseen))
            }
        }
    }

    /// Asked seldom, by a client of its own: its threads are not for the rest of the process's life.
    fn cleanup_policy(&self) -> Result<Result<String, Code>, Trouble> {
        let quiet = Quiet { health: self.health.clone() };
        let admin: AdminClient<_> = super::client::create(&self.settings, quiet)?;
        let options = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN));
        let topic = [ResourceSpecifier::Topic(&self.topic)];
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|e| Trouble::Definite(SourceError::Fatal(e.to_string())))?;
        let described = runtime.block_on(admin.describe_configs(&topic, &options));
        match described.map(|mut topics| topics.pop()) {
            Ok(Some(Ok(topic))) => {
                Ok(Ok(topic.get("cleanup.policy").and_then(|entry| entry.value.clone()).unwrap_or_default()))
            }
            Ok(Some(Err(code))) | Err(KafkaError::AdminOp(code)) => Ok(Err(code)),
            Ok(None) => Ok(Err(Code::NoEnt)),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    fn compacted(&self, policy: &str) -> Trouble {
        Trouble::Definite(SourceError::Settings(format!(
            "topic {} is compacted (cleanup.policy={policy}): Kafka would drop events that the series are made of. \
             Set its cleanup.policy to delete, or name another topic",
            self.topic
        )))
    }
}
