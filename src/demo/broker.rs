//! The embedded broker: librdkafka's own, in memory. It forgets the oldest records beyond 5 MiB a partition, which a
//! pipeline that follows the end does not meet.

use anyhow::Context;
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
use std::fmt;

/// Partitions of the topic of events: more than one, for the order across partitions is what a consumer cannot trust.
const PARTITIONS: i32 = 4;

/// A running broker; it ends when dropped.
pub struct Broker(MockCluster<'static, DefaultProducerContext>);

impl Broker {
    pub fn start(topic: &str, others: [&str; 2]) -> anyhow::Result<Self> {
        let cluster = MockCluster::new(1).context("starting the embedded broker")?;
        for (topic, partitions) in [(topic, PARTITIONS), (others[0], 1), (others[1], 1)] {
            let made = cluster.create_topic(topic, partitions, 1);
            made.with_context(|| format!("making the topic {topic} on the embedded broker"))?;
        }
        Ok(Self(cluster))
    }

    /// Where other programs find it too, as long as the demo runs.
    pub fn address(&self) -> String {
        self.0.bootstrap_servers()
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Broker").field(&self.address()).finish()
    }
}
