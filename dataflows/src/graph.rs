//! The graph: source, decode, machines, sequencer, collect; one copy a worker (design, section 4).
//!
//! [`start`] runs it on threads of its own. The caller feeds it through a [`Feeder`] and receives one
//! [`EpochOutput`] an epoch, in order, whole: that is what gets committed, then published (I2, I3, I4).

use crate::{
    event::{Id, Status},
    feed::{Batch, DeadLetter, EpochEnd},
    names::{NameId, Names},
    sequencer::Clock,
    series::Deltas,
    settings::Settings,
    time::{Epoch, Millis, StreamTime},
};
use std::sync::{Arc, mpsc};

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
}

/// One job attempt that ended (or, at the end of a log, one that is still open: `status` is `None`).
#[derive(Clone, Copy, Debug, PartialEq)]
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
    pub trace: u128,
    /// `None`: still open at the end of the log, or reclaimed.
    pub status: Option<Status>,
    pub exit_code: Option<i32>,
    /// When it became dispatchable, where known.
    pub dispatchable_at: Option<Millis>,
    /// When it was dispatched, where known.
    pub dispatched_at: Option<Millis>,
    pub ended_at: Option<Millis>,
    /// As observed in the histograms.
    pub wait_ms: Option<Millis>,
    pub duration_ms: Option<Millis>,
}

/// How to run the graph.
#[derive(Clone, Debug)]
pub struct Config {
    pub settings: Arc<Settings>,
    /// Threads; at least 1.
    pub workers: usize,
    pub clock: Clock,
    pub names: Names,
    /// The epoch that is open at the start; above 0.
    pub first_epoch: Epoch,
}

/// The workers are gone: one of them failed or all have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dataflow workers have stopped")]
pub struct Stopped;

/// Deals batches out to the workers; blocks while all of them are busy (backpressure). Dropping it ends the graph.
#[derive(Debug)]
pub struct Feeder {
    _private: (),
}

impl Feeder {
    /// Hands a batch of the open epoch to the least busy worker.
    ///
    /// # Errors
    /// [`Stopped`]
    pub fn batch(&mut self, _batch: Batch) -> Result<(), Stopped> {
        unimplemented!()
    }

    /// Ends the open epoch on every worker.
    ///
    /// # Errors
    /// [`Stopped`]
    pub fn end(&mut self, _end: EpochEnd) -> Result<(), Stopped> {
        unimplemented!()
    }
}

/// A running graph.
#[derive(Debug)]
pub struct Running {
    pub feeder: Feeder,
    /// One message an epoch, in order; closed after the last.
    pub outputs: mpsc::Receiver<EpochOutput>,
    /// Ends when all workers have.
    pub workers: Workers,
}

/// The worker threads.
#[derive(Debug)]
pub struct Workers {
    _private: (),
}

impl Workers {
    /// Waits for the end (after the feeder was dropped).
    ///
    /// # Errors
    /// A worker's panic message.
    pub fn join(self) -> Result<(), String> {
        unimplemented!()
    }
}

/// Starts the workers.
///
/// # Errors
/// A message when the threads cannot be started.
pub fn start(_config: Config) -> Result<Running, String> {
    unimplemented!()
}
