//! All of the state as it was in one moment, read while others write: in one transaction that only reads.
//!
//! A writer and its collection of garbage go on meanwhile; what they do is not seen here.

use super::{Blob, Lease, MANIFEST, Manifest, Sizes, Store, StoreError, blobs::Cursor, error::Damage};
use crate::database::connection::Connection;
use std::time::Duration;

/// To look at every page of a large file.
const CHECK_PATIENCE: Duration = Duration::from_secs(3_600);

/// See the module. Dropped, it is over.
pub struct Snapshot {
    pub(super) connection: Connection,
    pub manifest: Manifest,
    pub lease: Lease,
    pub sizes: Sizes,
    cursor: Cursor,
    /// Within the rows beside the blobs.
    pub(super) place: super::retention::Place,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl Store {
    /// The state of this moment.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut connection = self.target.connect().await?;
        connection.begin_reading().await?;
        connection.take_time().await?;
        let (manifest, newest) = super::commit::read(&mut connection).await?;
        let lease = super::lease::read(&mut connection).await?;
        let sizes = super::sizes::read(&mut connection, self.url()).await?;
        let cursor = Cursor::new(&manifest, newest, manifest.horizon, manifest.epoch)?;
        Ok(Snapshot { connection, manifest, lease, sizes, cursor, place: <_>::default() })
    }

    /// What SQLite itself finds wrong with its file, page by page; a server looks after its own.
    pub async fn check_file(&self) -> Result<Vec<Damage>, StoreError> {
        let mut connection = self.target.connect().await?;
        connection.patience = CHECK_PATIENCE;
        if !connection.is_sqlite() {
            return Ok(Vec::new());
        }
        let rows: Vec<(String,)> = connection.rows("PRAGMA integrity_check", &[]).await?;
        let told = rows.into_iter().map(|(reason,)| reason).filter(|reason| reason != "ok");
        Ok(told.map(|reason| Damage { table: "the file", chunk: None, reason }).collect())
    }
}

impl Snapshot {
    /// The next blob that a restore needs, by epoch and lane, whole and checked; or what is damaged before it, each once:
    /// the next call goes on behind it. After an error nothing more can be read.
    pub async fn next(&mut self) -> Result<Option<Result<Blob, Damage>>, StoreError> {
        self.cursor.next(&mut self.connection).await
    }

    /// Blobs that no restore needs, and blobs of epochs that were never committed.
    pub async fn beside(&mut self) -> Result<(u64, u64), StoreError> {
        let select = "SELECT CAST(COUNT(CASE WHEN blob.epoch < manifest.horizon THEN 1 END) AS BIGINT), \
                      CAST(COUNT(CASE WHEN blob.epoch > manifest.epoch THEN 1 END) AS BIGINT) \
                      FROM gocdnext_flow_blob AS blob, gocdnext_flow_manifest AS manifest WHERE chunk = 0";
        let (garbage, strays) = self.connection.row::<(i64, i64)>(super::BLOB, select).await?;
        Ok((super::unsigned(MANIFEST, garbage)?, super::unsigned(MANIFEST, strays)?))
    }
}
