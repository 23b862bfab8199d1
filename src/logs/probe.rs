//! A look into the work on the log database, for tests: at each step they may fail it, which is what a kill there leaves
//! behind, or look at the database from outside.

use crate::database::DatabaseError;
use std::{fmt, sync::Arc};

/// A moment between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing of an `ensure` is sent.
    BeforeEnsure,
    /// The partition is made, and the answer lost if there is a fault.
    Ensured,
    /// A partition is about to be read without locks.
    BeforeSurvey,
    /// Nothing of a drop is sent.
    BeforeLock,
    /// The partition takes no more lines.
    Locked,
    /// A page of its jobs was read.
    Page,
    /// All is checked, and nothing is dropped.
    BeforeDrop,
    /// The drop is committed, and the answer lost if there is a fault.
    Dropped,
    BeforeAcknowledge,
    Acknowledged,
}

impl Step {
    /// Those at which a drop can be cut off, in their order.
    pub const OF_DROP: [Self; 6] =
        [Self::BeforeSurvey, Self::BeforeLock, Self::Locked, Self::Page, Self::BeforeDrop, Self::Dropped];
}

/// Asked at each step; what it answers is returned as if the database had failed there.
pub type Ask = Arc<dyn Fn(Step) -> Result<(), DatabaseError> + Send + Sync>;

#[derive(Clone, Default)]
pub(super) struct Probe(pub(super) Option<Ask>);

impl Probe {
    pub(super) fn at(&self, step: Step) -> Result<(), DatabaseError> {
        self.0.as_ref().map_or(Ok(()), |ask| ask(step))
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Probe" } else { "None" })
    }
}
