//! Puts rows together again: chunks to blobs, blobs to epochs, epochs to the log. Pure.
//!
//! Each row tells how many chunks its blob has, how many rows its epoch has and which epoch with rows came before; a
//! checksum covers all of it. What must stay true: nothing is handed out that is not as it was written, and a row, a lane
//! or an epoch that is missing is an error before the end.

use super::{
    BLOB, Blob,
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

impl Chunk {
    fn key(&self) -> (u64, u32) {
        (self.id.epoch, self.id.lane)
    }

    fn found(&self) -> i64 {
        let key = [signed(self.id.epoch), i64::from(self.id.lane), i64::from(self.id.chunk)];
        let numbers = [key[0], key[1], key[2], self.chunks, self.epoch_rows, self.previous_epoch];
        checksum(numbers, &self.bytes)
    }

    /// Whether it is as it was written.
    pub(super) fn is_sound(&self) -> bool {
        self.found() == self.checksum
    }

    fn damaged(&self, reason: String) -> Damage {
        Damage { table: BLOB, chunk: Some(self.id), reason }
    }
}

/// See the module. After a [`Damage`] it goes on with the rows behind; of a blob that is damaged nothing is handed out.
#[derive(Debug)]
pub(super) struct Assembly {
    /// Nothing before this is read.
    from: u64,
    blob: Option<Blob>,
    epoch: Option<OpenEpoch>,
    /// The last blob that was found to be damaged.
    spoilt: Option<(u64, u32)>,
}

/// The epoch whose rows come.
#[derive(Clone, Copy, Debug)]
struct OpenEpoch {
    epoch: u64,
    /// `None`: no row of it could be read so far, or it was told already that some are missing.
    rows: Option<i64>,
    seen: i64,
}

impl Assembly {
    pub(super) const fn new(from: u64) -> Self {
        Self { from, blob: None, epoch: None, spoilt: None }
    }

    pub(super) const fn from(&self) -> u64 {
        self.from
    }

    /// Comes to the next row in the order of the key. An error is about rows before it, and told once.
    pub(super) fn approach(&mut self, chunk: &Chunk, sound: bool) -> Result<(), Damage> {
        if let Some(blob) = self.blob.take_if(|blob| (blob.epoch, blob.lane) != chunk.key()) {
            return Err(self.cut(&blob));
        }
        if self.epoch.is_some_and(|open| open.epoch == chunk.id.epoch) {
            return Ok(());
        }
        let closed = self.close_epoch();
        let previous = u64::try_from(chunk.previous_epoch).unwrap_or(0);
        let missing = match self.epoch {
            Some(before) => before.epoch != previous,
            None => previous >= self.from.max(1),
        };
        self.epoch = Some(OpenEpoch { epoch: chunk.id.epoch, rows: None, seen: 0 });
        closed?;
        if sound && missing { Err(absent(previous)) } else { Ok(()) }
    }

    /// Adds the row that it has come to; the blob, when it is whole.
    pub(super) fn add(&mut self, chunk: Chunk, sound: bool) -> Result<Option<Blob>, Damage> {
        self.count(&chunk, sound);
        if !sound {
            self.spoil(chunk.key());
            let (found, written) = (chunk.found(), chunk.checksum);
            return Err(chunk.damaged(format!("its checksum is {found:08x}, and {written:08x} was written")));
        }
        if self.spoilt == Some(chunk.key()) {
            return Ok(None);
        }
        let Chunk { id, chunks, .. } = chunk;
        let mut blob = self.blob.take().unwrap_or(Blob { epoch: id.epoch, lane: id.lane, bytes: Vec::new() });
        if id.chunk != chunks_in(&blob) {
            return Err(self.cut(&blob));
        }
        let last = i64::from(id.chunk) + 1 == chunks;
        if !last && (chunk.bytes.len() != CHUNK_BYTES || i64::from(id.chunk) >= chunks) {
            self.spoil(chunk.key());
            return Err(chunk.damaged(format!("{} bytes are none of {chunks} chunks", chunk.bytes.len())));
        }
        if blob.bytes.is_empty() {
            blob.bytes = chunk.bytes;
        } else {
            blob.bytes.extend_from_slice(&chunk.bytes);
        }
        if last {
            return Ok(Some(blob));
        }
        self.blob = Some(blob);
        Ok(None)
    }

    fn count(&mut self, chunk: &Chunk, sound: bool) {
        let Some(open) = &mut self.epoch else { return };
        open.seen += 1;
        if sound && open.rows.is_none() && self.spoilt.is_none_or(|(epoch, _)| epoch != open.epoch) {
            open.rows = Some(chunk.epoch_rows);
        }
    }

    fn spoil(&mut self, key: (u64, u32)) {
        self.spoilt = Some(key);
        self.blob = None;
    }

    /// A blob that lacks its next chunk.
    fn cut(&mut self, blob: &Blob) -> Damage {
        self.spoil((blob.epoch, blob.lane));
        if let Some(open) = self.epoch.as_mut().filter(|open| open.epoch == blob.epoch) {
            open.rows = None;
        }
        let id = ChunkId { epoch: blob.epoch, lane: blob.lane, chunk: chunks_in(blob) };
        Damage { table: BLOB, chunk: Some(id), reason: "it is missing".to_owned() }
    }

    fn close_epoch(&self) -> Result<(), Damage> {
        match self.epoch {
            Some(OpenEpoch { epoch, rows: Some(rows), seen }) if rows != seen => {
                Err(beside_chunks(format!("epoch {epoch} has {seen} of {rows} rows")))
            }
            _ => Ok(()),
        }
    }

    /// No more rows come. `newest`: the last epoch with rows, where that was to be read, too. Each error is told once.
    pub(super) fn end(&mut self, newest: Option<u64>) -> Result<(), Damage> {
        if let Some(blob) = self.blob.take() {
            return Err(self.cut(&blob));
        }
        let closed = self.close_epoch();
        let read = self.epoch.map_or(0, |open| open.epoch);
        self.epoch = self.epoch.map(|open| OpenEpoch { rows: None, ..open });
        closed?;
        match newest {
            Some(newest) if newest >= self.from.max(1) && newest != read => {
                self.epoch = Some(OpenEpoch { epoch: newest, rows: None, seen: 0 });
                Err(absent(newest))
            }
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

fn absent(epoch: u64) -> Damage {
    beside_chunks(format!("all rows of epoch {epoch} are missing"))
}

/// Of no chunk that is there.
fn beside_chunks(reason: String) -> Damage {
    Damage { table: BLOB, chunk: None, reason }
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

    fn add(assembly: &mut Assembly, row: Chunk) -> Result<Option<Blob>, Damage> {
        let sound = row.is_sound();
        assembly.approach(&row, sound)?;
        assembly.add(row, sound)
    }

    /// What is said of these rows, one way or another.
    fn told(rows: Vec<Chunk>) -> String {
        let mut assembly = Assembly::new(1);
        let read = || {
            rows.into_iter().try_for_each(|row| add(&mut assembly, row).map(drop))?;
            assembly.end(None)
        };
        read().map_or_else(|error| error.to_string(), |()| "whole".to_owned())
    }

    /// All that is said of these rows, and the epochs of the blobs that are handed out all the same.
    fn all_told(rows: Vec<Chunk>, newest: u64) -> (Vec<String>, Vec<u64>) {
        let (mut assembly, mut told, mut epochs) = (Assembly::new(1), vec![], vec![]);
        for row in rows {
            let sound = row.is_sound();
            while let Err(error) = assembly.approach(&row, sound) {
                told.push(error.to_string());
            }
            match assembly.add(row, sound) {
                Ok(blob) => epochs.extend(blob.map(|blob| blob.epoch)),
                Err(error) => told.push(error.to_string()),
            }
        }
        while let Err(error) = assembly.end(Some(newest)) {
            told.push(error.to_string());
        }
        let told = told.iter().map(|told| told.rsplit("blob").next().unwrap_or(told).to_owned()).collect();
        (told, epochs)
    }

    #[test]
    fn behind_damage_it_goes_on_and_names_each_once() {
        let wrong = |chunk: Chunk| Chunk { bytes: vec![9], ..chunk };
        let row = |epoch| chunk(epoch, 0, 1, vec![]);
        let (told, whole) = all_told(vec![wrong(row(1)), row(2), wrong(row(3)), row(4)], 4);
        assert_eq!((told.len(), whole), (2, vec![2, 4]), "{told:?}");
        let (told, whole) =
            all_told(vec![wrong(chunk(1, 0, 3, vec![])), chunk(1, 1, 3, full()), chunk(1, 2, 3, vec![]), row(2)], 2);
        assert_eq!((told.len(), whole), (1, vec![2]), "{told:?}");
        let (told, whole) = all_told(vec![chunk(1, 0, 3, full()), chunk(1, 2, 3, vec![]), row(2)], 2);
        assert_eq!((told, whole), (vec![", epoch 1, lane 3, chunk 1: it is missing".to_owned()], vec![2]));
        let (told, whole) = all_told(vec![chunk(1, 0, 2, full()), row(2), row(4)], 5);
        let expected = [
            ", epoch 1, lane 3, chunk 1: it is missing",
            ": all rows of epoch 3 are missing",
            ": all rows of epoch 5 are missing",
        ];
        assert_eq!((told, whole), (expected.map(str::to_owned).to_vec(), vec![2, 4]));
    }

    #[test]
    fn chunks_become_blobs() {
        let mut assembly = Assembly::new(1);
        assert_eq!(add(&mut assembly, chunk(1, 0, 2, full())), Ok(None));
        let blob = add(&mut assembly, chunk(1, 1, 2, vec![2])).unwrap().unwrap();
        assert_eq!((blob.epoch, blob.lane, blob.bytes.len()), (1, 3, CHUNK_BYTES + 1));
        let empty = add(&mut assembly, chunk(2, 0, 1, vec![])).unwrap().unwrap();
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
            for row in rows {
                add(&mut assembly, row).unwrap();
            }
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
            let error = add(&mut Assembly::new(5), changed).unwrap_err().to_string();
            assert!(error.contains("checksum"), "change {number}: {error}");
        }
        add(&mut Assembly::new(5), row()).unwrap();
    }

    #[test]
    fn what_no_program_writes_is_refused_though_its_checksum_is_right() {
        assert!(told(vec![chunk(1, 0, 2, vec![2])]).contains("1 bytes are none of 2 chunks"));
        assert!(told(vec![chunk(1, 0, 0, full())]).contains("none of 0 chunks"));
    }
}
