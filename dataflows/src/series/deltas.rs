//! What one epoch moves: machines write it, parts of an epoch merge, the registry adds epochs up.

use super::{Histogram, Limit, Pair};
use crate::{
    event::{ArchiveResult, Kind, Status},
    feed::Reason,
    names::NameId,
    settings::Settings,
    time::Millis,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// A field that is missing here does not compile.
    pub fn merge(&mut self, other: &Self) {
        let Self { events, rejected, ignored, duplicates, late, conflicts, skewed, over_limit } = other;
        add(&mut self.events, events);
        add(&mut self.rejected, rejected);
        add(&mut self.over_limit, over_limit);
        self.ignored += ignored;
        self.duplicates += duplicates;
        self.late += late;
        self.conflicts += conflicts;
        self.skewed += skewed;
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
    /// Of two at one time the event with the larger one stands, whichever was read first.
    pub tie: u64,
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
    pub fn announce(&mut self, pair: Pair, seen: Announcement) {
        self.announced.entry(pair).and_modify(|known| *known = seen.max(*known)).or_insert(seen);
    }

    /// Adds another worker's or machine's part of the same epoch. Commutative and associative.
    pub fn merge(&mut self, other: &Self) {
        let oldest = [self.oldest_dispatchable, other.oldest_dispatchable].into_iter().flatten().min();
        self.add(other, Histogram::merge);
        self.oldest_dispatchable = oldest;
    }

    /// Adds a later epoch to what was added up before it: what is no difference is the later one's.
    pub fn advance(&mut self, later: &Self) {
        self.add(later, Histogram::advance);
        self.oldest_dispatchable = later.oldest_dispatchable;
    }

    /// Adds the differences. A field that is missing here does not compile.
    fn add(&mut self, other: &Self, histogram: fn(&mut Histogram, &Histogram)) {
        let Self {
            jobs_scheduled,
            announced,
            jobs_running,
            runs_queued,
            jobs_pending,
            jobs_dispatchable,
            agents_online,
            job_duration,
            run_duration,
            job_queue,
            jobs_lost,
            archives,
            partitions_dropped,
            webhooks,
            oldest_dispatchable: _,
            quality,
        } = other;
        for (pair, count) in jobs_scheduled {
            *self.jobs_scheduled.entry(*pair).or_default() += count;
        }
        for (pair, seen) in announced {
            self.announce(*pair, *seen);
        }
        self.jobs_running += jobs_running;
        self.runs_queued += runs_queued;
        self.jobs_pending += jobs_pending;
        self.jobs_dispatchable += jobs_dispatchable;
        self.agents_online += agents_online;
        self.job_duration.iter_mut().zip(job_duration).for_each(|(mine, theirs)| histogram(mine, theirs));
        self.run_duration.iter_mut().zip(run_duration).for_each(|(mine, theirs)| histogram(mine, theirs));
        histogram(&mut self.job_queue, job_queue);
        self.jobs_lost += jobs_lost;
        add(&mut self.archives, archives);
        self.partitions_dropped += partitions_dropped;
        self.webhooks.iter_mut().zip(webhooks).for_each(|(mine, theirs)| add(mine, theirs));
        self.quality.merge(quality);
    }
}

fn add(mine: &mut [u64], theirs: &[u64]) {
    mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
}
