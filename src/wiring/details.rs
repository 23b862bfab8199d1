//! What the manifest says beside epoch and stream time, as JSON: where the source goes on, and what the series look like.

use super::{RunError, sweeping::LogSize};
use crate::{sources::files::Marks, store::Manifest};
use dataflows::{
    feed::PartitionProgress,
    retention::Figures,
    sequencer::Maxima,
    settings::Settings,
    time::{Millis, NextOffset, StreamTime},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The store's lane of registry and names, beside the workers'.
pub const LEDGER_LANE: u32 = 65_535;

/// See the module. Fields only ever join, with defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The topic, or nothing for a replay.
    pub topic: String,
    /// What tells it from a later one of the same name, where the broker says.
    #[serde(default)]
    pub topic_id: Option<String>,
    /// Next offsets by partition.
    pub offsets: BTreeMap<u32, i64>,
    /// In a replay, how far each file was read, by partition.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub files: Marks,
    /// The largest time seen in each partition.
    pub maxima: BTreeMap<u32, Millis>,
    /// The end offsets of the very first start (I2).
    pub first_ends: Option<BTreeMap<u32, i64>>,
    /// These have been reached: the series may be shown.
    pub shown: bool,
    /// Unset where nothing is counted yet.
    pub shape: Shape,
    #[serde(default)]
    pub log: LogSize,
    /// From this stream time on our knowledge of jobs is whole; `None` while retention is off, and after a reset.
    #[serde(default)]
    pub complete_from: Option<Millis>,
    /// All that Kafka had was read.
    #[serde(default)]
    pub caught_up: bool,
    /// What is shown of retention.
    #[serde(default)]
    pub retention: Figures,
    /// The ledger's blobs of earlier epochs are of another shape, and in no use any more.
    #[serde(default)]
    pub ledger_from: u64,
}

/// The settings that the stored series have the form of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub duration_buckets_ms: Vec<Millis>,
    pub queue_buckets_ms: Vec<Millis>,
    pub webhook_providers: Vec<String>,
    pub webhook_outcomes: Vec<String>,
}

impl Shape {
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            duration_buckets_ms: settings.duration_buckets_ms.clone(),
            queue_buckets_ms: settings.queue_buckets_ms.clone(),
            webhook_providers: settings.webhook_providers.clone(),
            webhook_outcomes: settings.webhook_outcomes.clone(),
        }
    }

    /// False: nothing is stored yet that has a form.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        !self.duration_buckets_ms.is_empty()
    }

    /// Settings of this form, whatever else they are. A field that is missing here does not compile.
    #[must_use]
    pub fn settings(self) -> Settings {
        let Self { duration_buckets_ms, queue_buckets_ms, webhook_providers, webhook_outcomes } = self;
        let rest = Settings::default();
        Settings { duration_buckets_ms, queue_buckets_ms, webhook_providers, webhook_outcomes, ..rest }
    }

    /// The first setting in which they differ. A field that is missing here does not compile.
    fn differs(&self, other: &Self) -> Option<&'static str> {
        let Self { duration_buckets_ms, queue_buckets_ms, webhook_providers, webhook_outcomes } = self;
        [
            ("duration_buckets", *duration_buckets_ms != other.duration_buckets_ms),
            ("queue_buckets", *queue_buckets_ms != other.queue_buckets_ms),
            ("webhook_providers", *webhook_providers != other.webhook_providers),
            ("webhook_outcomes", *webhook_outcomes != other.webhook_outcomes),
        ]
        .into_iter()
        .find_map(|(name, differs)| differs.then_some(name))
    }
}

impl Details {
    /// Those of a manifest, as they are; of one without an epoch, the default ones.
    pub fn of(manifest: &Manifest) -> Result<Self, serde_json::Error> {
        if manifest.epoch == 0 { Ok(Self::default()) } else { serde_json::from_str(&manifest.details) }
    }

    /// Those of a manifest, if they fit the topic and the settings; of one without an epoch, fresh ones.
    pub fn read(manifest: &Manifest, topic: &str, settings: &Settings) -> Result<Self, RunError> {
        let shape = Shape::of(settings);
        if manifest.epoch == 0 {
            return Ok(Self { topic: topic.to_owned(), shape, ..Self::default() });
        }
        let refused = |why: String| Err(RunError::Refused(anyhow::anyhow!(why)));
        let mut details = match Self::of(manifest) {
            Ok(details) => details,
            Err(error) => return refused(format!("the state's manifest cannot be read: {error}")),
        };
        if !details.shape.is_set() {
            // counting begins with the next epoch
            details.shape = shape.clone();
        }
        if let Some(setting) = shape.differs(&details.shape) {
            return refused(format!(
                "the stored series have other {setting} than the settings: set {setting} as it was, or {}",
                remedy(setting)
            ));
        }
        if details.topic != topic {
            let (stored, set) = (named(&details.topic), named(topic));
            let remedy = if topic.is_empty() {
                "give another `state`"
            } else {
                "set it back, give another `state`, or forget what was counted: `gocdnext-flow state reset --to \
                 earliest|latest` begins with this topic"
            };
            return refused(format!("the state is of {stored}, not of {set}: {remedy}"));
        }
        Ok(details)
    }

    /// What a source resumes at.
    #[must_use]
    pub fn offsets(&self) -> BTreeMap<u32, NextOffset> {
        self.offsets.iter().map(|(partition, next)| (*partition, NextOffset(*next))).collect()
    }

    #[must_use]
    pub fn maxima(&self) -> Maxima {
        Maxima(self.maxima.clone())
    }

    pub fn progress(&mut self, partitions: &[PartitionProgress], maxima: &Maxima) {
        self.offsets.extend(partitions.iter().map(|p| (p.partition, p.next_offset.0)));
        self.maxima.clone_from(&maxima.0);
    }

    /// # Panics
    /// Never: its maps have numbers as keys.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| unreachable!("details are plain: {error}"))
    }
}

/// The command that makes the stored series have the form of the settings.
fn remedy(setting: &str) -> &'static str {
    match setting {
        "duration_buckets" => "let `gocdnext-flow state rebucket gocdnext_job_duration_seconds` carry them over",
        "queue_buckets" => "let `gocdnext-flow state rebucket gocdnext_job_queue_seconds` carry them over",
        _ => "forget what was counted: `gocdnext-flow state reset --to earliest|latest`",
    }
}

fn named(topic: &str) -> String {
    if topic.is_empty() { "a replay".to_owned() } else { format!("topic {topic}") }
}

/// The stream time of a manifest.
#[must_use]
pub fn stream_time(manifest: &Manifest) -> StreamTime {
    manifest.stream_time_ms.map_or(StreamTime::UNKNOWN, StreamTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_named() {
        let settings = Settings::default();
        let details = Details { topic: "events".into(), shape: Shape::of(&settings), ..Details::default() };
        let manifest = Manifest { epoch: 1, details: details.to_json(), ..Manifest::default() };
        assert_eq!(Details::read(&manifest, "events", &settings).unwrap(), details);
        let told =
            |topic: &str, settings: &Settings| Details::read(&manifest, topic, settings).unwrap_err().to_string();
        assert!(told("others", &settings).starts_with("the state is of topic events, not of topic others"));
        assert!(told("others", &settings).contains("`gocdnext-flow state reset --to earliest|latest`"));
        let other = Settings { queue_buckets_ms: vec![1], ..Settings::default() };
        assert!(told("events", &other).contains("other queue_buckets than"));
        assert!(told("events", &other).contains("`gocdnext-flow state rebucket gocdnext_job_queue_seconds`"));
        let other = Settings { webhook_outcomes: vec![], ..Settings::default() };
        assert!(told("events", &other).contains("webhook_outcomes as it was, or forget what was counted"));
    }

    #[test]
    fn where_nothing_is_counted_yet_any_form_will_do() {
        let details = Details { topic: "events".into(), ..Details::default() };
        let manifest = Manifest { epoch: 9, details: details.to_json(), ..Manifest::default() };
        let settings = Settings { queue_buckets_ms: vec![1], ..Settings::default() };
        let read = Details::read(&manifest, "events", &settings).unwrap();
        assert_eq!(read.shape, Shape::of(&settings));
    }
}
