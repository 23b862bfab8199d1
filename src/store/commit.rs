//! The manifest, and the transaction that moves it: all of an epoch, or nothing of it (I4).

use super::{
    Blob, MANIFEST, Manifest, Store, StoreError,
    connection::{
        Connection,
        Value::{Bytes, Maybe, Number, Text},
    },
    probe::Step,
    signed, unsigned,
};

/// The largest chunk of a blob. A chunk is the unit of memory that writing and reading need, and of what must pass within
/// the patience of a statement.
pub(super) const CHUNK_BYTES: usize = 4 << 20;

/// What one transaction makes durable.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The epoch that must be the manifest's before.
    pub previous: u64,
    /// Its generation must be the one in the database.
    pub manifest: &'a Manifest,
    /// All of the manifest's epoch, one a lane.
    pub blobs: &'a [Blob],
}

impl Store {
    pub async fn manifest(&self) -> Result<Manifest, StoreError> {
        self.probe.at(Step::BeforeManifest).await?;
        let mut lent = self.reads.lend().await?;
        let manifest = read(&mut lent.connection).await?;
        lent.give_back();
        Ok(manifest)
    }

    /// Writes the blobs and moves the manifest, in one transaction. After an error of any kind, [`StoreError::Fenced`]
    /// too, only [`Store::manifest`] tells what came of it: an answer may be lost, and what was given up on may still
    /// come to pass.
    pub async fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.probe.at(Step::BeforeCommit).await?;
        checked(commit)?;
        let mut lent = self.writes.lend().await?;
        self.write(&mut lent.connection, commit).await?;
        lent.connection.commit().await?;
        lent.give_back();
        self.probe.at(Step::Committed).await
    }

    async fn write(&self, connection: &mut Connection, commit: &Commit<'_>) -> Result<(), StoreError> {
        connection.begin().await?;
        self.probe.at(Step::Begun).await?;
        for (at, blob) in commit.blobs.iter().enumerate() {
            self.write_blob(connection, blob, at == 0).await?;
        }
        self.probe.at(Step::BlobsWritten).await?;
        if connection.is_sqlite() {
            // while this commit keeps the file to itself the lease cannot be renewed: it is a sign of life, too
            let beat = "UPDATE gocdnext_flow_lease SET beat = beat + 1 WHERE id = 1 AND generation = $1";
            connection.execute(beat, &[Number(signed(commit.manifest.generation)?)]).await?;
        }
        move_manifest(connection, commit).await?;
        self.probe.at(Step::ManifestWritten).await
    }

    async fn write_blob(&self, connection: &mut Connection, blob: &Blob, first: bool) -> Result<(), StoreError> {
        let insert = "INSERT INTO gocdnext_flow_blob (epoch, lane, chunk, chunks, checksum, bytes) \
                      VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let chunks = chunks(&blob.bytes);
        let count = index(chunks.len());
        let (epoch, lane) = (signed(blob.epoch)?, i64::from(blob.lane));
        for (at, bytes) in chunks.into_iter().enumerate() {
            let checksum = i64::from(crc32fast::hash(bytes));
            let row = [Number(epoch), Number(lane), Number(index(at)), Number(count), Number(checksum), Bytes(bytes)];
            if connection.execute(insert, &row).await? == 0 {
                // committed by another, or by an attempt of ours that was given up on
                return Err(StoreError::Fenced);
            }
            if first && at == 0 {
                self.probe.at(Step::ChunkWritten).await?;
            }
        }
        Ok(())
    }
}

/// A blob without bytes is a chunk, too: what is written is there.
fn chunks(bytes: &[u8]) -> Vec<&[u8]> {
    if bytes.is_empty() { vec![bytes] } else { bytes.chunks(CHUNK_BYTES).collect() }
}

fn index(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

/// What no caller may ask for: it would be stored and never be read.
fn checked(commit: &Commit<'_>) -> Result<(), StoreError> {
    let Commit { previous, manifest, blobs } = commit;
    if manifest.epoch <= *previous || manifest.horizon > manifest.epoch {
        let Manifest { epoch, horizon, .. } = manifest;
        return Err(StoreError::definite(format!("epoch {epoch} with horizon {horizon} cannot follow {previous}")));
    }
    match blobs.iter().find(|blob| blob.epoch != manifest.epoch) {
        Some(blob) => {
            Err(StoreError::definite(format!("a blob of epoch {} is none of epoch {}", blob.epoch, manifest.epoch)))
        }
        None => Ok(()),
    }
}

async fn move_manifest(connection: &mut Connection, commit: &Commit<'_>) -> Result<(), StoreError> {
    let update = "UPDATE gocdnext_flow_manifest \
                  SET epoch = $1, stream_time_ms = $2, horizon = $3, details = $4, committed_at_ms = $5 \
                  WHERE id = 1 AND epoch = $6 AND generation = $7";
    let manifest = commit.manifest;
    let values = [
        Number(signed(manifest.epoch)?),
        Maybe(manifest.stream_time_ms),
        Number(signed(manifest.horizon)?),
        Text(&manifest.details),
        Number(manifest.committed_at_ms),
        Number(signed(commit.previous)?),
        Number(signed(manifest.generation)?),
    ];
    if connection.execute(update, &values).await? == 0 { Err(StoreError::Fenced) } else { Ok(()) }
}

pub(super) async fn read(connection: &mut Connection) -> Result<Manifest, StoreError> {
    type Columns = (i64, i64, Option<i64>, i64, String, i64);
    let select = "SELECT epoch, generation, stream_time_ms, horizon, details, committed_at_ms \
                  FROM gocdnext_flow_manifest WHERE id = 1";
    let (epoch, generation, stream_time_ms, horizon, details, committed_at_ms) =
        connection.row::<Columns>(MANIFEST, select).await?;
    Ok(Manifest {
        epoch: unsigned(MANIFEST, epoch)?,
        generation: unsigned(MANIFEST, generation)?,
        stream_time_ms,
        horizon: unsigned(MANIFEST, horizon)?,
        details,
        committed_at_ms,
    })
}
