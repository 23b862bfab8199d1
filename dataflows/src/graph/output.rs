//! What one epoch gives, whole: to be committed, then published (I2, I3, I4).

use crate::{
    event::{Id, Status},
    feed::{DeadLetter, EpochEnd},
    names::NameId,
    retention::RetentionOutput,
    route::Share,
    sequencer::Maxima,
    series::Deltas,
    state::{self, Section, Sweep},
    time::{Millis, StreamTime},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything one epoch gives.
#[derive(Debug)]
pub struct EpochOutput {
    pub end: Arc<EpochEnd>,
    pub stream_time: StreamTime,
    pub deltas: Deltas,
    /// Ended jobs, for the log and for a replay's summary.
    pub results: Vec<JobResult>,
    pub dead_letters: Vec<DeadLetter>,
    /// Records read, whatever became of them.
    pub records: u64,
    /// Keys whose state changed.
    pub touched: u64,
    /// What is to be stored of each worker's state; empty unless [`Config::sweep`](super::Config::sweep) is set.
    pub state: Vec<Lane>,
    /// The largest time seen in each partition so far.
    pub maxima: Maxima,
    /// How far the sweep went with this epoch.
    pub sweep: Sweep,
    /// What it gives for retention.
    pub retention: RetentionOutput,
}

/// One worker's blob of one epoch ([`crate::state`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    pub worker: usize,
    pub bytes: Vec<u8>,
    /// Of these the sweep has written about so many.
    pub swept: usize,
    /// What the sweep passed over takes about so many.
    pub spared: usize,
}

impl Lane {
    pub(crate) fn of(writer: Share, sections: Vec<Section>) -> Self {
        let swept = sections.iter().map(|section| section.swept).sum();
        let spared = sections.iter().map(|section| section.spared).sum();
        Self { worker: writer.worker, bytes: state::blob(writer, sections), swept, spared }
    }
}

/// One job attempt that ended (or, at the end of a log, one that is still open).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    pub run: Id,
    pub job: Id,
    pub attempt: u32,
    pub project: Id,
    pub pipeline: Id,
    pub slug: NameId,
    pub name: NameId,
    /// 0: none known.
    pub agent: Id,
    /// The run's trace id: of its `traceparent`, or else its own id.
    pub trace: u128,
    /// `None`: reclaimed, or still open at the end of the log.
    pub status: Option<Status>,
    pub exit_code: Option<i32>,
    /// When it became dispatchable, where known.
    pub dispatchable_at: Option<Millis>,
    /// When it was dispatched, where known.
    pub dispatched_at: Option<Millis>,
    /// `None`: still open at the end of the log.
    pub ended_at: Option<Millis>,
    pub wait_ms: Option<Millis>,
    /// As observed in the histogram.
    pub duration_ms: Option<Millis>,
}
