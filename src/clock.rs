//! The wall clock: for ages, leases, a live source and what people read. Results take their time from the log alone.

use dataflows::time::Millis;
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix ms, now.
#[must_use]
pub fn wall_ms() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}
