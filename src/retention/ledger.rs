//! What the executor needs of the state. The store gives it; tests have their own.

use super::examine::Standing;
use crate::store::StoreError;
use dataflows::{event::Id, retention::LedgerRow};

/// What is known of some jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// All rows of these jobs, in any order.
    pub rows: Vec<LedgerRow>,
    /// Those that somebody has vouched for; it counts only where there are no rows, or none with an end.
    pub adopted: Vec<Id>,
}

/// Jobs that nobody announced, and that somebody vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    pub partition: String,
    pub jobs: Vec<Id>,
    pub reason: String,
}

/// See the module. Each call asks the state anew: nothing of a former answer is kept.
pub trait Ledger: Sync {
    /// Policies, stream time and what else holds for all partitions, as last committed.
    fn standing(&self) -> impl Future<Output = Result<Standing, StoreError>> + Send;

    /// What is known of these jobs; at most a thousand.
    fn known(&self, jobs: &[Id]) -> impl Future<Output = Result<Known, StoreError>> + Send;

    /// Records it, all or nothing; done twice it is as done once.
    fn adopt(&self, adoption: &Adoption) -> impl Future<Output = Result<(), StoreError>> + Send;
}
