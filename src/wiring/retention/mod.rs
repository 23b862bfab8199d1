//! Retention around the dataflow: what epochs are told of it ([`inputs`]), where decisions go
//! ([`outbox`]), and how those about partitions are carried out ([`executor`]).

pub mod executor;
pub mod inputs;
pub mod ledger;
pub mod outbox;

pub use executor::Executor;
pub use inputs::Inputs;
pub use ledger::StateLedger;
pub use outbox::Outbox;
