//! The way in: batches dealt out to the workers, and the end of each epoch to all of them.

use crate::feed::{Batch, EpochEnd, Feed};
use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender, TrySendError},
};
use timely::scheduling::SyncActivator;

/// The workers are gone: one of them failed or all have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dataflow workers have stopped")]
pub struct Stopped;

/// One worker's inlet.
pub(super) struct Inlet {
    pub sender: SyncSender<Feed>,
    pub waker: SyncActivator,
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
    spent: Receiver<Vec<u8>>,
}

impl Feeder {
    pub(super) const fn new(inlets: Vec<Inlet>, spent: Receiver<Vec<u8>>) -> Self {
        Self { inlets, next: 0, spent }
    }

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
