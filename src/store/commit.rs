//! The manifest, and the transaction that moves it: all of an epoch, or nothing of it (I4).

use super::{
    Additions, Blob, MANIFEST, Manifest, Store, StoreError,
    assembly::checksum,
    connection::{
        Connection,
        Value::{Bytes, Maybe, Number, Text},
    },
    probe::Step,
    signed, unsigned,
};

/// The name of the manifest's table, as damage is told.
pub const TABLE: &str = MANIFEST;

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
    pub additions: Additions<'a>,
}

impl Store {
    pub async fn manifest(&self) -> Result<Manifest, StoreError> {
        self.probe.at(Step::BeforeManifest).await?;
        let mut lent = self.reads.lend().await?;
        let (manifest, _) = read(&mut lent.connection).await?;
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
        let before = newest_blobs(connection, commit.previous, commit.manifest.generation).await?;
        self.write_epoch(connection, commit.blobs, before).await?;
        self.probe.at(Step::BlobsWritten).await?;
        commit.additions.write(connection, signed(commit.manifest.epoch)?).await?;
        if connection.is_sqlite() {
            beat(connection, commit.manifest.generation).await?;
        }
        let newest = if commit.blobs.is_empty() { before } else { signed(commit.manifest.epoch)? };
        move_manifest(connection, commit.previous, commit.manifest, newest).await?;
        self.probe.at(Step::ManifestWritten).await
    }

    /// Writes all blobs of one epoch; `before`: the epoch with rows before it.
    pub(super) async fn write_epoch(
        &self,
        connection: &mut Connection,
        blobs: &[Blob],
        before: i64,
    ) -> Result<(), StoreError> {
        let rows: usize = blobs.iter().map(|blob| chunks(&blob.bytes).len()).sum();
        for (at, blob) in blobs.iter().enumerate() {
            self.write_blob(connection, blob, [index(rows), before], at == 0).await?;
        }
        Ok(())
    }

    /// `of_epoch`: the number of its rows, and the epoch with rows before it.
    async fn write_blob(
        &self,
        connection: &mut Connection,
        blob: &Blob,
        of_epoch: [i64; 2],
        first: bool,
    ) -> Result<(), StoreError> {
        let insert = "INSERT INTO gocdnext_flow_blob \
                      (epoch, lane, chunk, chunks, epoch_rows, previous_epoch, checksum, bytes) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
        let chunks = chunks(&blob.bytes);
        let count = index(chunks.len());
        let (epoch, lane, [rows, before]) = (signed(blob.epoch)?, i64::from(blob.lane), of_epoch);
        for (at, bytes) in chunks.into_iter().enumerate() {
            let numbers = [epoch, lane, index(at), count, rows, before];
            let [epoch, lane, chunk, chunks, rows, before] = numbers.map(Number);
            let row = [epoch, lane, chunk, chunks, rows, before, Number(checksum(numbers, bytes)), Bytes(bytes)];
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
    let Commit { previous, manifest, blobs, .. } = commit;
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

/// The newest epoch with blobs, 0 where there is none; fenced where the manifest is not the expected one. It is looked at
/// again in the end: another may move it meanwhile.
pub(super) async fn newest_blobs(
    connection: &mut Connection,
    previous: u64,
    generation: u64,
) -> Result<i64, StoreError> {
    let select = "SELECT blob_epoch FROM gocdnext_flow_manifest WHERE id = 1 AND epoch = $1 AND generation = $2";
    let values = [Number(signed(previous)?), Number(signed(generation)?)];
    let found: Vec<(i64,)> = connection.rows(select, &values).await?;
    found.first().map(|(epoch,)| *epoch).ok_or(StoreError::Fenced)
}

/// While a transaction keeps a file to itself the lease cannot be renewed: it is a sign of life, too.
pub(super) async fn beat(connection: &mut Connection, generation: u64) -> Result<(), StoreError> {
    let beat = "UPDATE gocdnext_flow_lease SET beat = beat + 1 WHERE id = 1 AND generation = $1";
    connection.execute(beat, &[Number(signed(generation)?)]).await?;
    Ok(())
}

pub(super) async fn move_manifest(
    connection: &mut Connection,
    previous: u64,
    manifest: &Manifest,
    blob_epoch: i64,
) -> Result<(), StoreError> {
    let update = "UPDATE gocdnext_flow_manifest SET epoch = $1, stream_time_ms = $2, horizon = $3, details = $4, \
                  committed_at_ms = $5, blob_epoch = $6, checksum = $7 \
                  WHERE id = 1 AND epoch = $8 AND generation = $9";
    let values = [
        Number(signed(manifest.epoch)?),
        Maybe(manifest.stream_time_ms),
        Number(signed(manifest.horizon)?),
        Text(&manifest.details),
        Number(manifest.committed_at_ms),
        Number(blob_epoch),
        Number(sum(manifest, blob_epoch)?),
        Number(signed(previous)?),
        Number(signed(manifest.generation)?),
    ];
    if connection.execute(update, &values).await? == 0 { Err(StoreError::Fenced) } else { Ok(()) }
}

/// The checksum of all but the generation, which a claim moves alone.
fn sum(manifest: &Manifest, blob_epoch: i64) -> Result<i64, StoreError> {
    let Manifest { epoch, stream_time_ms, horizon, details, committed_at_ms, .. } = manifest;
    let known = i64::from(stream_time_ms.is_some());
    let time = stream_time_ms.unwrap_or_default();
    let numbers = [signed(*epoch)?, known, time, signed(*horizon)?, *committed_at_ms, blob_epoch];
    Ok(checksum(numbers, details.as_bytes()))
}

/// With the newest epoch that has blobs.
pub(super) async fn read(connection: &mut Connection) -> Result<(Manifest, u64), StoreError> {
    type Columns = (i64, i64, Option<i64>, i64, String, i64, i64, i64);
    let select = "SELECT epoch, generation, stream_time_ms, horizon, details, committed_at_ms, blob_epoch, checksum \
                  FROM gocdnext_flow_manifest WHERE id = 1";
    let (epoch, generation, stream_time_ms, horizon, details, committed_at_ms, blob_epoch, written) =
        connection.row::<Columns>(MANIFEST, select).await?;
    let manifest = Manifest {
        epoch: unsigned(MANIFEST, epoch)?,
        generation: unsigned(MANIFEST, generation)?,
        stream_time_ms,
        horizon: unsigned(MANIFEST, horizon)?,
        details,
        committed_at_ms,
    };
    let found = sum(&manifest, blob_epoch)?;
    if found != written {
        let reason = format!("its checksum is {found:08x}, and {written:08x} was written");
        return Err(StoreError::damaged(MANIFEST, reason));
    }
    Ok((manifest, unsigned(MANIFEST, blob_epoch)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_of_the_manifest_has_its_checksum() {
        let first = Manifest { details: "{}".to_owned(), ..Manifest::default() };
        let written = sum(&first, 0).unwrap().to_string();
        for schema in [
            include_str!("../../migrations/sqlite/0001_state.sql"),
            include_str!("../../migrations/postgres/0001_state.sql"),
        ] {
            assert!(schema.contains(&written), "{written}");
        }
    }
}
