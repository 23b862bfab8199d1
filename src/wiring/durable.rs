//! From a URL to state that may be written and gone on from: open, lease, manifest, blobs.

use super::{
    RunError,
    committer::Writer,
    details::{Details, LEDGER_LANE, stream_time},
    pause,
};
use crate::{
    config::Config,
    lease::{self, Claimant, Held, Waiting},
    published::Published,
    sources::stop::Stop,
    store::{Manifest, StateUrl, Store, StoreError},
};
use dataflows::{
    graph::{Restore, Running, StartError},
    ledger::Ledger,
    names::Names,
    settings::Settings,
    state::{Pace, Unusable},
    time::Epoch,
};
use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::runtime::Handle;

const RETRY_EVERY: Duration = Duration::from_secs(1);

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Self::Fenced,
            StoreError::Damaged(_) | StoreError::Newer { .. } => Self::Refused(error.into()),
            StoreError::Absent { .. } => Self::Settings(error.into()),
            StoreError::Transient { .. } | StoreError::Definite { .. } => Self::Runtime(error.into()),
        }
    }
}

/// State that this process may write.
#[derive(Debug)]
pub struct Durable {
    pub writer: Writer,
    pub manifest: Manifest,
    pub details: Details,
    /// Ends the reading of the state, too.
    pub stop: Arc<Stop>,
    published: Arc<Published>,
}

impl Durable {
    /// Opens the state and waits for the lease, without which nothing may be written; what is transient is waited out, and said in `published`.
    pub async fn acquire(
        url: &StateUrl,
        config: &Config,
        topic: &str,
        published: &Arc<Published>,
    ) -> Result<(Held, Self), RunError> {
        let stop = Arc::<Stop>::default();
        let store = retried(published, &stop, async || Store::open(url).await).await?;
        let store = Arc::new(pause::probed(store));
        let who = Claimant::of(config);
        let ha = config.ha;
        let mut unanswered = false;
        let granted = lease::acquire(&store, &who, |waiting| match waiting {
            Waiting::Standby { holder } => {
                published.check("database", Ok(()));
                let told = format!("standby: {holder} holds the lease");
                published.check("lease", if ha { Ok(()) } else { Err(told) });
                // last: who reads that it stands by reads how it does
                if !published.standby.swap(true, Ordering::AcqRel) {
                    tracing::info!(holder, "stands by: another instance writes this state");
                }
            }
            Waiting::Unanswered(reason) => {
                published.check("database", Err(reason.clone()));
                if !std::mem::replace(&mut unanswered, true) {
                    tracing::warn!(
                        reason,
                        "the state's database does not answer while its lease is waited for; keeps trying"
                    );
                }
            }
        });
        let granted = granted.await?;
        let generation = granted.generation;
        published.standby.store(false, Ordering::Release);
        published.check("lease", Ok(()));
        let held = Held::keep(Arc::clone(&store), granted, config.lease_ttl);
        if ha {
            // a process takes the lease once
            let _ = published.ours_until.set(held.ours_until());
        }
        let fits = async {
            let manifest = retried(published, &stop, async || store.manifest().await).await?;
            if manifest.generation != generation {
                return Err(RunError::Fenced);
            }
            let details = Details::read(&manifest, topic, &config.dataflow)?;
            Ok((manifest, details))
        };
        let (manifest, details) = match fits.await {
            Ok(fits) => fits,
            Err(error) => {
                // so that the command that a refusal names need not wait for it; where that fails it runs out by itself
                let _ = held.release().await;
                return Err(error);
            }
        };
        let writer = Writer { store, runtime: Handle::current(), generation };
        Ok((held, Self { writer, manifest, details, stop, published: Arc::clone(published) }))
    }

    /// Starts the graph and the ledger where the state ends. Blocks; not for an async thread.
    pub fn resume(
        &self,
        config: dataflows::graph::Config,
        settings: &Settings,
    ) -> Result<(Running, Ledger), RunError> {
        let ledger = Arc::new(Mutex::new(Ledger::new(settings, config.names.clone())));
        let now = stream_time(&self.manifest);
        let blobs = WorkersBlobs::new(self, Arc::clone(&ledger));
        let restore = Restore { stream_time: now, maxima: self.details.maxima(), blobs: Box::new(blobs) };
        let running = dataflows::graph::resume(config, restore)?;
        self.confirm()?;
        let ledger = Arc::into_inner(ledger).ok_or_else(|| anyhow::anyhow!("the state is still being read"))?;
        let mut ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        if self.manifest.epoch > 0 {
            ledger.loaded(Epoch(self.manifest.epoch), now);
        }
        Ok((running, ledger))
    }

    /// Nobody has taken over, and collected some of it, while the state was read: only now may it be shown.
    fn confirm(&self) -> Result<(), StoreError> {
        let Writer { store, runtime, generation } = &self.writer;
        runtime.block_on(self.patiently(async || store.renew(*generation).await))
    }

    /// Asks the database for something until it answers, or the start is broken off.
    pub(super) async fn patiently<T>(
        &self,
        work: impl AsyncFnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        retried(&self.published, &self.stop, work).await
    }
}

/// The table of names and the pace that a graph over durable state is started with.
#[must_use]
pub fn graph_config(
    settings: &Arc<Settings>,
    workers: usize,
    clock: dataflows::sequencer::Clock,
    names: &Names,
    first_epoch: Epoch,
    pace: &Pace,
) -> dataflows::graph::Config {
    let (settings, names, sweep) = (Arc::clone(settings), names.clone(), Some(pace.clone()));
    dataflows::graph::Config { settings, workers, clock, names, first_epoch, sweep }
}

impl From<StartError> for RunError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Threads(_) => Self::Runtime(error.into()),
            StartError::Unusable(_) => Self::Refused(error.into()),
            StartError::Source(source) => match source.downcast::<StoreError>() {
                Ok(error) => (*error).into(),
                Err(other) => match other.downcast::<Unusable>() {
                    Ok(error) => Self::Refused(StartError::from(*error).into()),
                    Err(other) => Self::Refused(anyhow::anyhow!("{other}")),
                },
            },
        }
    }
}

/// Until it is not a transient error any more, or the start is broken off. What it waits for is said once, and all the
/// while in `published`.
async fn retried<T>(
    published: &Published,
    stop: &Stop,
    mut work: impl AsyncFnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut said = false;
    while !stop.is_stopped() {
        match work().await {
            Err(StoreError::Transient { reason }) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(reason, "the state's database does not answer; keeps trying");
                }
                published.check("database", Err(reason));
                tokio::time::sleep(RETRY_EVERY).await;
            }
            Ok(done) => {
                published.check("database", Ok(()));
                return Ok(done);
            }
            refused => return refused,
        }
    }
    Err(StoreError::Definite { reason: "the start was broken off".to_owned() })
}

/// The workers' blobs; the ledger's are taken out on the way.
struct WorkersBlobs {
    writer: Writer,
    stop: Arc<Stop>,
    published: Arc<Published>,
    /// From which epoch on the rest is asked for, and up to which.
    from: u64,
    to: u64,
    waiting: std::collections::VecDeque<crate::store::Blob>,
    ledger: Arc<Mutex<Ledger>>,
    /// See [`Details::ledger_from`].
    ledger_from: u64,
    done: bool,
}

/// Blobs are read in pieces of this many bytes or so.
const PIECE_BYTES: usize = 32 << 20;

impl WorkersBlobs {
    fn new(durable: &Durable, ledger: Arc<Mutex<Ledger>>) -> Self {
        let Durable { writer, manifest, details, stop, published } = durable;
        let (from, to, ledger_from) = (manifest.horizon, manifest.epoch, details.ledger_from);
        let waiting = std::collections::VecDeque::new();
        let (writer, stop, published) = (writer.clone(), Arc::clone(stop), Arc::clone(published));
        Self { writer, stop, published, from, to, waiting, ledger, ledger_from, done: to == 0 }
    }

    /// Whole epochs, so that the next piece begins with the next one.
    fn read_piece(&mut self) -> Result<(), StoreError> {
        let Self { writer, stop, published, from, to, waiting, done, .. } = self;
        writer.runtime.block_on(async {
            let mut blobs = writer.store.blobs(*from, *to);
            let mut bytes = 0;
            while let Some(blob) = retried(published, stop, async || blobs.next().await).await? {
                if bytes > PIECE_BYTES
                    && waiting.back().is_some_and(|last: &crate::store::Blob| last.epoch != blob.epoch)
                {
                    *from = blob.epoch;
                    return Ok(());
                }
                bytes += blob.bytes.len();
                waiting.push_back(blob);
            }
            *done = true;
            Ok(())
        })
    }

    fn step(&mut self) -> Result<Option<Vec<u8>>, dataflows::graph::SourceError> {
        loop {
            while let Some(blob) = self.waiting.pop_front() {
                if blob.lane != LEDGER_LANE {
                    return Ok(Some(blob.bytes));
                }
                if blob.epoch >= self.ledger_from {
                    self.ledger.lock().unwrap_or_else(PoisonError::into_inner).load(&blob.bytes)?;
                }
            }
            if self.done {
                return Ok(None);
            }
            self.read_piece()?;
        }
    }
}

impl Iterator for WorkersBlobs {
    type Item = Result<Vec<u8>, dataflows::graph::SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
