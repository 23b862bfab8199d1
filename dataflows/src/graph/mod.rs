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
mod restore;
mod sequence;
mod source;

use crate::{
    driver::drive,
    event::{AgentEvent, DeliveryEvent, Id, RunEvent, Status},
    feed::{Batch, DeadLetter, EpochEnd, Feed},
    names::{NameId, Names},
    retention::RetentionOutput,
    route::Share,
    sequencer::{Clock, Maxima, Sequencer},
    series::Deltas,
    settings::Settings,
    state::{self, Pace, Section, Sweep, Unusable},
    time::{Epoch, Millis, StreamTime},
};
use restore::WAITING_BLOBS;
use serde::{Deserialize, Serialize};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, SyncSender, TrySendError},
    },
};
use timely::{communication::initialize::WorkerGuards, scheduling::SyncActivator, worker::Worker};

pub(crate) use restore::Machines;
pub use restore::{Restore, SourceError};

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
    /// What is to be stored of each worker's state; empty unless [`Config::sweep`] is set.
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
    /// How fast all state is stored anew; `None`: nothing is to be stored.
    pub sweep: Option<Pace>,
}

/// Why the graph did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the workers cannot be started: {0}")]
    Threads(String),
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// Stored state could not be read where it lies.
    #[error(transparent)]
    Source(SourceError),
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
    /// Arenas that were decoded, empty.
    spent: mpsc::Receiver<Vec<u8>>,
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

    /// An arena to fill: one that was decoded, where there is one, since memory that is new to the process is slow.
    #[must_use]
    pub fn arena(&self) -> Vec<u8> {
        self.spent.try_recv().unwrap_or_default()
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

/// Starts the workers with nothing known.
///
/// # Errors
/// [`StartError::Threads`]
pub fn start(config: Config) -> Result<Running, StartError> {
    let nothing =
        Restore { stream_time: StreamTime::UNKNOWN, maxima: Maxima::default(), blobs: Box::new(std::iter::empty()) };
    resume(config, nothing)
}

/// What one worker is started with.
struct Outfit {
    feeds: mpsc::Receiver<Feed>,
    spent: SyncSender<Vec<u8>>,
    blobs: mpsc::Receiver<Arc<Vec<u8>>>,
    output: mpsc::Sender<EpochOutput>,
    /// Gone without a word: another worker cannot use its state, nothing is to be built.
    go: mpsc::Receiver<()>,
    loaded: mpsc::Sender<Result<(), Unusable>>,
    waker: mpsc::Sender<(usize, SyncActivator)>,
}

/// Starts the workers with what a former run has stored, however many workers that had. Returns when all is taken in.
///
/// # Errors
/// [`StartError`]
pub fn resume(config: Config, restore: Restore) -> Result<Running, StartError> {
    let workers = config.workers.max(1);
    let (output, outputs) = mpsc::channel();
    let (loaded, loads) = mpsc::channel();
    let (waker, wakers) = mpsc::channel();
    // more than that are not on their way
    let (give_back, spent) = mpsc::sync_channel(workers * CHANNEL_BATCHES);
    let (mut senders, mut dealers, mut starters, mut outfits) = (vec![], vec![], vec![], vec![]);
    for _ in 0..workers {
        let (sender, feeds) = mpsc::sync_channel(CHANNEL_BATCHES);
        let (dealer, blobs) = mpsc::sync_channel(WAITING_BLOBS);
        let (starter, go) = mpsc::channel();
        senders.push(sender);
        dealers.push(dealer);
        starters.push(starter);
        let (spent, output, loaded, waker) = (give_back.clone(), output.clone(), loaded.clone(), waker.clone());
        outfits.push(Some(Outfit { feeds, spent, blobs, output, go, loaded, waker }));
    }
    drop((give_back, output, loaded, waker));
    let outfits = Mutex::new(outfits);
    let timely = match workers {
        1 => timely::Config::thread(),
        _ => timely::Config::process(workers),
    };
    let (now, maxima) = (restore.stream_time, restore.maxima.clone());
    let guards = timely::execute(timely, move |worker| {
        let outfit = outfits.lock().unwrap_or_else(PoisonError::into_inner)[worker.index()].take();
        if let Some(outfit) = outfit {
            work(worker, &config, outfit, now, &maxima);
        }
    });
    let guards = Workers(guards.map_err(StartError::Threads)?);
    let dealt = restore::deal(restore, &dealers);
    drop(dealers);
    let loads = loads.iter().collect::<Result<(), Unusable>>().map_err(StartError::from);
    if let Err(error) = loads.and(dealt) {
        // before the guards, which wait for the workers
        drop(starters);
        return Err(error);
    }
    for starter in &starters {
        // a worker that is gone is missed below
        let _ = starter.send(());
    }
    let mut wakers: Vec<(usize, SyncActivator)> = wakers.iter().take(workers).collect();
    wakers.sort_by_key(|(index, _)| *index);
    let inlets = senders.into_iter().zip(wakers).map(|(sender, (_, waker))| Inlet { sender, waker }).collect();
    Ok(Running { feeder: Feeder { inlets, next: 0, spent }, outputs, workers: guards })
}

/// One worker's beginning: takes in its state, and once all have done so builds its part of the graph.
fn work(worker: &mut Worker, config: &Config, outfit: Outfit, now: StreamTime, maxima: &Maxima) {
    let Outfit { feeds, spent, blobs, output, go, loaded, waker } = outfit;
    let share = Share { worker: worker.index(), peers: worker.peers() };
    let mut machines = Machines::new(&config.settings, share.peers);
    let load = machines.load(&blobs, now, share);
    drop(blobs);
    // the caller has given up if it does not listen any more
    let _ = loaded.send(load);
    drop(loaded);
    if go.recv().is_ok() {
        let sequencer = Sequencer::resumed(config.clock, maxima.clone(), now);
        let wakes = build(worker, config, machines, sequencer, (feeds, spent), output);
        let _ = waker.send((share.worker, wakes));
    }
}

/// Builds one worker's part; gives what wakes its source.
fn build(
    worker: &mut Worker,
    config: &Config,
    mut machines: Machines,
    sequencer: Sequencer,
    (feeds, spent): (mpsc::Receiver<Feed>, SyncSender<Vec<u8>>),
    output: mpsc::Sender<EpochOutput>,
) -> SyncActivator {
    if config.sweep.is_some() {
        machines.record();
    }
    let pace = config.sweep.clone().unwrap_or_default();
    let settings = || Arc::clone(&config.settings);
    worker.dataflow::<u64, _, _>(|scope| {
        let source = source::source(scope, feeds, config.first_epoch);
        let decoded = decode::decode(source.batches, &config.settings, config.names.clone(), spent);
        let (ticks, meta) = sequence::sequence(source.ends, decoded.observed, sequencer, pace);
        let Machines { jobs, agents, deliveries } = machines;
        let jobs = drive(jobs, settings(), decoded.runs, ticks.clone(), |e: &RunEvent| e.run);
        let agents = drive(agents, settings(), decoded.agents, ticks.clone(), |e: &AgentEvent| e.agent);
        let deliveries = drive(deliveries, settings(), decoded.deliveries, ticks, |e: &DeliveryEvent| e.key);
        collect::collect(vec![jobs, agents, deliveries], meta, decoded.dead_letters, output);
        source.waker
    })
}
