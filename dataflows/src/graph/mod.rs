//! The graph: source, decode, machines, sequencer, collect; one copy a worker.
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
mod feeder;
mod output;
mod restore;
mod sequence;
mod source;

use crate::{
    driver::drive,
    event::{AgentEvent, DeliveryEvent, RunEvent},
    feed::Feed,
    names::Names,
    route::Share,
    sequencer::{Clock, Maxima, Sequencer},
    settings::Settings,
    state::{Pace, Unusable},
    time::{Epoch, StreamTime},
};
use feeder::Inlet;
use restore::WAITING_BLOBS;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, SyncSender},
    },
};
use timely::{communication::initialize::WorkerGuards, scheduling::SyncActivator, worker::Worker};

pub use feeder::{Feeder, Stopped};
pub use output::{EpochOutput, JobResult, Lane};
pub(crate) use restore::Machines;
pub use restore::{Restore, SourceError};

/// Batches that may wait in front of each worker.
const CHANNEL_BATCHES: usize = 8;

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
    // why the blobs ended comes first: to the workers their end looks like damage
    if let Err(error) = dealt.and(loads) {
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
    Ok(Running { feeder: Feeder::new(inlets, spent), outputs, workers: guards })
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
