//! The program's only `unsafe`: calls to librdkafka itself where its binding, rdkafka, panics, is slow or has none.
//!
//! Small on purpose: each function borrows what keeps its pointers alive, copies or lends bytes, and judges nothing.

mod burst;
mod log;
mod poll;
mod record;
mod said;
mod topic;

pub(super) use burst::Burst;
pub(super) use log::log_quietly;
pub(super) use poll::{Came, Polled};
pub(super) use record::Record;
pub(super) use said::Said;
pub(super) use topic::topic_id;
