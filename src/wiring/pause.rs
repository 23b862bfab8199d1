//! Pauses within a commit, so that a test can kill the process in each of its windows. Debug builds only.
//!
//! `GOCDNEXT_FLOW_PAUSE_AT=WINDOW:MILLISECONDS` makes the process say `pausing at WINDOW` on standard error and sleep
//! there, one time in [`EVERY`] that it comes by: in between it must get on.

#[cfg(debug_assertions)]
pub use self::debug::{at, probed};

#[cfg(debug_assertions)]
mod debug {
    use crate::{
        config::environment::PAUSE_VARIABLE,
        store::{Fault, Step, Store},
    };
    use std::{
        sync::{
            Arc, LazyLock,
            atomic::{AtomicU32, Ordering::Relaxed},
        },
        time::Duration,
    };

    const EVERY: u32 = 5;
    /// Few epochs come by here.
    const COLLECTING: &str = "collecting";

    struct Pause {
        window: String,
        time: Duration,
        passed: AtomicU32,
    }

    static PAUSE: LazyLock<Option<Pause>> = LazyLock::new(|| {
        let text = std::env::var(PAUSE_VARIABLE).ok()?;
        let (window, ms) = text.split_once(':')?;
        let time = Duration::from_millis(ms.parse().ok()?);
        Some(Pause { window: window.to_owned(), time, passed: AtomicU32::new(0) })
    });

    /// How long to sleep in this window, this time.
    fn due(window: &str) -> Option<Duration> {
        let pause = PAUSE.as_ref().filter(|pause| pause.window == window)?;
        let passed = pause.passed.fetch_add(1, Relaxed) + 1;
        if window != COLLECTING && !passed.is_multiple_of(EVERY) {
            return None;
        }
        eprintln!("pausing at {window}");
        Some(pause.time)
    }

    /// Sleeps if a pause is due in this window.
    pub fn at(window: &str) {
        if let Some(time) = due(window) {
            std::thread::sleep(time);
        }
    }

    /// With the pauses that lie within the store.
    pub fn probed(store: Store) -> Store {
        if PAUSE.is_none() {
            return store;
        }
        store.with_probe(Arc::new(|step| {
            let window = match step {
                Step::Begun => "begun",
                Step::BlobsWritten => "blobs",
                Step::ManifestWritten => "manifest",
                Step::Committed => "committed",
                Step::Collected => COLLECTING,
                _ => return Ok(()),
            };
            due(window).map_or(Ok(()), |time| Err(Fault::Pause(time)))
        }))
    }
}

#[cfg(not(debug_assertions))]
pub const fn at(_window: &str) {}

#[cfg(not(debug_assertions))]
pub const fn probed(store: crate::store::Store) -> crate::store::Store {
    store
}
