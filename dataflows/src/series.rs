//! Every series of the dataflow: its name, type and rule ([`CATALOGUE`]), and how one epoch moves it ([`Deltas`]).
//!
//! Machines write [`Deltas`], one set a worker and epoch, O(series) large; sets merge in any order. The registry
//! ([`crate::registry`]) adds them up to the [`Snapshot`](crate::registry::Snapshot) that `/metrics` shows.

use crate::{
    event::{ArchiveResult, Id, Kind, Status},
    feed::Reason,
    names::NameId,
    settings::Settings,
    time::Millis,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// The bounds on state whose biting is counted; the label `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Limit {
    OpenJobs,
    OpenRuns,
    JobsPerRun,
    RememberedIds,
    Agents,
    Names,
    PendingArchives,
    NameBytes,
}

impl Limit {
    pub const ALL: [Self; 8] = [
        Self::OpenJobs,
        Self::OpenRuns,
        Self::JobsPerRun,
        Self::RememberedIds,
        Self::Agents,
        Self::Names,
        Self::PendingArchives,
        Self::NameBytes,
    ];

    /// The setting's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenJobs => "max_open_jobs",
            Self::OpenRuns => "max_open_runs",
            Self::JobsPerRun => "max_jobs_per_run",
            Self::RememberedIds => "max_remembered_ids",
            Self::Agents => "max_agents",
            Self::Names => "max_names",
            Self::PendingArchives => "max_pending_archives",
            Self::NameBytes => "max_name_bytes",
        }
    }
}

/// A trace to look at behind a histogram bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Exemplar {
    pub value_ms: Millis,
    pub trace: u128,
}

/// A histogram, or what an epoch adds to one. Buckets are not cumulative; the last is `+Inf`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    pub buckets: Vec<u64>,
    /// Stops at the largest number: spans from the year 1, where a sender's time is unset, add up fast, and it may not go back.
    pub sum_ms: i64,
    /// Of each bucket the longest span of the newest epoch that had one.
    pub exemplars: Vec<Option<Exemplar>>,
}

impl Histogram {
    /// An empty histogram with these upper bounds.
    #[must_use]
    pub fn new(bounds: &[Millis]) -> Self {
        let len = bounds.len() + 1;
        Self { buckets: vec![0; len], sum_ms: 0, exemplars: vec![None; len] }
    }

    /// Adds one span. `trace` 0: no exemplar.
    pub fn observe(&mut self, bounds: &[Millis], value_ms: Millis, trace: u128) {
        let bucket = bounds.partition_point(|bound| *bound < value_ms);
        self.buckets[bucket] += 1;
        self.sum_ms = self.sum_ms.saturating_add(value_ms);
        let exemplar = (trace != 0).then_some(Exemplar { value_ms, trace });
        self.exemplars[bucket] = self.exemplars[bucket].max(exemplar);
    }

    /// Adds another part of the same epoch.
    pub fn merge(&mut self, other: &Self) {
        self.add(other);
        for (mine, theirs) in self.exemplars.iter_mut().zip(&other.exemplars) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// Adds a later epoch: its exemplars replace the older ones.
    pub fn advance(&mut self, later: &Self) {
        self.add(later);
        for (mine, theirs) in self.exemplars.iter_mut().zip(&later.exemplars) {
            *mine = theirs.or(*mine);
        }
    }

    /// Number of spans.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }
}

/// Event quality: these count records, so duplicates and order move them (I1 leaves them out).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    /// By [`Kind`], in the order of [`Kind::ALL`].
    pub events: [u64; Kind::ALL.len()],
    /// By [`Reason`], in the order of [`Reason::ALL`].
    pub rejected: [u64; Reason::ALL.len()],
    pub ignored: u64,
    pub duplicates: u64,
    pub late: u64,
    pub conflicts: u64,
    pub skewed: u64,
    /// By [`Limit`], in the order of [`Limit::ALL`].
    pub over_limit: [u64; Limit::ALL.len()],
}

impl Quality {
    pub fn merge(&mut self, other: &Self) {
        let add = |mine: &mut [u64], theirs: &[u64]| mine.iter_mut().zip(theirs).for_each(|(m, t)| *m += t);
        add(&mut self.events, &other.events);
        add(&mut self.rejected, &other.rejected);
        add(&mut self.over_limit, &other.over_limit);
        self.ignored += other.ignored;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.conflicts += other.conflicts;
        self.skewed += other.skewed;
    }

    /// What has come since `before`, an earlier state of the same counts.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        fn less<const N: usize>(now: [u64; N], before: [u64; N]) -> [u64; N] {
            std::array::from_fn(|index| now[index].saturating_sub(before[index]))
        }
        Self {
            events: less(self.events, before.events),
            rejected: less(self.rejected, before.rejected),
            over_limit: less(self.over_limit, before.over_limit),
            ignored: self.ignored.saturating_sub(before.ignored),
            duplicates: self.duplicates.saturating_sub(before.duplicates),
            late: self.late.saturating_sub(before.late),
            conflicts: self.conflicts.saturating_sub(before.conflicts),
            skewed: self.skewed.saturating_sub(before.skewed),
        }
    }

    /// Counts one bite of a bound.
    pub fn over(&mut self, limit: Limit) {
        self.over_limit[limit as usize] += 1;
    }
}

/// A pipeline met in an epoch by a `run.queued` or `job.queued`: it appears at 0, with its newest slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Announcement {
    pub time: Millis,
    pub slug: NameId,
}

/// What one epoch adds to every series. Gauges travel as differences, so that parts add up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deltas {
    pub jobs_scheduled: BTreeMap<Pair, u64>,
    pub announced: BTreeMap<Pair, Announcement>,
    pub jobs_running: i64,
    pub runs_queued: i64,
    pub jobs_pending: i64,
    pub jobs_dispatchable: i64,
    pub agents_online: i64,
    /// By [`Status`].
    pub job_duration: Vec<Histogram>,
    /// By [`Status`].
    pub run_duration: Vec<Histogram>,
    pub job_queue: Histogram,
    pub jobs_lost: u64,
    /// By [`ArchiveResult`].
    pub archives: [u64; ArchiveResult::ALL.len()],
    pub partitions_dropped: u64,
    /// `[provider][outcome]`, each list ending with `other`.
    pub webhooks: Vec<Vec<u64>>,
    /// Since when the oldest job an agent could take has waited, on this worker. Not a difference: the smallest
    /// of all workers holds for the epoch.
    pub oldest_dispatchable: Option<Millis>,
    pub quality: Quality,
}

impl Deltas {
    /// Nothing moved.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let durations = || vec![Histogram::new(&settings.duration_buckets_ms); Status::ALL.len()];
        let outcomes = vec![0; settings.webhook_outcomes.len() + 1];
        Self {
            jobs_scheduled: BTreeMap::new(),
            announced: BTreeMap::new(),
            jobs_running: 0,
            runs_queued: 0,
            jobs_pending: 0,
            jobs_dispatchable: 0,
            agents_online: 0,
            job_duration: durations(),
            run_duration: durations(),
            job_queue: Histogram::new(&settings.queue_buckets_ms),
            jobs_lost: 0,
            archives: [0; ArchiveResult::ALL.len()],
            partitions_dropped: 0,
            webhooks: vec![outcomes; settings.webhook_providers.len() + 1],
            oldest_dispatchable: None,
            quality: Quality::default(),
        }
    }

    /// Notes that a pipeline exists; of several slugs the newest stands.
    pub fn announce(&mut self, pair: Pair, time: Millis, slug: NameId) {
        let seen = Announcement { time, slug };
        self.announced.entry(pair).and_modify(|known| *known = seen.max(*known)).or_insert(seen);
    }

    /// Adds another worker's or machine's part of the same epoch. Commutative and associative.
    pub fn merge(&mut self, other: &Self) {
        for (pair, count) in &other.jobs_scheduled {
            *self.jobs_scheduled.entry(*pair).or_default() += count;
        }
        for (pair, seen) in &other.announced {
            self.announce(*pair, seen.time, seen.slug);
        }
        self.jobs_running += other.jobs_running;
        self.runs_queued += other.runs_queued;
        self.jobs_pending += other.jobs_pending;
        self.jobs_dispatchable += other.jobs_dispatchable;
        self.agents_online += other.agents_online;
        let histograms = |mine: &mut [Histogram], theirs: &[Histogram]| {
            mine.iter_mut().zip(theirs).for_each(|(m, t)| m.merge(t));
        };
        histograms(&mut self.job_duration, &other.job_duration);
        histograms(&mut self.run_duration, &other.run_duration);
        self.job_queue.merge(&other.job_queue);
        self.jobs_lost += other.jobs_lost;
        self.partitions_dropped += other.partitions_dropped;
        for (mine, theirs) in self.archives.iter_mut().zip(&other.archives) {
            *mine += theirs;
        }
        for (mine, theirs) in self.webhooks.iter_mut().flatten().zip(other.webhooks.iter().flatten()) {
            *mine += theirs;
        }
        self.oldest_dispatchable = match (self.oldest_dispatchable, other.oldest_dispatchable) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.quality.merge(&other.quality);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The zero of Go's `time.Time`, as it comes from a sender that never set it.
    const YEAR_1_MS: Millis = -62_135_596_800_000;

    #[test]
    fn a_sum_never_goes_back_whatever_times_senders_give() {
        let bounds = [1_000];
        let span = 1_790_000_000_000 - YEAR_1_MS;
        let mut epoch = Histogram::new(&bounds);
        for _ in 0..1_000 {
            epoch.observe(&bounds, span, 0);
        }
        let (mut total, mut before) = (Histogram::new(&bounds), 0);
        for _ in 0..200 {
            total.advance(&epoch);
            assert!(total.sum_ms >= before, "{} after {before}", total.sum_ms);
            before = total.sum_ms;
        }
        assert_eq!((total.count(), total.sum_ms), (200_000, i64::MAX));
    }
}
