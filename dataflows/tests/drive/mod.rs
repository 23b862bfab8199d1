//! Runs recorded epochs through the real thing: the machines alone ([`machines`]), or the whole graph ([`graph`]).

pub mod graph;
pub mod json;
pub mod machines;
pub mod stored;
