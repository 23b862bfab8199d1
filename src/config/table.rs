//! The one table of all settings: name, kind, where it is held, who uses it, help.
//!
//! Flags, variables, TOML keys, `config show`, `--help` and docs/configuration.md all come from [`SETTINGS`]; the
//! defaults come from [`Config::default`]. A new field of `Config` or of the dataflow's `Settings` gets a row here
//! (tests hold the two against each other).

use super::{
    Config,
    kind::Kind,
    value::{Held, Value},
};
use dataflows::time::Millis;
use std::{collections::BTreeMap, sync::LazyLock};

/// The verbs that use a setting, as a set of bits.
pub mod verbs {
    pub const RUN: u16 = 1;
    pub const DEMO: u16 = 2;
    pub const REPLAY: u16 = 4;
    pub const GENERATE: u16 = 8;
    pub const CHECK: u16 = 16;
    /// Every verb of `state`; those that only look need no more.
    pub const STATE: u16 = 32;
    pub const IMPORT: u16 = 64;
    pub const RESET: u16 = 128;
    pub const REBUCKET: u16 = 256;
    /// Of `retention`, but for its policies.
    pub const RETENTION: u16 = 512;
    /// `config show` takes every setting.
    pub const ALL: u16 = u16::MAX;
    /// Those that serve `/metrics`.
    pub const LIVE: u16 = RUN | DEMO;
    /// Those that run the dataflow.
    pub const FLOW: u16 = RUN | DEMO | REPLAY;
    /// Those of `state` that take the lease.
    pub const UPKEEP: u16 = IMPORT | RESET | REBUCKET;

    const NAMES: [(u16, &str); 10] = [
        (RUN, "run"),
        (DEMO, "demo"),
        (REPLAY, "replay"),
        (GENERATE, "generate"),
        (CHECK, "check"),
        (STATE, "state"),
        (IMPORT, "state import"),
        (RESET, "state reset"),
        (REBUCKET, "state rebucket"),
        (RETENTION, "retention"),
    ];

    /// `run, demo`
    #[must_use]
    pub fn names(verbs: u16) -> String {
        let names: Vec<_> = NAMES.iter().filter(|(bit, _)| verbs & bit != 0).map(|(_, name)| *name).collect();
        names.join(", ")
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The TOML key; the flag is `--` with `-` for `_`, the variable `GOCDNEXT_FLOW_` with capitals.
    pub name: &'static str,
    pub group: &'static str,
    pub kind: Kind,
    pub verbs: u16,
    pub help: &'static str,
    pub get: fn(&Config) -> Value,
    /// `false` where the value does not fit the field.
    pub set: fn(&mut Config, &Value) -> bool,
}

impl Setting {
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// The flag without its dashes in front.
    #[must_use]
    pub fn flag(&self) -> &'static str {
        static FLAGS: LazyLock<BTreeMap<&str, String>> =
            LazyLock::new(|| SETTINGS.iter().map(|setting| (setting.name, setting.name.replace('_', "-"))).collect());
        FLAGS.get(self.name).map_or("", String::as_str)
    }

    #[must_use]
    pub fn variable(&self) -> String {
        format!("{}{}", super::environment::PREFIX, self.name.to_ascii_uppercase())
    }
}

const DAY: Millis = 86_400_000;
const SECOND: Millis = 1_000;
/// A hundred years: far from where sums of times could overflow.
const LONGEST: Millis = 36_500 * DAY;
const MANY: u64 = 1_000_000_000;

const fn duration(min: Millis) -> Kind {
    Kind::Duration { min, max: LONGEST }
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

macro_rules! settings {
    ($($group:literal { $($name:ident = $($field:ident).+, $kind:expr, $verbs:expr, $help:literal;)* })*) => {
        /// Every setting, in the order they are shown.
        pub const SETTINGS: &[Setting] = &[$($(Setting {
            name: stringify!($name),
            group: $group,
            kind: $kind,
            verbs: $verbs,
            help: $help,
            get: |config| config.$($field).+.value(),
            set: |config, value| Held::held(value).map(|held| config.$($field).+ = held).is_some(),
        },)*)*];
    };
}

use verbs::{CHECK, FLOW, GENERATE, LIVE, REBUCKET, REPLAY, RESET, RETENTION, RUN, STATE, UPKEEP};

settings! {
    "Kafka" {
        brokers = brokers, Kind::Brokers, RUN | GENERATE | RESET, "Kafka bootstrap servers";
        topic = topic, Kind::Topic, LIVE | GENERATE | RESET, "Topic of the events";
        dead_letter_topic = dead_letter_topic, Kind::Topic, LIVE, "Topic for records that cannot be read, with their origin and the reason";
        group_id = group_id, Kind::Text, RUN, "Consumer group to which offsets are committed, for lag tools only";
        kafka_queue_bytes = kafka_queue_bytes, Kind::Size { min: 1 << 20, max: 2 << 30 }, LIVE, "Memory that librdkafka may fill with records read ahead, at most one for each 2 KiB; an epoch that has read so much ends early";
    }
    "Pipeline" {
        workers = workers, count(1, 256), FLOW, "Dataflow threads";
        instance_id = instance_id, Kind::Text, RUN | UPKEEP, "Name of this instance, unlike any other's; by default the host name";
        clock = clock, Kind::Choice(&["wall", "log"]), RUN, "What drives timers once everything is read: the wall clock, or the log's own times (backfills)";
        epoch_interval = epoch_interval, Kind::Duration { min: 10, max: 3_600 * SECOND }, LIVE, "Length of an epoch: how often results are committed and published";
        epoch_records = epoch_records, count(1, MANY), REPLAY, "Length of an epoch in a replay, in records: at least so many, to the end of a chunk of the file (256 KiB), unless they are over 256 MiB";
        max_epochs_in_flight = max_epochs_in_flight, count(1, 1_000), FLOW, "Epochs that may be read ahead of the last committed one; then the source waits";
        catch_up_timeout = catch_up_timeout, duration(0), LIVE, "/readyz stops waiting for the catch-up at the start after this";
        max_commit_age = max_commit_age, duration(SECOND), LIVE, "/readyz fails when the last commit is older than this";
    }
    "State" {
        state = state, Kind::State, LIVE | STATE | RETENTION, "Where the durable state is: a file, or a database of PostgreSQL's; by default the demo's goes with it";
        ha = ha, Kind::Flag, RUN, "Whether another instance may stand by: /readyz lets a standby pass, and the series are withdrawn while the lease cannot be renewed for lease_ttl";
        lease_ttl = lease_ttl, Kind::Duration { min: 3 * SECOND, max: 3_600 * SECOND }, RUN | UPKEEP, "A standby takes over when the holder has given no sign of life for this long, or, without ha, for 3s where both have the same instance_id; the verbs of state wait for all of it; the same for all instances";
    }
    "Retention" {
        log_database = log_database, Kind::OptionalState, RUN | RETENTION, "Where gocdnext keeps the lines of job logs; with it retention is on: decisions are made, and published";
        retention_execute = retention_execute, Kind::Flag, RUN, "Whether decisions about partitions of the log database are carried out: made, and dropped";
        retention_interval = retention_interval, Kind::Duration { min: SECOND, max: 24 * 3_600 * SECOND }, RUN, "How often partitions that are old enough are read, to see what keeps them, and what is decided about partitions is carried out";
        max_drops = max_drops, count(1, 1_000), RUN | RETENTION, "Partitions dropped in one run";
        decision_topic = decision_topic, Kind::Topic, RUN, "Topic of the decisions";
        archive_grace = dataflow.retention.archive_grace_ms, duration(0), LIVE, "A log's archive is asked for so long after its job's end";
        archive_backoff = dataflow.retention.archive_backoff_ms, duration(SECOND), LIVE, "After a failure an archive is asked for again so much later; twice as much after each further one";
        archive_backoff_max = dataflow.retention.archive_backoff_max_ms, duration(SECOND), LIVE, "The longest pause after a failed archive";
        archive_silence = dataflow.retention.archive_silence_ms, duration(SECOND), LIVE, "An archive that nothing is heard of is asked for again after this";
        archive_tries = dataflow.retention.archive_tries, count(1, 1_000), LIVE, "So often is a log's archive asked for; then it is given up, and its partition stays";
        months_ahead = dataflow.retention.months_ahead, count(0, 120), LIVE | RETENTION, "Log partitions are made so many months ahead of the current one";
    }
    "Rules" {
        late_grace = dataflow.late_grace_ms, duration(0), FLOW, "How much later than its time an event may be read and still count as punctual";
        dedup_window = dataflow.dedup_window_ms, duration(0), FLOW, "How long ended attempts, runs and delivery ids are remembered, so that a redelivery moves nothing";
        max_skew = dataflow.max_skew_ms, duration(0), LIVE, "How far an event's time may lie ahead of its record's timestamp before it is clamped";
        job_ttl = dataflow.job_ttl_ms, duration(SECOND), FLOW, "A dispatched job without a sign of life for this long is lost";
        queue_ttl = dataflow.queue_ttl_ms, duration(SECOND), FLOW, "A queued job or run without a sign of life for this long is lost";
        agent_ttl = dataflow.agent_ttl_ms, duration(SECOND), FLOW, "An agent stays online this long after its last sign of life";
    }
    "Series" {
        duration_buckets = dataflow.duration_buckets_ms, Kind::Durations, FLOW | REBUCKET, "Bucket bounds of gocdnext_job_duration_seconds and gocdnext_run_duration_seconds";
        queue_buckets = dataflow.queue_buckets_ms, Kind::Durations, FLOW | REBUCKET, "Bucket bounds of gocdnext_job_queue_seconds";
        webhook_providers = dataflow.webhook_providers, Kind::Names, FLOW, "Values of the label provider; anything else is `other`";
        webhook_outcomes = dataflow.webhook_outcomes, Kind::Names, FLOW, "Values of the label outcome; anything else is `other`";
        max_projects = dataflow.limits.max_projects, count(1, MANY), FLOW, "Projects with series of their own; the rest go to `_other`";
        max_pipelines = dataflow.limits.max_pipelines, count(1, MANY), FLOW, "Pipelines with series of their own, in all; the rest go to `_other`";
        max_pipelines_per_project = dataflow.limits.max_pipelines_per_project, count(1, MANY), FLOW, "Pipelines of one project with series of their own; the rest go to its `_other`";
    }
    "Limits" {
        max_open_jobs = dataflow.limits.max_open_jobs, count(1, MANY), FLOW, "Job attempts tracked at once";
        max_open_runs = dataflow.limits.max_open_runs, count(1, MANY), FLOW, "Runs tracked at once";
        max_jobs_per_run = dataflow.limits.max_jobs_per_run, count(1, MANY), FLOW, "Job attempts of one run";
        max_remembered_ids = dataflow.limits.max_remembered_ids, count(1, 10 * MANY), FLOW, "Ended attempts and runs remembered for `dedup_window`; as many ids of deliveries besides";
        max_pending_archives = dataflow.limits.max_pending_archives, count(1, MANY), LIVE, "Logs tracked at once that wait for their archive";
        max_agents = dataflow.limits.max_agents, count(1, MANY), FLOW, "Agents tracked at once";
        max_names = dataflow.limits.max_names, count(1, MANY), FLOW, "Distinct names of pipelines and jobs kept";
        max_name_bytes = dataflow.limits.max_name_bytes, Kind::Size { min: 8, max: 64 << 10 }, FLOW, "Of a longer name the beginning is kept";
        max_event_bytes = dataflow.limits.max_event_bytes, Kind::Size { min: 1 << 10, max: 256 << 20 }, FLOW | CHECK, "A larger event is rejected";
        max_event_depth = dataflow.limits.max_event_depth, count(4, 100), FLOW | CHECK, "An event nested deeper is rejected";
    }
    "HTTP" {
        listen = listen, Kind::Address, LIVE, "Where /metrics, /healthz, /readyz and /api are served";
        http_max_connections = http_max_connections, count(1, 65_536), LIVE, "Connections served at once; more wait in line";
        http_max_request_bytes = http_max_request_bytes, Kind::Size { min: 1 << 10, max: 16 << 20 }, LIVE, "A larger request body is refused";
        http_timeout = http_timeout, Kind::Duration { min: 100, max: 3_600 * SECOND }, LIVE, "A request that takes longer is ended";
        force_text_format = force_text_format, Kind::Flag, LIVE, "Serve the text format even to a client that asks for OpenMetrics";
    }
    "Logs" {
        log_level = log_level, Kind::LogFilter, FLOW, "What is logged: a level, or target=level for parts of it";
        log_burst = log_burst, count(1, 1_000_000), FLOW, "Lines of one kind of warning or error written in a minute; the rest are counted";
        job_results = dataflow.job_results, Kind::Flag, LIVE, "Log a line `agent job result` for each finished job";
    }
}

#[cfg(test)]
mod tests {
    use super::{super::value::Raw, *};
    use dataflows::settings::{Limits, Retention, Settings};

    /// Takes a struct apart: a field that is missing does not compile. Counts those that need a row.
    macro_rules! rows {
        ($value:expr => $struct:ident { $($field:ident),* $(,)? } $(but $($other:ident),+)?) => {{
            let $struct { $($field: _,)* $($($other: _),+)? } = $value;
            [$(stringify!($field)),*].len()
        }};
    }

    /// Whoever adds a field here adds a row to [`SETTINGS`], too.
    #[test]
    fn every_field_has_a_row() {
        let config = &Config::default();
        // of `kafka` the names are librdkafka's own
        let of_config = rows!(config => Config { brokers, topic, dead_letter_topic, group_id, kafka_queue_bytes, listen, instance_id, state, ha, lease_ttl, log_database, retention_execute, retention_interval, max_drops, decision_topic, workers, clock, epoch_interval, epoch_records, max_epochs_in_flight, catch_up_timeout, max_commit_age, http_max_connections, http_max_request_bytes, http_timeout, force_text_format, log_level, log_burst } but kafka, dataflow);
        let of_settings = rows!(&config.dataflow => Settings { late_grace_ms, dedup_window_ms, max_skew_ms, job_ttl_ms, queue_ttl_ms, agent_ttl_ms, duration_buckets_ms, queue_buckets_ms, webhook_providers, webhook_outcomes, job_results } but retention, limits);
        // retention is on where there is a log database
        let of_retention = rows!(&config.dataflow.retention => Retention { archive_grace_ms, archive_backoff_ms, archive_backoff_max_ms, archive_silence_ms, archive_tries, months_ahead } but on);
        let of_limits = rows!(&config.dataflow.limits => Limits { max_open_jobs, max_open_runs, max_jobs_per_run, max_remembered_ids, max_pending_archives, max_agents, max_names, max_name_bytes, max_event_bytes, max_event_depth, max_projects, max_pipelines, max_pipelines_per_project });
        assert_eq!(SETTINGS.len(), of_config + of_settings + of_retention + of_limits);
    }

    /// A valid value that is not the default.
    fn another(kind: Kind, default: &Value) -> Value {
        let texts = ["another", "another:1", "127.0.0.1:1", "sqlite:another", "warn", "true", "false", "wall", "log"];
        match (kind, default) {
            (Kind::Count { min, max } | Kind::Size { min, max }, Value::Number(n)) => {
                Value::Number(if *n == max { min } else { max })
            }
            (Kind::Duration { min, max }, Value::Duration(ms)) => Value::Duration(if *ms == max { min } else { max }),
            (Kind::Durations, _) => Value::Durations(vec![1]),
            (Kind::Names, _) => Value::Names(vec!["another".to_owned()]),
            _ => {
                let values = texts.iter().filter_map(|text| kind.read(&Raw::Text((*text).to_owned())).ok());
                values.into_iter().find(|value| value != default).unwrap()
            }
        }
    }

    #[test]
    fn each_row_sets_the_field_it_reads_and_no_other() {
        let default = Config::default();
        for setting in SETTINGS {
            let (was, mut config) = ((setting.get)(&default), default.clone());
            let value = another(setting.kind, &was);
            assert!((setting.set)(&mut config, &value), "{}", setting.name);
            assert_eq!((setting.get)(&config), value, "{}", setting.name);
            let changed = SETTINGS.iter().filter(|other| (other.get)(&config) != (other.get)(&default));
            assert_eq!(changed.map(|other| other.name).collect::<Vec<_>>(), [setting.name]);
        }
    }

    #[test]
    fn each_row_takes_its_own_default() {
        for setting in SETTINGS.iter().filter(|setting| setting.name != "instance_id") {
            let default = (setting.get)(&Config::default());
            let shown = Raw::Text(setting.kind.show(&default));
            assert_eq!(setting.kind.read(&shown), Ok(default), "{}", setting.name);
        }
    }

    #[test]
    fn names_are_unique_and_help_is_no_sentence() {
        for (at, setting) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[..at].iter().all(|other| other.name != setting.name), "{}", setting.name);
            assert!(!setting.help.ends_with('.'), "{}", setting.name);
        }
    }
}
