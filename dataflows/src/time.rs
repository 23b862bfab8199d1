//! The kinds of time and position that travel through the dataflow, one type each so that none is taken for another.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z: event times, record timestamps, stream times.
pub type Millis = i64;

/// A fact that has not been seen. It is later than every time, so the earliest of two facts is their minimum.
pub const NEVER: Millis = Millis::MAX;

/// Out-of-order tolerance between two facts of one attempt: 2 s.
pub const SKEW_TOLERANCE_MS: Millis = 2_000;

/// The timely timestamp: opaque, increasing; what is read together is committed together (I4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// The offset of the next record to read of a partition (in files: the number of the next line, from 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NextOffset(pub i64);

/// The moment up to which the log is believed to be whole; drives every timer and never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamTime(pub Millis);

impl StreamTime {
    /// Before anything was read: no timer has passed.
    pub const UNKNOWN: Self = Self(Millis::MIN);

    /// Timers fire strictly after their deadline.
    #[must_use]
    pub fn is_past(self, deadline: Millis) -> bool {
        self.0 > deadline
    }
}
