//! What the pipeline has published and how it is: written by the wiring, read by the HTTP side. Series are
//! swapped in whole; what has a lock here is small, and held for no longer than a copy takes.

use arc_swap::ArcSwapOption;
use dataflows::{names::Names, registry::Snapshot, time::Millis};
use prometheus::{Histogram, HistogramOpts, Registry, process_collector::ProcessCollector};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Series of a moment at most this far from now count as caught up: older ones tell of then, and
/// where stream time is ahead, timers are.
pub const CAUGHT_UP_MS: Millis = 60_000;

/// A count that is not known.
pub const UNKNOWN: u64 = u64::MAX;

/// Shared by the publisher (one writer) and any number of scrapes.
#[derive(Debug)]
pub struct Published {
    /// The last committed epoch; `None` until the first start has caught up (I2): own health only.
    pub snapshot: ArcSwapOption<Snapshot>,
    pub names: Names,
    pub own: OwnHealth,
    pub checks: Checks,
    /// The series are hidden: another instance may show them (I7).
    pub withdrawn: AtomicBool,
    /// After this they are hidden, too: another instance may have taken over. Not set where none may (`ha`).
    pub ours_until: OnceLock<watch::Receiver<Instant>>,
    /// Another instance holds the lease: only the checks of [`STANDBY_CHECKS`] apply.
    pub standby: AtomicBool,
}

/// Own health, as exposed under `gocdnext_flow_*`. Times are Unix ms; 0 or `i64::MIN`: none yet.
#[derive(Debug)]
pub struct OwnHealth {
    pub committed_epoch: AtomicU64,
    pub committed_at_ms: AtomicI64,
    /// The same, where this process has committed, by a clock that nobody sets.
    committed: Mutex<Option<Instant>>,
    /// What commits wait for, beside the database.
    held_up: Mutex<Option<String>>,
    pub stream_time_ms: AtomicI64,
    pub epochs_in_flight: AtomicU64,
    pub records: AtomicU64,
    pub checkpoint_bytes: AtomicU64,
    /// Decisions that Kafka has not acknowledged; [`UNKNOWN`] also where retention is off.
    pub outbox: AtomicU64,
    /// Records behind the end, by partition.
    pub lag: Mutex<BTreeMap<u32, u64>>,
    /// Takes the duration of each commit, in seconds.
    pub commit_duration: Histogram,
    /// Takes the duration of each scrape, in seconds.
    pub scrape_duration: Histogram,
    /// Both of these, and `process_*`.
    pub registry: Registry,
    /// The pipeline has ended on purpose or by failure.
    pub stopping: AtomicBool,
}

/// The checks behind `/readyz`. `Ok` or the reason why not.
#[derive(Debug)]
pub struct Checks(pub Mutex<BTreeMap<&'static str, Result<(), String>>>);

/// The names of the checks.
pub const CHECKS: [&str; 5] = ["database", "kafka", "catch_up", "commits", LEASE_CHECK];

/// What an instance can be asked that reads and commits nothing yet.
pub const STANDBY_CHECKS: [&str; 2] = ["database", LEASE_CHECK];
pub const LEASE_CHECK: &str = "lease";

impl Published {
    #[must_use]
    pub fn new(names: Names) -> Arc<Self> {
        let waiting = CHECKS.map(|name| (name, Err("not yet".to_owned())));
        Arc::new(Self {
            snapshot: ArcSwapOption::empty(),
            names,
            own: OwnHealth::new(),
            checks: Checks(Mutex::new(BTreeMap::from(waiting))),
            withdrawn: AtomicBool::new(false),
            ours_until: OnceLock::new(),
            standby: AtomicBool::new(false),
        })
    }

    /// What a scrape may show.
    #[must_use]
    pub fn shown(&self) -> Option<Arc<Snapshot>> {
        let lapsed = self.ours_until.get().is_some_and(|until| Instant::now() >= *until.borrow());
        if lapsed || self.withdrawn.load(Ordering::Acquire) { None } else { self.snapshot.load_full() }
    }

    /// Says how a check is.
    pub fn check(&self, name: &'static str, state: Result<(), String>) {
        self.checks.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, state);
    }
}

const COMMIT_BUCKETS_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl OwnHealth {
    fn new() -> Self {
        let registry = Registry::new();
        let histogram = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(COMMIT_BUCKETS_SECONDS.to_vec());
            let made = Histogram::with_opts(options).and_then(|histogram| {
                registry.register(Box::new(histogram.clone()))?;
                Ok(histogram)
            });
            made.unwrap_or_else(|error| unreachable!("{name} is a valid name and registered once: {error}"))
        };
        let commit_duration = histogram("gocdnext_flow_commit_duration_seconds", "Duration of a commit.");
        let scrape_duration = histogram("gocdnext_flow_scrape_duration_seconds", "Duration of a scrape.");
        let process = registry.register(Box::new(ProcessCollector::for_self()));
        process.unwrap_or_else(|error| unreachable!("the process collector is registered once: {error}"));
        Self {
            committed_epoch: AtomicU64::new(0),
            committed_at_ms: AtomicI64::new(0),
            committed: Mutex::default(),
            held_up: Mutex::default(),
            stream_time_ms: AtomicI64::new(i64::MIN),
            epochs_in_flight: AtomicU64::new(0),
            records: AtomicU64::new(0),
            checkpoint_bytes: AtomicU64::new(0),
            outbox: AtomicU64::new(UNKNOWN),
            lag: Mutex::default(),
            commit_duration,
            scrape_duration,
            registry,
            stopping: AtomicBool::new(false),
        }
    }

    /// An epoch is committed; the wall clock reads `now_ms`.
    pub fn commits(&self, now_ms: i64) {
        self.committed_at_ms.store(now_ms, Ordering::Relaxed);
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Says what commits wait for, or that they do not any more.
    pub fn hold_up(&self, why: Option<String>) {
        *self.held_up.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// What commits wait for.
    #[must_use]
    pub fn held_up(&self) -> Option<String> {
        self.held_up.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How old the last commit is; `None`: there is none. A wall clock that is set back must not hide that commits are stuck.
    #[must_use]
    pub fn commit_age(&self, now_ms: i64) -> Option<Duration> {
        if let Some(at) = *self.committed.lock().unwrap_or_else(PoisonError::into_inner) {
            return Some(at.elapsed());
        }
        let at = Some(self.committed_at_ms.load(Ordering::Relaxed)).filter(|at| *at > 0)?;
        Some(Duration::from_millis(u64::try_from(now_ms.saturating_sub(at)).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::{registry::Registry, series::Deltas, settings::Settings, time::Epoch, time::StreamTime};

    #[test]
    fn a_clock_that_is_set_back_or_forth_does_not_change_how_old_a_commit_is() {
        let own = OwnHealth::new();
        assert_eq!(own.commit_age(1_000), None);
        own.commits(5_000_000);
        for now_ms in [1_000, 5_000_000, 9_000_000] {
            assert!(own.commit_age(now_ms).is_some_and(|age| age < Duration::from_secs(1_000)), "{now_ms}");
        }
    }

    #[test]
    fn series_are_hidden_once_another_may_have_taken_over() {
        let published = Published::new(Names::new(1));
        let settings = Settings::default();
        let snapshot = Registry::new(&settings).fold(Epoch(1), StreamTime(1), Deltas::new(&settings));
        published.snapshot.store(Some(Arc::new(snapshot)));
        assert!(published.shown().is_some(), "nobody may take over");
        let (prolong, until) = watch::channel(Instant::now());
        published.ours_until.set(until).unwrap();
        assert!(published.shown().is_none());
        prolong.send_replace(Instant::now() + Duration::from_mins(1));
        assert!(published.shown().is_some());
        published.withdrawn.store(true, Ordering::Release);
        assert!(published.shown().is_none());
    }
}
