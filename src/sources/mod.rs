//! Where records come from.

pub mod catch_up;
pub mod files;
pub mod kafka;
