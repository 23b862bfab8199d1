//! gocdnext-flow, the service: sources, sinks, HTTP and command line around the pure library `dataflows`.
//!
//! Who may know whom: Kafka is spoken to only under [`sources`], [`sinks`] and [`demo`], HTTP only under [`http`], SQL only
//! under [`database`] and what builds on it ([`store`], [`logs`]); these do not know each other, but for what a source and a
//! sink share ([`sources::stop`], librdkafka's clients). [`wiring`] alone joins them, and the verbs of [`upkeep`] use its parts.

pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod database;
pub mod demo;
pub mod exposition;
pub mod fleet;
pub mod http;
pub mod lease;
pub mod logs;
mod progress;
pub mod published;
pub mod retention;
mod same_file;
pub mod sinks;
pub mod sources;
pub mod store;
pub mod summary;
pub mod telemetry;
pub mod upkeep;
pub mod version;
pub mod wiring;
