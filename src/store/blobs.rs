//! Reading the log of blobs, and deleting what lies below the horizon.
//!
//! Rows come in the order of their key and in pages of bounded size, each page a statement of its own: nothing stays open
//! between two calls, and after a transient error the next call goes on where this one could not. What must stay true:
//! no blob is handed out that is not whole and as it was written.

use super::{
    BLOB, Blob, Manifest, Store, StoreError,
    assembly::{Assembly, Chunk},
    commit,
    error::{ChunkId, Damage},
    probe::Step,
    signed, unsigned,
};
use crate::database::connection::{Connection, Value::Number};
use std::collections::VecDeque;

/// The name of the table, as damage is told.
pub const TABLE: &str = BLOB;

/// Bytes of a page, unless a single chunk is larger.
const PAGE_BYTES: i64 = 8 << 20;
/// Rows of a page, and of a deletion.
const PAGE_ROWS: i64 = 512;

/// A row's key as the database has it.
type Key = (i64, i64, i64);

/// The blobs of some epochs, by epoch and lane.
#[derive(Debug)]
pub struct Blobs<'a> {
    store: &'a Store,
    from_epoch: u64,
    to_epoch: u64,
    /// Once the manifest is read.
    cursor: Option<Cursor>,
}

/// Where reading has come to. Memory: one blob and one page.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The last key that was read.
    last: Key,
    to_epoch: i64,
    /// The newest epoch with rows, where it lies between the bounds.
    newest: Option<u64>,
    page: VecDeque<Chunk>,
    assembly: Assembly,
}

impl Store {
    /// The blobs of the epochs from `from_epoch` to `to_epoch`, both included; none below the horizon, where some may be
    /// deleted, and none that is not committed yet.
    #[must_use]
    pub fn blobs(&self, from_epoch: u64, to_epoch: u64) -> Blobs<'_> {
        Blobs { store: self, from_epoch, to_epoch, cursor: None }
    }

    /// Deletes some of the oldest blobs of epochs below `below`, at most about `max_bytes` of them but at least one
    /// chunk; never one at or above the manifest's horizon. The number of chunks it has deleted; 0: none is left.
    pub async fn collect(&self, below: u64, max_bytes: u64) -> Result<u64, StoreError> {
        self.probe.at(Step::BeforeCollect).await?;
        let mut lent = self.writes.lend().await?;
        let below = below.min(commit::read(&mut lent.connection).await?.0.horizon);
        let sizes = sizes(&mut lent.connection, (-1, -1, -1), signed(below)? - 1).await?;
        let max_bytes = i64::try_from(max_bytes).unwrap_or(i64::MAX);
        let deleted = match page_end(&sizes, max_bytes) {
            Some((epoch, lane, chunk)) => {
                let delete = "DELETE FROM gocdnext_flow_blob WHERE (epoch, lane, chunk) <= ($1, $2, $3)";
                lent.connection.execute(delete, &[Number(epoch), Number(lane), Number(chunk)]).await?
            }
            None => 0,
        };
        lent.give_back();
        self.probe.at(Step::Collected).await?;
        Ok(deleted)
    }
}

impl Blobs<'_> {
    /// The next blob, whole and checked. After a transient error it may be called again. Fenced: whoever writes this state
    /// has deleted some of what was to be read.
    pub async fn next(&mut self) -> Result<Option<Blob>, StoreError> {
        match self.read().await {
            Err(StoreError::Damaged(damage)) => Err(self.explained(damage).await),
            done => done,
        }
    }

    async fn read(&mut self) -> Result<Option<Blob>, StoreError> {
        loop {
            let found = self.load().await?;
            let Some(cursor) = &mut self.cursor else { return Ok(None) };
            if !found {
                cursor.end()?;
                return Ok(None);
            }
            if let Some(blob) = cursor.take()? {
                return Ok(Some(blob));
            }
        }
    }

    /// Fetches the next page where none is there; false: there is none.
    async fn load(&mut self) -> Result<bool, StoreError> {
        if self.cursor.as_ref().is_some_and(|cursor| !cursor.page.is_empty()) {
            return Ok(true);
        }
        self.store.probe.at(Step::BeforeBlobs).await?;
        let mut lent = self.store.reads.lend().await?;
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            none => {
                let (manifest, newest) = commit::read(&mut lent.connection).await?;
                none.insert(Cursor::new(&manifest, newest, self.from_epoch, self.to_epoch)?)
            }
        };
        let found = cursor.load(&mut lent.connection).await?;
        lent.give_back();
        Ok(found)
    }

    /// Where another has deleted what lies below a later horizon in the meantime, that is no damage.
    async fn explained(&self, damage: Damage) -> StoreError {
        let Some(cursor) = &self.cursor else { return StoreError::Damaged(damage) };
        match self.store.manifest().await {
            Ok(manifest) if cursor.assembly.from() < manifest.horizon => StoreError::Fenced,
            _ => StoreError::Damaged(damage),
        }
    }
}

impl Cursor {
    /// `newest`: the newest epoch with rows, by the manifest.
    pub(super) fn new(manifest: &Manifest, newest: u64, from_epoch: u64, to_epoch: u64) -> Result<Self, StoreError> {
        let from = from_epoch.max(manifest.horizon);
        let to_epoch = signed(to_epoch.min(manifest.epoch))?;
        let last = (i64::try_from(from).unwrap_or(i64::MAX), -1, -1);
        let newest = Some(newest).filter(|newest| signed(*newest).is_ok_and(|newest| newest <= to_epoch));
        Ok(Self { last, to_epoch, newest, page: VecDeque::new(), assembly: Assembly::new(from) })
    }

    /// The next blob, all over one connection, or what is damaged before it and is passed over. An error is of the database:
    /// it cannot be read on.
    pub(super) async fn next(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Option<Result<Blob, Damage>>, StoreError> {
        loop {
            if self.page.is_empty() && !self.load(connection).await? {
                return Ok(self.end().err().map(Err));
            }
            if let Some(found) = self.take().transpose() {
                return Ok(Some(found));
            }
        }
    }

    /// Fetches the next page; false: there is none.
    async fn load(&mut self, connection: &mut Connection) -> Result<bool, StoreError> {
        let sizes = sizes(connection, self.last, self.to_epoch).await?;
        let end = page_end(&sizes, PAGE_BYTES);
        if let Some(end) = end {
            self.page = page(connection, self.last, end).await?;
            self.last = end;
        }
        Ok(end.is_some())
    }

    /// The next blob that the page makes whole. A row is taken from the page once there is nothing to say about those
    /// before it.
    fn take(&mut self) -> Result<Option<Blob>, Damage> {
        while let Some(chunk) = self.page.front() {
            let sound = chunk.is_sound();
            self.assembly.approach(chunk, sound)?;
            let added = self.page.pop_front().map(|chunk| self.assembly.add(chunk, sound));
            if let Some(blob) = added.transpose()?.flatten() {
                return Ok(Some(blob));
            }
        }
        Ok(None)
    }

    fn end(&mut self) -> Result<(), Damage> {
        self.assembly.end(self.newest)
    }
}

/// The next rows' keys and sizes.
async fn sizes(connection: &mut Connection, after: Key, to_epoch: i64) -> Result<Vec<(Key, i64)>, StoreError> {
    let select = "SELECT epoch, lane, chunk, CAST(length(bytes) AS BIGINT) FROM gocdnext_flow_blob \
                  WHERE (epoch, lane, chunk) > ($1, $2, $3) AND epoch <= $4 \
                  ORDER BY epoch, lane, chunk LIMIT $5";
    let (epoch, lane, chunk) = after;
    let values = [Number(epoch), Number(lane), Number(chunk), Number(to_epoch), Number(PAGE_ROWS)];
    let rows: Vec<(i64, i64, i64, i64)> = connection.rows(select, &values).await?;
    Ok(rows.into_iter().map(|(epoch, lane, chunk, bytes)| ((epoch, lane, chunk), bytes)).collect())
}

/// The last key of those that fit into `max_bytes`, the first in any case.
fn page_end(sizes: &[(Key, i64)], max_bytes: i64) -> Option<Key> {
    let mut sum = 0_i64;
    let mut end = None;
    for (key, bytes) in sizes {
        sum = sum.saturating_add(*bytes);
        if sum > max_bytes && end.is_some() {
            break;
        }
        end = Some(*key);
    }
    end
}

async fn page(connection: &mut Connection, after: Key, end: Key) -> Result<VecDeque<Chunk>, StoreError> {
    type Columns = (i64, i64, i64, i64, i64, i64, i64, Vec<u8>);
    let select = "SELECT epoch, lane, chunk, chunks, epoch_rows, previous_epoch, checksum, bytes \
                  FROM gocdnext_flow_blob \
                  WHERE (epoch, lane, chunk) > ($1, $2, $3) AND (epoch, lane, chunk) <= ($4, $5, $6) \
                  ORDER BY epoch, lane, chunk";
    let values = [after.0, after.1, after.2, end.0, end.1, end.2].map(Number);
    let rows: Vec<Columns> = connection.rows(select, &values).await?;
    let chunk = |(epoch, lane, chunk, chunks, epoch_rows, previous_epoch, checksum, bytes): Columns| {
        let id = ChunkId { epoch: unsigned(BLOB, epoch)?, lane: small(lane)?, chunk: small(chunk)? };
        Ok(Chunk { id, chunks, epoch_rows, previous_epoch, checksum, bytes })
    };
    rows.into_iter().map(chunk).collect()
}

fn small(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::damaged(BLOB, format!("{number} is no lane and no chunk")))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_page_ends_before_it_is_too_large_but_is_never_empty() {
        let sizes = [((1, 0, 0), 5), ((1, 0, 1), 5), ((2, 0, 0), 5)];
        assert_eq!(page_end(&sizes, 10), Some((1, 0, 1)));
        assert_eq!(page_end(&sizes, 1), Some((1, 0, 0)));
        assert_eq!(page_end(&sizes, 100), Some((2, 0, 0)));
        assert_eq!(page_end(&[], 100), None);
    }
}
