//! Tells Kafka of dropped partitions, each until it is acknowledged: a thread of its own, so that a topic that takes
//! nothing holds up neither the making nor the dropping of partitions.

use crate::{
    config::Config,
    logs::{Drop, LogDatabase, LogsError, LogsUrl},
    sinks::{
        courier::{Courier, Record},
        dead_letters::SinkError,
        decisions::SOURCE,
    },
    sources::stop::Stop,
};
use dataflows::retention::partitions::told;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;
use uuid::Uuid;

/// How often the log database is asked for drops of which nobody was told: others carry out what is decided, too.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Drops told at a time.
const BATCH: u32 = 100;

/// See the module.
#[derive(Debug)]
pub struct Drops {
    logs: LogDatabase,
    runtime: Handle,
    courier: Courier,
    stop: Arc<Stop>,
}

impl Drops {
    /// Shows whether librdkafka takes the settings.
    pub fn new(config: &Config, url: &LogsUrl, runtime: Handle, stop: Arc<Stop>) -> Result<Self, SinkError> {
        let courier = Courier::new(config, &config.topic, "dropped partitions", Arc::clone(&stop))?.uncut();
        Ok(Self { logs: LogDatabase::look(url), runtime, courier, stop })
    }

    /// Works until stopped.
    ///
    /// # Errors
    /// [`SinkError`] where no producer can be made.
    pub fn run(mut self) -> Result<(), SinkError> {
        while !self.stop.is_stopped() {
            match self.tell() {
                Err(Trouble::Sink(_)) if self.stop.is_stopped() => return Ok(()),
                Err(Trouble::Sink(error)) => return Err(error),
                // the executor, which asks the same database, says so
                Err(Trouble::Logs(error)) => tracing::debug!(%error, "dropped partitions cannot be read now"),
                Ok(()) => {}
            }
            self.stop.pause(LOOK_EVERY);
        }
        Ok(())
    }

    /// All that are not acknowledged; those of `retention run`, too.
    fn tell(&mut self) -> Result<(), Trouble> {
        let runtime = self.runtime.clone();
        loop {
            let drops = runtime.block_on(self.logs.unacknowledged(BATCH))?;
            if drops.is_empty() {
                return Ok(());
            }
            // one that only looks may not write down that it has told
            let writer = runtime.block_on(LogDatabase::open(self.logs.url()))?;
            let topic = self.courier.topic().to_owned();
            let events: Vec<String> = drops.iter().map(event).collect();
            self.courier.deliver(drops.len(), |place, _| {
                Record::with_opaque_to(&topic, place)
                    .key(drops[place].name.as_bytes())
                    .payload(events[place].as_bytes())
            })?;
            for drop in &drops {
                runtime.block_on(writer.acknowledge(&drop.name))?;
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Logs(#[from] LogsError),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// What makes the event's id of the decision's.
const DROPPED: &[u8] = b"partition_dropped";

/// The event of the contract, with an id that follows from the drop alone: sent twice it counts once. It is not the
/// decision's, which has the same source and is another event.
fn event(drop: &Drop) -> String {
    let event = json!({
        "specversion": "1.0",
        "id": Uuid::new_v5(&Uuid::from_u128(drop.decision), DROPPED).to_string(),
        "source": SOURCE,
        "type": "io.gocdnext.log.partition_dropped",
        "time": told(drop.dropped_at),
        "datacontenttype": "application/json",
        "data": { "partition": drop.name, "upper_bound": told(drop.upper) },
    });
    event.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{retention::executor::drop_id, sinks::decisions};
    use dataflows::retention::{Decision, Kind, Subject, month::Month};
    use serde_json::Value;

    #[test]
    fn a_drop_has_an_id_of_its_own_that_follows_from_it_and_never_changes() {
        let event = |name: &str| {
            let partition = Month::from_name(name).unwrap().partition();
            let (lower, upper, decision) = (partition.lower, partition.upper, drop_id(name));
            let drop = Drop { name: name.to_owned(), lower, upper, rows: 1, dropped_at: 5, decision };
            serde_json::from_str::<Value>(&event(&drop)).unwrap()
        };
        let dropped = event("log_lines_y2026m01");
        let subject = Subject::Partition("log_lines_y2026m01".to_owned());
        let decided = decisions::event(&Decision::new(Kind::DropPartition, subject, 5, String::new(), []));
        assert_eq!(dropped["source"], decided["source"]);
        assert_ne!(dropped["id"], decided["id"], "two events");
        assert_eq!(dropped["id"], "3f6fc7ce-2d1a-5b90-8eea-3fdc3a62677b");
        assert_ne!(dropped["id"], event("log_lines_y2026m02")["id"]);
    }
}
