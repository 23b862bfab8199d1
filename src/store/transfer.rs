//! Other state in place of what is there, epoch by epoch, in one transaction: all of it, or nothing (I4).

use super::{
    Blob, Manifest, Store, StoreError,
    commit::{beat, move_manifest, newest_blobs},
    connection::{Connection, Lent},
    probe::Step,
    signed,
};

/// See the module. Dropped before it is finished, it has changed nothing.
pub struct Transfer<'a> {
    store: &'a Store,
    lent: Lent<'a>,
    previous: u64,
    generation: u64,
    /// The newest epoch with rows so far.
    newest: i64,
}

impl std::fmt::Debug for Transfer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfer").field("newest", &self.newest).finish_non_exhaustive()
    }
}

impl Store {
    /// Begins one, where the manifest's epoch and generation are these.
    pub async fn transfer(&self, previous: u64, generation: u64) -> Result<Transfer<'_>, StoreError> {
        self.probe.at(Step::BeforeCommit).await?;
        let mut lent = self.writes.lend().await?;
        lent.connection.begin().await?;
        lent.connection.take_time().await?;
        let newest = newest_blobs(&mut lent.connection, previous, generation).await?;
        Ok(Transfer { store: self, lent, previous, generation, newest })
    }
}

impl Transfer<'_> {
    pub(super) const fn connection(&mut self) -> &mut Connection {
        &mut self.lent.connection
    }

    /// All blobs of one epoch, behind those before it and behind the manifest's.
    pub async fn put(&mut self, blobs: &[Blob]) -> Result<(), StoreError> {
        let Some(first) = blobs.first() else { return Ok(()) };
        let (epoch, after) = (signed(first.epoch)?, signed(self.previous)?.max(self.newest));
        if epoch <= after || blobs.iter().any(|blob| blob.epoch != first.epoch) {
            return Err(StoreError::definite(format!("blobs of epoch {epoch} cannot follow epoch {after}")));
        }
        self.store.write_epoch(&mut self.lent.connection, blobs, self.newest).await?;
        self.newest = epoch;
        Ok(())
    }

    /// Makes it last. As with a commit, after an error only the manifest tells what came of it.
    pub async fn finish(mut self, manifest: &Manifest) -> Result<(), StoreError> {
        let fits = manifest.epoch > self.previous
            && manifest.horizon > self.previous
            && manifest.horizon <= manifest.epoch
            && self.newest <= signed(manifest.epoch)?
            && manifest.generation == self.generation;
        if !fits {
            let Manifest { epoch, horizon, .. } = manifest;
            let reason = format!("epoch {epoch} with horizon {horizon} cannot follow {}", self.previous);
            return Err(StoreError::definite(reason));
        }
        let connection = &mut self.lent.connection;
        if connection.is_sqlite() {
            beat(connection, self.generation).await?;
        }
        move_manifest(connection, self.previous, manifest, self.newest).await?;
        self.store.probe.at(Step::ManifestWritten).await?;
        connection.commit().await?;
        self.lent.give_back();
        self.store.probe.at(Step::Committed).await
    }
}
