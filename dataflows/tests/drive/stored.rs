//! What a store would hold: blobs by epoch, from the horizon on; thrown away below it as a store does.

use crate::model::generate::Numbers;
use dataflows::state::{Pace, Sweep};

/// One epoch's blobs.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    epoch: u64,
    pub workers: Vec<Vec<u8>>,
    pub ledger: Option<Vec<u8>>,
}

/// The log of state.
#[derive(Debug, Default)]
pub struct Store {
    pub epochs: Vec<Stored>,
    /// The epoch in which the cycle that is under way began.
    cycle: Option<u64>,
}

impl Store {
    /// Stores an epoch; a cycle that is whole makes garbage of what was before it.
    pub fn commit(&mut self, epoch: u64, sweep: Sweep, workers: Vec<Vec<u8>>, ledger: Option<Vec<u8>>) {
        if sweep.begins() {
            self.cycle = Some(epoch);
        }
        self.epochs.push(Stored { epoch, workers, ledger });
        if let Some(horizon) = self.cycle.take_if(|_| sweep.ends()) {
            self.epochs.retain(|stored| stored.epoch >= horizon);
        }
    }

    /// The process is gone, and with it the cycle that was under way.
    pub fn crash(&mut self) {
        self.cycle = None;
    }
}

/// Lets the sweep go on by something between nothing and a whole cycle.
pub fn grant(pace: &Pace, numbers: &mut Numbers) {
    let share = [0.0, 0.0, 0.05, 0.3, 0.5, 1.0][numbers.below(6)];
    pace.grant(share);
}
