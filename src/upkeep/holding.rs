//! The lease for one piece of work: refused where somebody who writes the state lives.

use crate::{
    clock::wall_ms,
    config::Config,
    lease::{self, Claimant, Held, Taken},
    store::{Manifest, Options, Store},
    wiring::RunError,
};
use std::sync::Arc;

/// Garbage that is deleted in one transaction, about.
const COLLECT_BYTES: u64 = 16 << 20;

/// State that only we may write.
#[derive(Debug)]
pub struct Holding {
    pub store: Arc<Store>,
    pub manifest: Manifest,
    held: Held,
}

impl Holding {
    /// Opens the state, and makes it where it is not there. `say` hears what is waited for.
    pub async fn take(config: &Config, say: impl FnOnce(String)) -> Result<Self, RunError> {
        let store = Arc::new(super::open(&config.state, Options::default()).await?);
        let who = Claimant::of(config);
        let seconds = config.lease_ttl.as_secs();
        let told = |holder: &str| {
            say(format!("instance {holder} has not given the state back; looking for {seconds} s whether it lives"));
        };
        let granted = match lease::take(&store, &who, told).await? {
            Taken::Held(granted) => granted,
            Taken::Alive { holder } => {
                return Err(RunError::Refused(anyhow::anyhow!(
                    "instance {holder} writes this state: stop it first, and every other one that stands by"
                )));
            }
        };
        let held = Held::keep(Arc::clone(&store), granted, config.lease_ttl);
        let manifest = match store.manifest().await {
            Ok(manifest) => manifest,
            Err(error) => {
                // what was wrong is told; the lease runs out by itself
                let _ = held.release().await;
                return Err(error.into());
            }
        };
        Ok(Self { store, manifest, held })
    }

    /// The manifest after the one that is there, under this lease.
    pub fn next(&self) -> Manifest {
        let (epoch, generation) = (self.manifest.epoch + 1, self.held.generation);
        Manifest { epoch, generation, committed_at_ms: wall_ms(), ..self.manifest.clone() }
    }

    /// Deletes what no restore needs any more. After an error `run` does it later; one that does not pass it meets, too:
    /// a line about that, else nothing.
    pub async fn collect(&self) -> String {
        loop {
            match self.store.collect(u64::MAX, COLLECT_BYTES).await {
                Ok(0) => return String::new(),
                Ok(_) => {}
                Err(error) if error.is_transient() => return String::new(),
                Err(error) => {
                    return format!("what was there before cannot be deleted, and still takes room: {error}\n");
                }
            }
        }
    }

    /// Gives the lease back; where that fails the next one waits for its time to live.
    pub async fn release(self) {
        let _ = self.held.release().await;
    }
}
