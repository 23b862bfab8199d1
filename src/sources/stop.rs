//! One switch that ends every thread of the pipeline, and wakes those that pause.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// See the module.
#[derive(Debug, Default)]
pub struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends everything; there is no way back.
    pub fn stop(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.lock()
    }

    /// Pauses for `time`, or until stopped; says whether it is stopped.
    pub fn pause(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |stopped| !*stopped);
        let (stopped, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *stopped
    }
}
