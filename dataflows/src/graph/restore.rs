//! Going on from stored state: every worker takes in what is its own, whoever wrote it.

use super::StartError;
use crate::{
    machines::{AgentsMachine, DeliveriesMachine, JobsMachine, Machine},
    route::{Route, Share},
    sequencer::Maxima,
    settings::Settings,
    state::{self, Blob, Table, Unusable},
    time::StreamTime,
};
use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender},
};

/// Blobs that may wait in front of each worker.
pub(super) const WAITING_BLOBS: usize = 4;

/// Why stored state could not be read where it lies.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// State to go on from.
pub struct Restore {
    /// At the end of the last stored epoch.
    pub stream_time: StreamTime,
    /// Likewise.
    pub maxima: Maxima,
    /// The workers' blobs ([`super::EpochOutput::state`]), in order of epoch, from the begin of a whole sweep on.
    pub blobs: Box<dyn Iterator<Item = Result<Vec<u8>, SourceError>> + Send>,
}

impl std::fmt::Debug for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore").field("stream_time", &self.stream_time).finish_non_exhaustive()
    }
}

/// One worker's machines.
#[derive(Debug)]
pub(crate) struct Machines {
    pub jobs: JobsMachine,
    pub agents: AgentsMachine,
    pub deliveries: DeliveriesMachine,
}

impl Machines {
    pub fn new(settings: &Arc<Settings>, peers: usize) -> Self {
        Self {
            jobs: JobsMachine::new(Arc::clone(settings), peers),
            agents: AgentsMachine::new(Arc::clone(settings), peers),
            deliveries: DeliveriesMachine::new(Arc::clone(settings), peers),
        }
    }

    /// Takes in all blobs; the last of their epochs was closed at `now`.
    pub fn load(&mut self, blobs: &Receiver<Arc<Vec<u8>>>, now: StreamTime, share: Share) -> Result<(), Unusable> {
        for blob in blobs {
            self.take_in(&state::parse(&blob)?, &mut |route| share.owns(route))?;
        }
        self.loaded(now)
    }

    /// Takes in those entries of one blob whose routes are owned.
    pub fn take_in(&mut self, blob: &Blob<'_>, owns: &mut impl FnMut(Route) -> bool) -> Result<(), Unusable> {
        for (table, entries) in &blob.sections {
            match table {
                Table::Runs | Table::Archives => self.jobs.load(*table, *entries, owns)?,
                Table::Agents => self.agents.load(*entries, owns)?,
                Table::Deliveries => self.deliveries.load(*entries, owns)?,
                Table::Registry | Table::Names | Table::Given => {
                    return Err(Unusable::damaged("what belongs to the registry lies with a worker"));
                }
            }
        }
        Ok(())
    }

    /// All blobs are taken in; the last of their epochs was closed at `now`.
    pub fn loaded(&mut self, now: StreamTime) -> Result<(), Unusable> {
        self.jobs.loaded(now)?;
        self.agents.loaded(now)?;
        self.deliveries.loaded(now)
    }

    pub fn record(&mut self) {
        self.jobs.record();
        self.agents.record();
        self.deliveries.record();
    }
}

/// Hands the blobs to the workers. A blob written by as many workers as there are now goes only to its writer.
pub(super) fn deal(restore: Restore, workers: &[SyncSender<Arc<Vec<u8>>>]) -> Result<(), StartError> {
    for blob in restore.blobs {
        let blob = Arc::new(blob.map_err(StartError::Source)?);
        let writer = state::parse(&blob)?.writer;
        let owners = if writer.peers == workers.len() && writer.worker < workers.len() {
            &workers[writer.worker..=writer.worker]
        } else {
            workers
        };
        if owners.iter().any(|worker| worker.send(Arc::clone(&blob)).is_err()) {
            // that worker has found something wrong and says what
            return Ok(());
        }
    }
    Ok(())
}
