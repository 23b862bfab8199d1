//! The graph: source, decode, machines, sequencer, collect; one copy a worker (design, section 4).
//!
//! [`start`] runs it on threads of its own. The caller feeds it through a [`Feeder`] and receives one
//! [`EpochOutput`] an epoch, in order, whole: that is what gets committed, then published (I2, I3, I4).
//!
//! ```text
//! feeder ─▶ source ─▶ decode ─┬─ by run ───▶ runs ───────┐
//!              │              ├─ by agent ─▶ agents ─────┼─▶ collect ─▶ EpochOutput
//!              │              ├─ by key ───▶ deliveries ─┤
//!              │              ├─ dead letters ───────────┤
//!              └─ epoch ends ─┴─▶ sequencer ─ ticks, meta┘
//! ```

mod collect;
mod decode;
mod sequence;
mod source;

use crate::{
    driver::drive,
    event::{AgentEvent, DeliveryEvent, Id, RunEvent, Status},
    feed::{Batch, DeadLetter, EpochEnd, Feed},
    machines::{AgentsMachine, DeliveriesMachine, RunsMachine},
    names::{NameId, Names},
    sequencer::Clock,
    series::Deltas,
    settings::Settings,
    time::{Epoch, Millis, StreamTime},
};
use serde::{Deserialize, Serialize};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, SyncSender, TrySendError},
    },
};
use timely::{communication::initialize::WorkerGuards, scheduling::SyncActivator, worker::Worker};

/// Batches that may wait in front of each worker.
const CHANNEL_BATCHES: usize = 8;

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

/// One worker's inlet.
struct Inlet {
    sender: SyncSender<Feed>,
    waker: SyncActivator,
}

impl std::fmt::Debug for Inlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inlet").finish_non_exhaustive()
    }
}

impl Inlet {
    fn wake(&self) -> Result<(), Stopped> {
        self.waker.activate().map_err(|_| Stopped)
    }
}

/// Deals batches out to the workers; blocks while all of them are busy (backpressure). Dropping it ends the graph.
#[derive(Debug)]
pub struct Feeder {
    inlets: Vec<Inlet>,
    next: usize,
}

impl Feeder {
    /// Hands a batch of the open epoch to the next worker that has room.
    pub fn batch(&mut self, batch: Batch) -> Result<(), Stopped> {
        let mut feed = Feed::Batch(batch);
        for _ in 0..self.inlets.len() {
            self.next = (self.next + 1) % self.inlets.len();
            let inlet = &self.inlets[self.next];
            match inlet.sender.try_send(feed) {
                Ok(()) => return inlet.wake(),
                Err(TrySendError::Full(back)) => feed = back,
                Err(TrySendError::Disconnected(_)) => return Err(Stopped),
            }
        }
        let inlet = &self.inlets[self.next];
        inlet.sender.send(feed).map_err(|_| Stopped)?;
        inlet.wake()
    }

    /// Ends the open epoch on every worker.
    ///
    /// # Panics
    /// If the next epoch is not later: the caller counts epochs upwards.
    pub fn end(&mut self, end: EpochEnd) -> Result<(), Stopped> {
        assert!(end.next_epoch > end.epoch, "epochs increase");
        let end = Arc::new(end);
        for inlet in &self.inlets {
            inlet.sender.send(Feed::EpochEnd(Arc::clone(&end))).map_err(|_| Stopped)?;
            inlet.wake()?;
        }
        Ok(())
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        for inlet in self.inlets.drain(..) {
            let Inlet { sender, waker } = inlet;
            drop(sender);
            // a worker that is gone needs no waking
            let _ = waker.activate();
        }
    }
}

/// A running graph.
#[derive(Debug)]
pub struct Running {
    pub feeder: Feeder,
    /// One message an epoch, in order; closed after the last.
    pub outputs: mpsc::Receiver<EpochOutput>,
    pub workers: Workers,
}

/// The worker threads.
pub struct Workers(WorkerGuards<()>);

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Workers").finish_non_exhaustive()
    }
}

impl Workers {
    /// Waits for the end (after the feeder was dropped).
    ///
    /// # Errors
    /// A worker's panic message.
    pub fn join(self) -> Result<(), String> {
        // joining a guard that failed panics in its drop handler; turn that into an error as well
        catch_unwind(AssertUnwindSafe(|| self.0.join().into_iter().collect::<Result<Vec<()>, String>>()))
            .unwrap_or_else(|_| Err("a dataflow worker failed".to_owned()))
            .map(|_| ())
    }
}

/// Starts the workers.
///
/// # Errors
/// A message when the threads cannot be started.
pub fn start(config: Config) -> Result<Running, String> {
    let workers = config.workers.max(1);
    let (output, outputs) = mpsc::channel();
    let (wakers, woken) = mpsc::channel();
    let mut senders = vec![];
    let mut receivers = vec![];
    for _ in 0..workers {
        let (sender, receiver) = mpsc::sync_channel(CHANNEL_BATCHES);
        senders.push(sender);
        receivers.push(Some((receiver, output.clone())));
    }
    drop(output);
    let receivers = Mutex::new(receivers);
    let timely = match workers {
        1 => timely::Config::thread(),
        _ => timely::Config::process(workers),
    };
    let guards = timely::execute(timely, move |worker| {
        let taken = receivers.lock().unwrap_or_else(PoisonError::into_inner)[worker.index()].take();
        if let Some((receiver, output)) = taken {
            let waker = build(worker, &config, receiver, output);
            // the caller has given up if it does not listen any more
            let _ = wakers.send((worker.index(), waker));
        }
    })?;
    let mut wakers: Vec<(usize, SyncActivator)> = woken.iter().take(workers).collect();
    wakers.sort_by_key(|(index, _)| *index);
    let inlets = senders.into_iter().zip(wakers).map(|(sender, (_, waker))| Inlet { sender, waker }).collect();
    Ok(Running { feeder: Feeder { inlets, next: 0 }, outputs, workers: Workers(guards) })
}

/// Builds one worker's part; gives what wakes its source.
fn build(
    worker: &mut Worker,
    config: &Config,
    feeds: mpsc::Receiver<Feed>,
    output: mpsc::Sender<EpochOutput>,
) -> SyncActivator {
    let peers = worker.peers();
    let settings = &config.settings;
    worker.dataflow::<u64, _, _>(|scope| {
        let source = source::source(scope, feeds, config.first_epoch);
        let decoded = decode::decode(source.batches, settings, config.names.clone());
        let (ticks, meta) = sequence::sequence(source.ends, decoded.observed, config.clock, peers);
        let settings = || Arc::clone(&config.settings);
        let runs = RunsMachine::new(settings(), peers);
        let runs = drive("runs", runs, settings(), decoded.runs, ticks.clone(), |e: &RunEvent| route(e.run));
        let agents = AgentsMachine::new(settings(), peers);
        let agents =
            drive("agents", agents, settings(), decoded.agents, ticks.clone(), |e: &AgentEvent| route(e.agent));
        let deliveries = DeliveriesMachine::new(settings(), peers);
        let deliveries =
            drive("deliveries", deliveries, settings(), decoded.deliveries, ticks, |e: &DeliveryEvent| route(e.key));
        collect::collect(vec![runs, agents, deliveries], meta, decoded.dead_letters, output);
        source.waker
    })
}

/// Spreads ids over workers; ids of one half alike must not all go one way.
#[expect(clippy::cast_possible_truncation, reason = "folding 128 bits into 64 is meant")]
const fn route(id: u128) -> u64 {
    let folded = (id as u64) ^ ((id >> 64) as u64).rotate_left(32);
    folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}
