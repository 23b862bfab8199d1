//! Retention around the dataflow: what epochs are told of it ([`inputs`]), and where decisions go ([`outbox`]).

pub mod inputs;
pub mod outbox;

pub use inputs::Inputs;
pub use outbox::Outbox;
