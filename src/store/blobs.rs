//! Reading the log of blobs, and deleting what lies below the horizon.
//!
//! Rows come in the order of their key and in pages of bounded size, each page a statement of its own: nothing stays open
//! between two calls, and after a transient error the next call goes on where this one could not. What must stay true:
//! no blob is handed out that is not whole and as it was written.

use super::{
    BLOB, Blob, Store, StoreError,
    connection::{Connection, Value::Number},
    error::{ChunkId, Damage},
    probe::Step,
    signed, unsigned,
};
use std::collections::VecDeque;

/// Bytes of a page, unless a single chunk is larger.
const PAGE_BYTES: i64 = 8 << 20;
/// Rows of a page, and of a deletion.
const PAGE_ROWS: i64 = 512;

/// A row's key as the database has it.
type Key = (i64, i64, i64);

/// A row, not yet looked at.
#[derive(Debug)]
struct Chunk {
    id: ChunkId,
    /// How many chunks its blob has.
    chunks: i64,
    checksum: i64,
    bytes: Vec<u8>,
}

/// The blobs of some epochs, by epoch and lane. Memory: one blob and one page.
#[derive(Debug)]
pub struct Blobs<'a> {
    store: &'a Store,
    last: Key,
    to_epoch: i64,
    page: VecDeque<Chunk>,
    /// The blob being put together.
    open: Option<Blob>,
}

impl Store {
    /// The blobs of the epochs from `from_epoch` to `to_epoch`, both included.
    #[must_use]
    pub fn blobs(&self, from_epoch: u64, to_epoch: u64) -> Blobs<'_> {
        let bound = |epoch| i64::try_from(epoch).unwrap_or(i64::MAX);
        let last = (bound(from_epoch), -1, -1);
        Blobs { store: self, last, to_epoch: bound(to_epoch), page: VecDeque::new(), open: None }
    }

    /// Deletes some of the oldest blobs of epochs below `below`, at most about `max_bytes` of them but at least one
    /// chunk; never one at or above the manifest's horizon. The number of chunks it has deleted; 0: none is left.
    pub async fn collect(&self, below: u64, max_bytes: u64) -> Result<u64, StoreError> {
        self.probe.at(Step::BeforeCollect).await?;
        let mut lent = self.writes.lend().await?;
        let below = below.min(super::commit::read(&mut lent.connection).await?.horizon);
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
    /// The next blob, whole and checked. After a transient error it may be called again.
    pub async fn next(&mut self) -> Result<Option<Blob>, StoreError> {
        loop {
            if self.page.is_empty() && !self.load().await? {
                return match self.open.take() {
                    Some(blob) => Err(missing(&blob, chunks_in(&blob))),
                    None => Ok(None),
                };
            }
            while let Some(chunk) = self.page.pop_front() {
                if let Some(blob) = add(&mut self.open, chunk)? {
                    return Ok(Some(blob));
                }
            }
        }
    }

    /// Fetches the next page; false: there is none.
    async fn load(&mut self) -> Result<bool, StoreError> {
        self.store.probe.at(Step::BeforeBlobs).await?;
        let mut lent = self.store.reads.lend().await?;
        let sizes = sizes(&mut lent.connection, self.last, self.to_epoch).await?;
        let end = page_end(&sizes, PAGE_BYTES);
        if let Some(end) = end {
            self.page = page(&mut lent.connection, self.last, end).await?;
            self.last = end;
        }
        lent.give_back();
        Ok(end.is_some())
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
    type Columns = (i64, i64, i64, i64, i64, Vec<u8>);
    let select = "SELECT epoch, lane, chunk, chunks, checksum, bytes FROM gocdnext_flow_blob \
                  WHERE (epoch, lane, chunk) > ($1, $2, $3) AND (epoch, lane, chunk) <= ($4, $5, $6) \
                  ORDER BY epoch, lane, chunk";
    let values = [after.0, after.1, after.2, end.0, end.1, end.2].map(Number);
    let rows: Vec<Columns> = connection.rows(select, &values).await?;
    let chunk = |(epoch, lane, chunk, chunks, checksum, bytes): Columns| {
        let id = ChunkId { epoch: unsigned(BLOB, epoch)?, lane: small(lane)?, chunk: small(chunk)? };
        Ok(Chunk { id, chunks, checksum, bytes })
    };
    rows.into_iter().map(chunk).collect()
}

fn small(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::damaged(BLOB, format!("{number} is no lane and no chunk")))
}

/// Adds a chunk to the blob it belongs to; the blob, when it is whole.
fn add(open: &mut Option<Blob>, chunk: Chunk) -> Result<Option<Blob>, StoreError> {
    let Chunk { id, chunks, checksum, bytes } = chunk;
    let damaged = |reason: String| StoreError::Damaged(Damage { table: BLOB, chunk: Some(id), reason });
    let mut blob = match open.take() {
        Some(blob) if (blob.epoch, blob.lane) != (id.epoch, id.lane) => return Err(missing(&blob, chunks_in(&blob))),
        Some(blob) => blob,
        None => Blob { epoch: id.epoch, lane: id.lane, bytes: Vec::new() },
    };
    let expected = chunks_in(&blob);
    if id.chunk != expected {
        return Err(missing(&blob, expected));
    }
    let found = crc32fast::hash(&bytes);
    if i64::from(found) != checksum {
        return Err(damaged(format!("its checksum is {found:08x}, and {checksum:08x} was written")));
    }
    let last = i64::from(id.chunk) + 1 == chunks;
    if !last && (bytes.len() != super::commit::CHUNK_BYTES || i64::from(id.chunk) >= chunks) {
        return Err(damaged(format!("{} bytes are none of {chunks} chunks", bytes.len())));
    }
    if blob.bytes.is_empty() {
        blob.bytes = bytes;
    } else {
        blob.bytes.extend_from_slice(&bytes);
    }
    if last {
        return Ok(Some(blob));
    }
    *open = Some(blob);
    Ok(None)
}

/// The number of chunks in a blob that lacks its last one: all of them are full.
fn chunks_in(blob: &Blob) -> u32 {
    u32::try_from(blob.bytes.len() / super::commit::CHUNK_BYTES).unwrap_or(u32::MAX)
}

fn missing(blob: &Blob, chunk: u32) -> StoreError {
    let id = ChunkId { epoch: blob.epoch, lane: blob.lane, chunk };
    StoreError::Damaged(Damage { table: BLOB, chunk: Some(id), reason: "it is missing".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::commit::CHUNK_BYTES;

    fn chunk(epoch: u64, chunk: u32, chunks: i64, bytes: Vec<u8>) -> Chunk {
        let checksum = i64::from(crc32fast::hash(&bytes));
        Chunk { id: ChunkId { epoch, lane: 3, chunk }, chunks, checksum, bytes }
    }

    #[test]
    fn chunks_become_blobs() {
        let mut open = None;
        assert_eq!(add(&mut open, chunk(1, 0, 2, vec![1; CHUNK_BYTES])), Ok(None));
        let blob = add(&mut open, chunk(1, 1, 2, vec![2])).unwrap().unwrap();
        assert_eq!((blob.epoch, blob.lane, blob.bytes.len()), (1, 3, CHUNK_BYTES + 1));
        let empty = add(&mut open, chunk(2, 0, 1, vec![])).unwrap().unwrap();
        assert_eq!(empty, Blob { epoch: 2, lane: 3, bytes: vec![] });
    }

    #[test]
    fn what_is_not_as_it_was_written_is_named() {
        let full = || vec![1; CHUNK_BYTES];
        let named = |result: Result<Option<Blob>, StoreError>| match result {
            Err(StoreError::Damaged(Damage { chunk: Some(id), .. })) => (id.epoch, id.chunk),
            other => panic!("{other:?}"),
        };
        // the first is missing; one between; the last, seen by the next blob
        assert_eq!(named(add(&mut None, chunk(1, 1, 2, vec![2]))), (1, 0));
        let mut open = None;
        add(&mut open, chunk(1, 0, 3, full())).unwrap();
        assert_eq!(named(add(&mut open, chunk(1, 2, 3, vec![2]))), (1, 1));
        let mut open = None;
        add(&mut open, chunk(1, 0, 2, full())).unwrap();
        assert_eq!(named(add(&mut open, chunk(2, 0, 1, vec![2]))), (1, 1));
        // a wrong checksum, a chunk that is short, more chunks than there should be
        let wrong = Chunk { checksum: 5, ..chunk(1, 0, 1, vec![2]) };
        assert_eq!(named(add(&mut None, wrong)), (1, 0));
        assert_eq!(named(add(&mut None, chunk(1, 0, 2, vec![2]))), (1, 0));
        assert_eq!(named(add(&mut None, chunk(1, 0, 0, full()))), (1, 0));
    }

    #[test]
    fn a_page_ends_before_it_is_too_large_but_is_never_empty() {
        let sizes = [((1, 0, 0), 5), ((1, 0, 1), 5), ((2, 0, 0), 5)];
        assert_eq!(page_end(&sizes, 10), Some((1, 0, 1)));
        assert_eq!(page_end(&sizes, 1), Some((1, 0, 0)));
        assert_eq!(page_end(&sizes, 100), Some((2, 0, 0)));
        assert_eq!(page_end(&[], 100), None);
    }
}
