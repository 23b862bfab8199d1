//! Every series of the dataflow: its name, type and labels ([`CATALOGUE`]), and how one epoch moves it ([`Deltas`]).
//!
//! Machines write [`Deltas`], one set a worker and epoch, O(series) large; sets merge in any order. The registry
//! ([`crate::registry`]) adds them up to the [`Snapshot`](crate::registry::Snapshot) that `/metrics` shows.

mod deltas;
mod histogram;

pub use deltas::{Announcement, Deltas, Quality};
pub use histogram::{Exemplar, Histogram};

use crate::{event::Id, words::words};
use serde::{Deserialize, Serialize};

/// Prometheus metric types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesType {
    Counter,
    Gauge,
    Histogram,
}

/// One series family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// As exposed in text format: counters end in `_total`.
    pub name: &'static str,
    pub kind: SeriesType,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! catalogue {
    ($($id:ident: $name:literal $kind:ident [$($label:literal),*] $help:literal;)*) => {
        /// The families, by name: `family::JOBS_RUNNING` and so on.
        pub mod family {
            use super::{Family, SeriesType};
            $(pub const $id: Family = Family { name: $name, kind: SeriesType::$kind, labels: &[$($label),*], help: $help };)*
        }
        /// Every family of the dataflow, in the order of exposition.
        pub const CATALOGUE: &[Family] = &[$(family::$id),*];
    };
}

catalogue! {
    JOBS_SCHEDULED: "gocdnext_jobs_scheduled_total" Counter ["pipeline", "project"]
        "Job attempts dispatched to an agent.";
    JOBS_RUNNING: "gocdnext_jobs_running" Gauge []
        "Job attempts dispatched and not ended.";
    JOB_DURATION: "gocdnext_job_duration_seconds" Histogram ["status"]
        "Time from dispatch to the end of a job attempt.";
    QUEUE_DEPTH: "gocdnext_queue_depth" Gauge ["stage_status"]
        "Runs queued (queued), jobs queued or running (pending), queued jobs an agent could take now (dispatchable).";
    AGENTS_ONLINE: "gocdnext_agents_online" Gauge []
        "Agents with a live session.";
    LOG_ARCHIVE_JOBS: "gocdnext_log_archive_jobs_total" Counter ["result"]
        "Outcomes of the cold archive of job logs.";
    RETENTION_DROPPED: "gocdnext_retention_dropped_log_partitions_total" Counter []
        "Log partitions dropped by retention.";
    WEBHOOK_DELIVERIES: "gocdnext_webhook_deliveries_total" Counter ["provider", "outcome"]
        "Webhook deliveries received.";
    JOB_QUEUE: "gocdnext_job_queue_seconds" Histogram []
        "Time a job attempt waited for an agent, from dispatchable to dispatch.";
    QUEUE_OLDEST: "gocdnext_queue_oldest_dispatchable_seconds" Gauge []
        "Age of the oldest job that an agent could take now; 0 when there is none.";
    RUN_DURATION: "gocdnext_run_duration_seconds" Histogram ["status"]
        "Time from the start to the end of a pipeline run.";
    JOBS_LOST: "gocdnext_jobs_lost_total" Counter []
        "Job attempts given up because no fact about them came within their time to live.";
    PIPELINE_INFO: "gocdnext_flow_pipeline_info" Gauge ["pipeline", "project", "slug"]
        "1 for each named pipeline: its slug, for dashboards.";
    EVENTS: "gocdnext_flow_events_total" Counter ["type"]
        "Events read, by type.";
    DUPLICATES: "gocdnext_flow_duplicates_total" Counter []
        "Events that told nothing new.";
    REJECTED: "gocdnext_flow_rejected_total" Counter ["reason"]
        "Records sent to the dead letters.";
    IGNORED: "gocdnext_flow_ignored_total" Counter []
        "Events of an unknown type, passed over.";
    LATE: "gocdnext_flow_late_total" Counter []
        "Events older than the deduplication window and of unknown origin, not applied.";
    CONFLICTS: "gocdnext_flow_conflicts_total" Counter []
        "Events that contradict what is known.";
    SKEWED: "gocdnext_flow_skewed_total" Counter []
        "Event times clamped, or facts too far out of order to be used in a span.";
    SERIES_OVERFLOW: "gocdnext_flow_series_overflow_total" Counter []
        "Dispatches counted under _other because a bound on series was reached.";
    OVER_LIMIT: "gocdnext_flow_over_limit_total" Counter ["limit"]
        "Times a bound on state was met, by the setting that sets it.";
}

/// A pipeline of a project: the label pair of `gocdnext_jobs_scheduled_total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pair {
    pub project: Id,
    pub pipeline: Id,
}

words! {
    /// The bounds on state whose biting is counted; the label `limit`. The name is the setting's.
    pub enum Limit {
        OpenJobs = "max_open_jobs",
        OpenRuns = "max_open_runs",
        JobsPerRun = "max_jobs_per_run",
        RememberedIds = "max_remembered_ids",
        Agents = "max_agents",
        Names = "max_names",
        PendingArchives = "max_pending_archives",
        NameBytes = "max_name_bytes",
    }
}
