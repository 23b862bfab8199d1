//! The program's only `unsafe`: calls to librdkafka itself where its binding, rdkafka, panics or has none.
//!
//! Small on purpose: each function borrows what keeps its pointers alive, copies or lends bytes, and judges nothing.

mod headers;
mod topic;

pub(super) use headers::headers;
pub(super) use topic::topic_id;
