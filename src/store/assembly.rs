//! Puts rows together again: chunks to blobs, blobs to epochs, epochs to the log. Pure.
//!
//! Each row tells how many chunks its blob has, how many rows its epoch has and which epoch with rows came before; a
//! checksum covers all of it. What must stay true: nothing is handed out that is not as it was written, and a row, a lane
//! or an epoch that is missing is an error before the end.

use super::{
    BLOB, Blob, StoreError,
    commit::CHUNK_BYTES,
    error::{ChunkId, Damage},
};

/// A row, not yet looked at.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) id: ChunkId,
    /// How many its blob has.
    pub(super) chunks: i64,
    pub(super) epoch_rows: i64,
    /// The epoch with rows before its own; 0: there was none.
    pub(super) previous_epoch: i64,
    pub(super) checksum: i64,
    pub(super) bytes: Vec<u8>,
}

/// Of all that a row holds: its numbers in the order of the columns, then its bytes.
pub(super) fn checksum(numbers: [i64; 6], bytes: &[u8]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(bytes);
    i64::from(hasher.finalize())
}

/// See the module.
#[derive(Debug)]
pub(super) struct Assembly {
    /// Nothing before this is read.
    from: u64,
    blob: Option<Blob>,
    epoch: Option<OpenEpoch>,
}

/// The epoch whose rows come.
#[derive(Clone, Copy, Debug)]
struct OpenEpoch {
    epoch: u64,
    rows: i64,
    seen: i64,
}

impl Assembly {
    pub(super) const fn new(from: u64) -> Self {
        Self { from, blob: None, epoch: None }
    }

    pub(super) const fn from(&self) -> u64 {
        self.from
    }

    /// Adds the next row in the order of the key; the blob, when it is whole.
    pub(super) fn add(&mut self, chunk: Chunk) -> Result<Option<Blob>, StoreError> {
        let Chunk { id, chunks, epoch_rows, previous_epoch, checksum: written, bytes } = chunk;
        let damaged = |reason: String| StoreError::Damaged(Damage { table: BLOB, chunk: Some(id), reason });
        let key = [signed(id.epoch), i64::from(id.lane), i64::from(id.chunk)];
        let found = checksum([key[0], key[1], key[2], chunks, epoch_rows, previous_epoch], &bytes);
        if found != written {
            return Err(damaged(format!("its checksum is {found:08x}, and {written:08x} was written")));
        }
        self.open_epoch(id.epoch, epoch_rows, previous_epoch)?;
        let mut blob = match self.blob.take() {
            Some(blob) if (blob.epoch, blob.lane) != (id.epoch, id.lane) => return Err(cut(&blob)),
            Some(blob) => blob,
            None => Blob { epoch: id.epoch, lane: id.lane, bytes: Vec::new() },
        };
        if id.chunk != chunks_in(&blob) {
            return Err(cut(&blob));
        }
        let last = i64::from(id.chunk) + 1 == chunks;
        if !last && (bytes.len() != CHUNK_BYTES || i64::from(id.chunk) >= chunks) {
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
        self.blob = Some(blob);
        Ok(None)
    }

    /// Counts a row; the first of an epoch ends the one before.
    fn open_epoch(&mut self, epoch: u64, rows: i64, previous: i64) -> Result<(), StoreError> {
        if let Some(open) = self.epoch.as_mut().filter(|open| open.epoch == epoch) {
            open.seen += 1;
            return Ok(());
        }
        self.close_epoch()?;
        let previous = u64::try_from(previous).unwrap_or(0);
        let missing = match self.epoch {
            Some(before) => before.epoch != previous,
            None => previous >= self.from.max(1),
        };
        if missing {
            return Err(absent(previous));
        }
        self.epoch = Some(OpenEpoch { epoch, rows, seen: 1 });
        Ok(())
    }

    fn close_epoch(&self) -> Result<(), StoreError> {
        match (&self.blob, self.epoch) {
            (Some(blob), Some(open)) if blob.epoch == open.epoch => Err(cut(blob)),
            (_, Some(OpenEpoch { epoch, rows, seen })) if rows != seen => {
                Err(StoreError::damaged(BLOB, format!("epoch {epoch} has {seen} of {rows} rows")))
            }
            _ => Ok(()),
        }
    }

    /// No more rows come. `newest`: the last epoch with rows, where that was to be read, too.
    pub(super) fn end(&self, newest: Option<u64>) -> Result<(), StoreError> {
        self.close_epoch()?;
        let read = self.epoch.map_or(0, |open| open.epoch);
        match newest {
            Some(newest) if newest >= self.from.max(1) && newest != read => Err(absent(newest)),
            _ => Ok(()),
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The number of chunks in a blob that lacks its last one: all of them are full.
fn chunks_in(blob: &Blob) -> u32 {
    u32::try_from(blob.bytes.len() / CHUNK_BYTES).unwrap_or(u32::MAX)
}

/// A blob that lacks its next chunk.
fn cut(blob: &Blob) -> StoreError {
    let id = ChunkId { epoch: blob.epoch, lane: blob.lane, chunk: chunks_in(blob) };
    StoreError::Damaged(Damage { table: BLOB, chunk: Some(id), reason: "it is missing".to_owned() })
}

fn absent(epoch: u64) -> StoreError {
    StoreError::damaged(BLOB, format!("all rows of epoch {epoch} are missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of lane 3, summed up.
    fn chunk(epoch: u64, chunk: u32, chunks: i64, bytes: Vec<u8>) -> Chunk {
        let id = ChunkId { epoch, lane: 3, chunk };
        let previous_epoch = signed(epoch) - 1;
        summed(Chunk { id, chunks, epoch_rows: chunks, previous_epoch, checksum: 0, bytes })
    }

    fn summed(chunk: Chunk) -> Chunk {
        let ChunkId { epoch, lane, chunk: number } = chunk.id;
        let key = [signed(epoch), lane.into(), number.into()];
        let numbers = [key[0], key[1], key[2], chunk.chunks, chunk.epoch_rows, chunk.previous_epoch];
        Chunk { checksum: checksum(numbers, &chunk.bytes), ..chunk }
    }

    fn full() -> Vec<u8> {
        vec![1; CHUNK_BYTES]
    }

    /// What is said of these rows, one way or another.
    fn told(rows: Vec<Chunk>) -> String {
        let mut assembly = Assembly::new(1);
        let mut read = || {
            rows.into_iter().try_for_each(|row| assembly.add(row).map(drop))?;
            assembly.end(None)
        };
        read().map_or_else(|error| error.to_string(), |()| "whole".to_owned())
    }

    #[test]
    fn chunks_become_blobs() {
        let mut assembly = Assembly::new(1);
        assert_eq!(assembly.add(chunk(1, 0, 2, full())), Ok(None));
        let blob = assembly.add(chunk(1, 1, 2, vec![2])).unwrap().unwrap();
        assert_eq!((blob.epoch, blob.lane, blob.bytes.len()), (1, 3, CHUNK_BYTES + 1));
        let empty = assembly.add(chunk(2, 0, 1, vec![])).unwrap().unwrap();
        assert_eq!(empty, Blob { epoch: 2, lane: 3, bytes: vec![] });
        assert_eq!(assembly.end(Some(2)), Ok(()));
    }

    #[test]
    fn a_missing_row_is_named_wherever_it_lay() {
        assert!(told(vec![chunk(1, 1, 2, vec![2])]).contains("epoch 1, lane 3, chunk 0: it is missing"));
        assert!(told(vec![chunk(1, 0, 3, full()), chunk(1, 2, 3, vec![2])]).contains("chunk 1: it is missing"));
        assert!(told(vec![chunk(1, 0, 2, full()), chunk(2, 0, 1, vec![])]).contains("epoch 1, lane 3, chunk 1"));
        assert!(told(vec![chunk(1, 0, 2, full())]).contains("epoch 1, lane 3, chunk 1"));
        let alone = summed(Chunk { epoch_rows: 2, ..chunk(1, 0, 1, vec![]) });
        assert!(told(vec![alone.clone()]).contains("epoch 1 has 1 of 2 rows"));
        assert!(told(vec![alone, chunk(2, 0, 1, vec![])]).contains("epoch 1 has 1 of 2 rows"));
    }

    #[test]
    fn a_missing_epoch_is_named() {
        let row = |epoch| chunk(epoch, 0, 1, vec![]);
        assert_eq!(told(vec![row(1), row(2)]), "whole");
        assert!(told(vec![row(1), row(3)]).contains("all rows of epoch 2 are missing"));
        assert!(told(vec![row(2)]).contains("all rows of epoch 1 are missing"));
        let end = |from, rows: Vec<Chunk>, newest| {
            let mut assembly = Assembly::new(from);
            rows.into_iter().for_each(|row| drop(assembly.add(row).unwrap()));
            assembly.end(newest).map_err(|error| error.to_string())
        };
        assert_eq!(end(2, vec![row(2)], Some(2)), Ok(()), "what lies before the first may be gone");
        assert!(end(2, vec![row(2)], Some(3)).unwrap_err().contains("all rows of epoch 3 are missing"));
        assert!(end(2, vec![], Some(2)).unwrap_err().contains("all rows of epoch 2 are missing"));
        assert_eq!(end(3, vec![], Some(2)), Ok(()), "epochs without rows");
        assert_eq!(end(0, vec![], Some(0)), Ok(()), "nothing was ever written");
    }

    #[test]
    fn no_part_of_a_row_changes_unnoticed() {
        let row = || chunk(5, 0, 1, vec![1, 2]);
        let changes: [fn(&mut Chunk); 8] = [
            |row| row.id.epoch = 6,
            |row| row.id.lane = 4,
            |row| row.id.chunk = 1,
            |row| row.chunks = 2,
            |row| row.epoch_rows = 2,
            |row| row.previous_epoch = 3,
            |row| row.checksum ^= 1,
            |row| row.bytes[1] = 3,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = row();
            change(&mut changed);
            let error = Assembly::new(5).add(changed).unwrap_err().to_string();
            assert!(error.contains("checksum"), "change {number}: {error}");
        }
        Assembly::new(5).add(row()).unwrap();
    }

    #[test]
    fn what_no_program_writes_is_refused_though_its_checksum_is_right() {
        assert!(told(vec![chunk(1, 0, 2, vec![2])]).contains("1 bytes are none of 2 chunks"));
        assert!(told(vec![chunk(1, 0, 0, full())]).contains("none of 0 chunks"));
    }
}
