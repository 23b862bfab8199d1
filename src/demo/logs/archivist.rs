//! The demo's archivist: acts on `archive_logs`, as a platform does. The fleet itself archives what ended before its eyes; the
//! log of an attempt that was reclaimed, or whose end nobody told, is archived because it is asked for.

use crate::{
    config::Config,
    sources::kafka::{Quiet, client_settings},
};
use anyhow::Context;
use dataflows::{event::Id, retention::partitions::told, time::Millis};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Decisions looked at in one go.
const AT_MOST: usize = 1_000;

/// A decision that asks for an archive.
#[derive(Debug)]
pub struct Asked {
    pub job: Id,
    pub run: Id,
    pub attempt: u32,
    decision: Value,
}

/// See the module.
pub struct Archivist(BaseConsumer<Quiet>);

impl Archivist {
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let mut settings = client_settings(config);
        settings.set("group.id", "gocdnext-flow-demo-archivist");
        let consumer: BaseConsumer<Quiet> =
            settings.create_with_context(Quiet::default()).context("reading the decisions of the demo")?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&config.decision_topic, 0, Offset::Beginning)?;
        consumer.assign(&from)?;
        Ok(Self(consumer))
    }

    /// What was asked for since.
    pub fn asked(&self) -> Vec<Asked> {
        let records = std::iter::from_fn(|| self.0.poll(Duration::ZERO)).take(AT_MOST);
        // troubles of the broker end the demo elsewhere
        records.filter_map(|record| Asked::of(record.ok()?.payload()?)).collect()
    }
}

impl Asked {
    fn of(decision: &[u8]) -> Option<Self> {
        let decision: Value = serde_json::from_slice(decision).ok()?;
        if decision["type"] != "io.gocdnext.retention.archive_logs" {
            return None;
        }
        let asked = &decision["data"];
        let id = |name: &str| Uuid::try_parse(asked[name].as_str()?).ok().map(|id| id.as_u128());
        let attempt = u32::try_from(asked["attempt"].as_u64()?).ok()?;
        Some(Self { job: id("job_id")?, run: id("run_id")?, attempt, decision })
    }

    /// The event that answers it. It bears the decision's id, so that the same one answers it again.
    pub fn answer(&self, now: Millis) -> String {
        let asked = &self.decision["data"];
        // a platform knows the pipeline; no series asks for it here
        let data = json!({
            "project_id": asked["project_id"], "pipeline_id": asked["project_id"], "pipeline": "asked-for",
            "run_id": asked["run_id"], "job_id": asked["job_id"], "attempt": self.attempt, "result": "success",
        });
        let event = json!({
            "specversion": "1.0", "id": self.decision["id"], "source": "/gocdnext-flow/demo/archivist",
            "type": "io.gocdnext.log.archived", "time": told(now), "datacontenttype": "application/json", "data": data,
        });
        event.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/examples/decisions");

    #[test]
    fn what_is_asked_for_is_answered_and_nothing_else() {
        let read = |name| std::fs::read(format!("{EXAMPLES}/{name}.json")).unwrap();
        let asked = read("archive_logs");
        let event: Value = serde_json::from_str(&Asked::of(&asked).unwrap().answer(1_767_225_600_000)).unwrap();
        let asked: Value = serde_json::from_slice(&asked).unwrap();
        assert_eq!(event["id"], asked["id"]);
        for name in ["project_id", "run_id", "job_id", "attempt"] {
            assert_eq!(event["data"][name], asked["data"][name], "{name}");
        }
        for other in ["blocked", "drop_partition", "ensure_partition"] {
            assert!(Asked::of(&read(other)).is_none(), "{other}");
        }
        assert!(Asked::of(b"no JSON").is_none());
    }
}
