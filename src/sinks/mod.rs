//! Where results leave the process: dead letters to Kafka or to a file, decisions, results of jobs; and events, for the fleet.
//!
//! Where each stands to the commit of its epoch: docs/ARCHITECTURE.md, "A sink".

pub mod courier;
pub mod dead_letter_file;
pub mod dead_letters;
pub mod decisions;
pub mod events;
pub mod kafka_letters;
pub mod results;
