//! Where results leave the process: dead letters to Kafka or to a file.

pub mod courier;
pub mod dead_letter_file;
pub mod dead_letters;
pub mod decisions;
pub mod events;
pub mod kafka_letters;
