//! What the runs machine tells of an attempt, at its own transitions: all that the archives machine knows of jobs.

use super::row::LedgerRow;
use crate::{
    event::Id,
    time::{Millis, NEVER},
};
use serde::{Deserialize, Serialize};

/// Which attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    pub run: Id,
    pub job: Id,
    pub attempt: u32,
}

/// See the module. Notes commute: the earliest dispatch stands, and every end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub key: Key,
    pub project: Id,
    /// The earliest evidence of dispatch; [`NEVER`]: none is known.
    pub dispatched: Millis,
    /// It has ended then; [`NEVER`]: no end is told of.
    pub ended: Millis,
    /// Told of by a single late event, perhaps a redelivery from long ago: it is written down, and nobody is asked to
    /// archive anything for it.
    pub hearsay: bool,
}

impl Note {
    /// The attempt is known.
    #[must_use]
    pub const fn seen(key: Key, project: Id) -> Self {
        Self { key, project, dispatched: NEVER, ended: NEVER, hearsay: false }
    }

    /// What it says, as a row of the archive ledger.
    #[must_use]
    pub fn row(&self) -> LedgerRow {
        let Key { run, job, attempt } = self.key;
        let ended_at = (self.ended != NEVER).then_some(self.ended);
        let dispatched = self.dispatched != NEVER;
        LedgerRow { job, run, attempt, project: self.project, dispatched, ended_at, ..LedgerRow::default() }
    }
}
