//! What the pipeline has published and how it is: written by the wiring, read by the HTTP side, locked by neither.

use arc_swap::ArcSwapOption;
use dataflows::{names::Names, registry::Snapshot};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64},
    },
};

/// Shared by the publisher (one writer) and any number of scrapes.
#[derive(Debug)]
pub struct Published {
    /// The last committed epoch; `None` until the first start has caught up (I2): own health only.
    pub snapshot: ArcSwapOption<Snapshot>,
    pub names: Names,
    pub own: OwnHealth,
    pub checks: Checks,
}

/// Own health, as exposed under `gocdnext_flow_*`. Times are Unix ms; 0 or `i64::MIN`: none yet.
#[derive(Debug, Default)]
pub struct OwnHealth {
    pub committed_epoch: AtomicU64,
    pub committed_at_ms: AtomicI64,
    pub stream_time_ms: AtomicI64,
    pub epochs_in_flight: AtomicU64,
    pub records: AtomicU64,
    pub checkpoint_bytes: AtomicU64,
    /// Records behind the end, by partition.
    pub lag: Mutex<BTreeMap<u32, u64>>,
    /// Commit durations since the last scrape drained them into the histogram, in seconds.
    pub commit_seconds: Mutex<Vec<f64>>,
    /// The pipeline has ended on purpose or by failure.
    pub stopping: AtomicBool,
}

/// The checks behind `/readyz`. `Ok` or the reason why not.
#[derive(Debug)]
pub struct Checks(pub Mutex<BTreeMap<&'static str, Result<(), String>>>);

/// The names of the checks, in the order shown. `database` and `lease` join with the durable state.
pub const CHECKS: [&str; 3] = ["kafka", "catch_up", "commits"];

impl Published {
    #[must_use]
    pub fn new(names: Names) -> Arc<Self> {
        let waiting = CHECKS.map(|name| (name, Err("not yet".to_owned())));
        Arc::new(Self {
            snapshot: ArcSwapOption::empty(),
            names,
            own: OwnHealth { stream_time_ms: AtomicI64::new(i64::MIN), ..OwnHealth::default() },
            checks: Checks(Mutex::new(BTreeMap::from(waiting))),
        })
    }
}
