//! What becomes of the results of ended jobs: an epoch's are handed on once it is committed and, live, shown.
//!
//! At most once: a crash in between loses them, and nobody sends them again. What must not be lost goes into the epoch's
//! transaction instead, as decisions do ([`super::decisions`]), and is sent from there.

use dataflows::{graph::JobResult, names::Names};

/// A place for results. Used from the publisher's thread alone, which waits for it: nothing long here.
pub trait Results: Send {
    /// Takes an epoch's results, in no order; those of attempts that were reclaimed, or are open at a log's end, too.
    fn take(&mut self, results: &[JobResult], names: &Names);
}
