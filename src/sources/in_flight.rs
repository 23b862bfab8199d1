//! How many epochs have been read and not yet committed: the backpressure between source and publisher (I6).
//!
//! Every epoch counts, empty ones too: so an idle pipeline whose commits are stuck is bounded as well. A source that
//! has no room stops polling and lets its open epoch grow longer; nothing waits for the *end* of a later epoch, so
//! this cannot lock up.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// See the module.
#[derive(Debug)]
pub struct InFlight {
    max: u64,
    count: Mutex<u64>,
    acknowledged: Condvar,
}

impl InFlight {
    /// Room for `max` epochs, at least one.
    #[must_use]
    pub fn new(max: u64) -> Self {
        Self { max: max.max(1), count: Mutex::new(0), acknowledged: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Epochs read and not yet committed.
    #[must_use]
    pub fn count(&self) -> u64 {
        *self.lock()
    }

    /// Waits until an epoch may end, but not longer than `patience`.
    #[must_use]
    pub fn wait_for_room(&self, patience: Duration) -> bool {
        let full = |count: &mut u64| *count >= self.max;
        let waited = self.acknowledged.wait_timeout_while(self.lock(), patience, full);
        let (count, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *count < self.max
    }

    /// An epoch was handed to the workers.
    pub fn sent(&self) {
        *self.lock() += 1;
    }

    /// An epoch was committed.
    pub fn committed(&self) {
        let mut count = self.lock();
        *count = count.saturating_sub(1);
        self.acknowledged.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn there_is_room_again_once_an_epoch_is_committed() {
        let in_flight = InFlight::new(2);
        in_flight.sent();
        assert!(in_flight.wait_for_room(Duration::ZERO));
        in_flight.sent();
        assert!(!in_flight.wait_for_room(Duration::ZERO));
        let (begun, patience) = (Instant::now(), Duration::from_mins(1));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| in_flight.wait_for_room(patience));
            // until it waits: one that comes later need not be woken
            std::thread::sleep(Duration::from_millis(50));
            in_flight.committed();
            assert!(waiting.join().unwrap());
        });
        assert!(begun.elapsed() < patience, "it was woken");
        assert_eq!(in_flight.count(), 1);
    }
}
