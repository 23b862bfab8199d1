//! A look into the store at work, for tests: at each step they may fail it, hold it up, or end the process.

use super::StoreError;
use std::{fmt, sync::Arc, time::Duration};

/// A moment between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing of the commit is sent.
    BeforeCommit,
    /// The transaction is open.
    Begun,
    /// The first chunk is written, if there is any.
    ChunkWritten,
    BlobsWritten,
    ManifestWritten,
    /// The database has committed. A fault here is an answer that is lost.
    Committed,
    BeforeManifest,
    BeforeBlobs,
    BeforeCollect,
    Collected,
    BeforeLease,
    BeforeClaim,
    /// Claimed, and the answer lost if there is a fault.
    Claimed,
    BeforeRenew,
    BeforeRelease,
}

impl Step {
    /// Those of a commit, in their order. `ChunkWritten` comes only where there are blobs.
    pub const ALL: [Self; 6] = [
        Self::BeforeCommit,
        Self::Begun,
        Self::ChunkWritten,
        Self::BlobsWritten,
        Self::ManifestWritten,
        Self::Committed,
    ];
}

/// What a test does to a step.
#[derive(Clone, Debug)]
pub enum Fault {
    /// As if the database had failed here.
    Error(StoreError),
    /// As if it took its time.
    Pause(Duration),
}

/// Asked at each step.
pub type Ask = Arc<dyn Fn(Step) -> Result<(), Fault> + Send + Sync>;

#[derive(Clone, Default)]
pub(super) struct Probe(pub(super) Option<Ask>);

impl Probe {
    pub(super) async fn at(&self, step: Step) -> Result<(), StoreError> {
        let Some(ask) = &self.0 else { return Ok(()) };
        match ask(step) {
            Ok(()) => Ok(()),
            Err(Fault::Error(error)) => Err(error),
            Err(Fault::Pause(time)) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Probe" } else { "None" })
    }
}
