//! What a process knows, all of it lost when the process ends.

use super::{
    Epochs,
    world::{Commit, Counts, KEYS, Manifest, Record, fold, read},
};
use std::ops::RangeInclusive;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instance {
    pub phase: Phase,
    /// The offset of the epoch that `/metrics` shows.
    pub shown: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    #[default]
    Down,
    Standby,
    Claiming(Seen),
    Claimed {
        generation: u8,
    },
    /// Has read a manifest and the blobs of the epochs before `next`.
    Restoring {
        from: Manifest,
        next: u8,
        counts: Counts,
    },
    /// Has all, and was the holder when it asked.
    Restored {
        from: Manifest,
        counts: Counts,
    },
    Working(Writer, Stage),
}

/// What one who waits has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    pub generation: u8,
    /// The manifest, where it is read too early.
    pub early: Manifest,
}

/// The one that holds the lease, as far as it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Writer {
    /// The last one known to be committed.
    pub known: Manifest,
    /// What was read, and what came of it.
    pub offset: u8,
    pub counts: Counts,
    /// The sweep: the key it goes on with, and when its cycle began.
    key: u8,
    begun: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Reading,
    /// The epoch is cut; its dead letters are not acknowledged yet.
    Ended(Commit),
    /// The commit is under way.
    Waiting(Commit),
    /// No answer, or a refusal.
    Unknown(Commit),
    Committed(Commit),
    Shown(Commit),
}

impl Phase {
    /// The generation it takes for its own.
    pub const fn generation(&self) -> Option<u8> {
        match self {
            Self::Down | Self::Standby | Self::Claiming(_) => None,
            Self::Claimed { generation } => Some(*generation),
            Self::Restoring { from, .. } | Self::Restored { from, .. } => Some(from.generation),
            Self::Working(writer, _) => Some(writer.known.generation),
        }
    }

    /// Every generation it remembers.
    pub fn generations(&mut self) -> Vec<&mut u8> {
        match self {
            Self::Down | Self::Standby => vec![],
            Self::Claiming(seen) => vec![&mut seen.generation],
            Self::Claimed { generation } => vec![generation],
            Self::Restoring { from, .. } | Self::Restored { from, .. } => vec![&mut from.generation],
            Self::Working(writer, stage) => {
                let of_commit = stage.commit_mut().map(|commit| &mut commit.manifest.generation);
                std::iter::once(&mut writer.known.generation).chain(of_commit).collect()
            }
        }
    }
}

impl Stage {
    fn commit_mut(&mut self) -> Option<&mut Commit> {
        match self {
            Self::Reading => None,
            Self::Ended(commit)
            | Self::Waiting(commit)
            | Self::Unknown(commit)
            | Self::Committed(commit)
            | Self::Shown(commit) => Some(commit),
        }
    }
}

impl Writer {
    pub const fn new(known: Manifest, counts: Counts) -> Self {
        Self { known, offset: known.offset, counts, key: 0, begun: 0 }
    }

    /// How many records the next epoch may have: none only while epochs are left for all records.
    pub fn lengths(&self, model: &Epochs) -> RangeInclusive<u8> {
        let left = model.log_end() - self.offset;
        u8::from(model.last_epoch - self.known.epoch <= left)..=left
    }

    /// The records of the epoch that is cut but not known to be committed.
    pub fn uncertain<'a>(&self, model: &'a Epochs) -> &'a [Record] {
        &model.log[usize::from(self.known.offset)..usize::from(self.offset)]
    }

    /// An epoch of so many records, with a slice of the sweep. Only this process sees the records come one by one.
    pub fn cut(&mut self, length: u8, slice: u8, model: &Epochs) -> Commit {
        self.offset += length;
        let previous = self.known.epoch;
        let mut manifest = Manifest { epoch: previous + 1, offset: self.offset, ..self.known };
        let mut blob = [None; KEYS];
        for record in self.uncertain(model) {
            read(&mut self.counts, *record);
            if let Record::Of(key) = record {
                blob[*key] = Some(self.counts[*key]);
            }
        }
        if self.key == 0 {
            self.begun = manifest.epoch;
        }
        for _ in 0..slice.min(KEYS as u8 - self.key) {
            blob[usize::from(self.key)] = Some(self.counts[usize::from(self.key)]);
            self.key += 1;
        }
        if usize::from(self.key) == KEYS {
            (self.key, manifest.horizon) = (0, self.begun);
        }
        Commit { previous, manifest, blob }
    }

    /// Goes on after a committed epoch.
    pub const fn go_on(&mut self, commit: &Commit) {
        self.known = commit.manifest;
    }

    /// Takes back what is not known to be committed.
    pub fn roll_back(&mut self, model: &Epochs) {
        *self = Self::new(self.known, fold(model.before(self.known.offset)));
    }
}
