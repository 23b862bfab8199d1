//! Where records come from. Sources know the feeder of the graph and nothing of what becomes of a record.

pub mod catch_up;
pub mod files;
pub mod in_flight;
pub mod kafka;
pub mod stop;
