//! What outlives a process: the log, and the database with its manifest, blobs and lease.

use super::{Epochs, Flaw};

/// A record of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// Adds one to a key.
    Of(usize),
    /// Goes to the dead letters.
    Bad,
}

pub const KEYS: usize = 2;
/// Room for epochs; number 0 is none.
const EPOCHS: usize = 5;
/// The state: how often each key was read.
pub type Counts = [u8; KEYS];

/// What the state must be once these are read.
pub fn fold(records: &[Record]) -> Counts {
    let mut counts = Counts::default();
    for record in records {
        read(&mut counts, *record);
    }
    counts
}

pub fn read(counts: &mut Counts, record: Record) {
    if let Record::Of(key) = record {
        counts[key] += 1;
    }
}

/// The values that an epoch changed, and those that the sweep wrote again.
pub type Blob = [Option<u8>; KEYS];

/// Laid over what earlier blobs gave.
pub fn lay(counts: &mut Counts, blob: &Blob) {
    for (count, put) in counts.iter_mut().zip(blob) {
        *count = put.unwrap_or(*count);
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Manifest {
    pub generation: u8,
    pub epoch: u8,
    pub offset: u8,
    pub horizon: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Commit {
    pub previous: u8,
    pub manifest: Manifest,
    pub blob: Blob,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Database {
    pub manifest: Manifest,
    /// The process that the lease names, while it lives. The lease's generation is always the manifest's.
    pub holder: Option<u8>,
    blobs: [Option<Blob>; EPOCHS],
}

impl Database {
    /// What a restore gives: the blobs from the horizon on, in order.
    pub fn restored(&self) -> Counts {
        let mut counts = Counts::default();
        (self.manifest.horizon..=self.manifest.epoch).for_each(|epoch| self.lay_blob(epoch, &mut counts));
        counts
    }

    /// Reads one epoch's blob; one that is not there is no error: epochs have gaps.
    pub fn lay_blob(&self, epoch: u8, counts: &mut Counts) {
        if let Some(blob) = &self.blobs[usize::from(epoch)] {
            lay(counts, blob);
        }
    }

    /// Whether it was granted.
    pub fn commit(&mut self, commit: &Commit, model: &Epochs) -> Result<bool, String> {
        let ours = commit.manifest.generation == self.manifest.generation;
        if (!ours && !model.has(Flaw::NoFence)) || commit.previous != self.manifest.epoch {
            return Ok(false);
        }
        if !ours {
            return Err(format!("a superseded instance has committed epoch {}", commit.manifest.epoch));
        }
        self.manifest = commit.manifest;
        self.blobs[usize::from(commit.manifest.epoch)] = Some(commit.blob);
        Ok(true)
    }

    /// Whether it was granted.
    pub fn claim(&mut self, seen: u8, by: Option<u8>, model: &Epochs) -> bool {
        let granted = seen == self.manifest.generation || model.has(Flaw::ClaimsBlindly);
        if granted {
            self.manifest.generation = seen + 1;
            self.holder = by;
        }
        granted
    }

    /// The oldest blob below an epoch.
    pub fn garbage(&self, below: u8) -> Option<u8> {
        (0..below).find(|epoch| self.blobs[usize::from(*epoch)].is_some())
    }

    pub fn delete(&mut self, epoch: u8) {
        self.blobs[usize::from(epoch)] = None;
    }
}
