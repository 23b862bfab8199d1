//! Retention carried out: what the dataflow decides about partitions, done to the log database.
//!
//! [`executor`] runs, [`examine`] asks all that must be true of a partition before it goes, [`adopt`] is the one way out
//! for partitions from before our time, [`foresee`] says what a change of policies would do, [`ledger`] is what all of
//! them need of the state, [`inputs`] what the epochs are told. What must stay true: whatever is not known blocks, and
//! each answer is asked for again under the lock under which the partition is dropped.

pub mod adopt;
pub mod examine;
pub mod executor;
pub mod foresee;
pub mod inputs;
pub mod ledger;

pub use self::{
    adopt::{Adoptable, adopt, adoptable},
    examine::{Standing, old_enough},
    executor::{Order, Outcome, Report, look_at, run},
    foresee::{Foreseen, fate, foresee, freed, lets_go_of_archives},
    inputs::Inputs,
    ledger::{Adoption, Known, Ledger},
};

pub use dataflows::retention::Obstacle;

use crate::{logs::LogsError, store::StoreError};

/// Why a run ended before its end. What it did until then stands, and is in the drop ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    #[error(transparent)]
    Logs(#[from] LogsError),
    #[error(transparent)]
    State(#[from] StoreError),
}
