//! Retention around the dataflow: where decisions go ([`outbox`]), how those about partitions are carried out
//! ([`executor`]), who tells of dropped partitions ([`drops`]), and the state as whoever does that sees it ([`ledger`]).

pub mod drops;
pub mod executor;
pub mod ledger;
pub mod outbox;

pub use drops::Drops;
pub use executor::Executor;
pub use ledger::StateLedger;
pub use outbox::{Notice, Outbox, keep_count};
