//! What the rules may be told: durations, bounds and the closed label lists. The service's configuration fills it.

use crate::time::{Millis, SKEW_TOLERANCE_MS};

/// Settings of the dataflow; the names are those of the configuration, units last.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How much later than its time an event may be read and still count as punctual (I1).
    pub late_grace_ms: Millis,
    /// How long ended attempts, runs and delivery ids are remembered, so that a redelivery moves nothing.
    pub dedup_window_ms: Millis,
    /// How far an event's time may lie ahead of its record's timestamp before it is clamped.
    pub max_skew_ms: Millis,
    /// After this long without a fact a dispatched job is lost.
    pub job_ttl_ms: Millis,
    /// After this long without a fact a queued job or run is lost.
    pub queue_ttl_ms: Millis,
    /// How long an agent stays online after its last sign of life.
    pub agent_ttl_ms: Millis,
    /// Upper bounds of `gocdnext_job_duration_seconds` and `gocdnext_run_duration_seconds`, ascending.
    pub duration_buckets_ms: Vec<Millis>,
    /// Upper bounds of `gocdnext_job_queue_seconds`, ascending.
    pub queue_buckets_ms: Vec<Millis>,
    /// The label values of `provider`, without `other`.
    pub webhook_providers: Vec<String>,
    /// The label values of `outcome`, without `other`.
    pub webhook_outcomes: Vec<String>,
    /// Make an [`crate::graph::JobResult`] for each ended job.
    pub job_results: bool,
    pub retention: Retention,
    pub limits: Limits,
}

/// What retention goes by, beside its policies (`crate::retention`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Off: nothing is noted, decided or kept, and nothing of it costs anything.
    pub on: bool,
    /// An attempt's archive is asked for so long after its end: until then its platform may archive it unasked.
    pub archive_grace_ms: Millis,
    /// After a failure it is asked for again so much later; twice as much after each further one,
    pub archive_backoff_ms: Millis,
    /// up to this.
    pub archive_backoff_max_ms: Millis,
    /// Asked for without an answer, it is asked for again after this.
    pub archive_silence_ms: Millis,
    /// So often is an archive asked for; then it is for people to look at.
    pub archive_tries: usize,
    /// Partitions are made so many months ahead of the current one.
    pub months_ahead: usize,
}

/// Every bound of the dataflow (I6). Bounds on state hold for the process and are divided among its workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_open_jobs: usize,
    pub max_open_runs: usize,
    pub max_jobs_per_run: usize,
    pub max_remembered_ids: usize,
    pub max_pending_archives: usize,
    pub max_agents: usize,
    pub max_names: usize,
    pub max_name_bytes: usize,
    pub max_event_bytes: usize,
    pub max_event_depth: usize,
    pub max_projects: usize,
    pub max_pipelines: usize,
    pub max_pipelines_per_project: usize,
}

const SECOND: Millis = 1_000;
const HOUR: Millis = 3_600 * SECOND;

impl Settings {
    /// Strictly so long after an end everything that may still change what follows from it was read: what comes behind is late.
    #[must_use]
    pub const fn settling_ms(&self) -> Millis {
        SKEW_TOLERANCE_MS + self.late_grace_ms
    }

    /// So long what is over is remembered: facts that lie up to `dedup_window` apart are read up to `late_grace` after their time.
    #[must_use]
    pub const fn memory_ms(&self) -> Millis {
        self.dedup_window_ms.saturating_add(self.late_grace_ms)
    }
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = |list: &[Millis]| list.iter().map(|s| s * SECOND).collect::<Vec<_>>();
        let mut queue_buckets_ms = vec![SECOND, 2_500];
        queue_buckets_ms.extend(seconds(&[5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 43_200]));
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Self {
            late_grace_ms: 60 * SECOND,
            dedup_window_ms: 72 * HOUR,
            max_skew_ms: 300 * SECOND,
            job_ttl_ms: 24 * HOUR,
            queue_ttl_ms: 14 * 24 * HOUR,
            agent_ttl_ms: 90 * SECOND,
            duration_buckets_ms: seconds(&[
                1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400,
            ]),
            queue_buckets_ms,
            webhook_providers: strings(&["github", "gitlab", "bitbucket", "gitea"]),
            webhook_outcomes: strings(&["accepted", "ignored", "rejected", "error"]),
            job_results: true,
            retention: Retention::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            on: false,
            archive_grace_ms: 300 * SECOND,
            archive_backoff_ms: 300 * SECOND,
            archive_backoff_max_ms: 6 * HOUR,
            archive_silence_ms: 24 * HOUR,
            archive_tries: 10,
            months_ahead: 3,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_open_jobs: 10_000_000,
            max_open_runs: 5_000_000,
            max_jobs_per_run: 10_000,
            max_remembered_ids: 100_000_000,
            max_pending_archives: 1_000_000,
            max_agents: 100_000,
            max_names: 1_000_000,
            max_name_bytes: 256,
            max_event_bytes: 1 << 20,
            max_event_depth: 64,
            max_projects: 10_000,
            max_pipelines: 100_000,
            max_pipelines_per_project: 1_000,
        }
    }
}
