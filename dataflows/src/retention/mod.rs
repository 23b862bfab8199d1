//! Retention, as far as it is a function: which logs want archiving, which partitions may go, and why.
//!
//! Deleting cannot be undone, so whatever is not known blocks. [`policy`] is what people want and what the log database
//! has, [`decision`] what is decided, [`row`] what is known of each attempt's archive and when a job passes by it,
//! [`archives`] and [`partitions`] the rules (docs/rules.md, "Retention"). Nothing here drops anything: the service does.

pub mod archives;
pub mod decision;
pub mod month;
pub mod note;
pub mod partitions;
pub mod pending;
pub mod policy;
pub mod row;
pub mod shown;

pub use decision::{Decision, Fact, Fate, Fates, Kind, Reason, Subject};
pub use policy::{Catalogue, Partition, Policies, Policy, RetentionInput};
pub use row::{Archive, LedgerRow};
pub use shown::{Figures, Obstacle, Obstacles, Shown};

use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// What one epoch gives for retention; empty while it is off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionOutput {
    /// About archives, in order of time, then id. (Those about partitions are [`crate::ledger::Ledger::decide`]'s.)
    pub decisions: Vec<Decision>,
    /// One for each attempt of which something became known, in order of key.
    pub ledger_rows: Vec<LedgerRow>,
    /// Attempts that wait for their archive at the end of the epoch; those whose project does not archive are not among them.
    pub waiting: u64,
    /// The earliest end among these.
    pub oldest_waiting: Option<Millis>,
    /// Those that wait for another try, since one gave no archive.
    pub failing: u64,
    /// What became of `archive_logs`.
    pub fates: Fates,
}

impl RetentionOutput {
    /// Adds another worker's part of the same epoch.
    pub fn merge(&mut self, other: Self) {
        self.decisions.extend(other.decisions);
        self.ledger_rows.extend(other.ledger_rows);
        self.waiting += other.waiting;
        self.failing += other.failing;
        self.fates.iter_mut().zip(other.fates).for_each(|(sum, more)| *sum += more);
        self.oldest_waiting = match (self.oldest_waiting, other.oldest_waiting) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// The order that does not depend on the workers.
    pub fn sort(&mut self) {
        self.decisions.sort_by_key(|decision| (decision.time, decision.id));
        self.ledger_rows.sort_by_key(LedgerRow::key);
    }
}
