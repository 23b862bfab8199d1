//! The pure part of gocdnext-flow: events in, series out, epoch by epoch.
//!
//! Nothing here knows Kafka, SQL, HTTP, files or a clock: time is passed in (`stream_time`), records are passed in
//! as bytes (`feed`), and results are passed out (`graph::EpochOutput`). So every rule can be tested as a function.
//!
//! Read in this order: [`event`] (what happened), [`decode`] (bytes to events), [`machines`] (the rules),
//! [`series`] (what is counted, under which name), [`sequencer`] (stream time), [`driver`] and [`graph`] (timely).

#![forbid(unsafe_code)]

pub mod audit;
pub mod decode;
pub mod driver;
pub mod event;
pub mod feed;
pub mod graph;
pub mod ledger;
pub mod machines;
pub mod memory;
pub mod names;
pub mod rebucket;
pub mod registry;
pub mod retention;
pub mod route;
pub mod sequencer;
pub mod series;
pub mod settings;
pub mod slab;
pub mod state;
pub mod time;
mod words;
