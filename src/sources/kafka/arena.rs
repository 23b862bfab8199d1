//! Records copied into arenas: one allocation a batch, and the client's own memory is free again at once.

use dataflows::{
    feed::{Batch, KafkaRecord, Partition, Records},
    time::Millis,
};
use std::time::{Duration, Instant};

/// A batch is handed on when its arena has grown to this.
const ARENA_BYTES: usize = 256 << 10;
/// Or when its first record has waited this long.
const MAX_WAIT: Duration = Duration::from_millis(10);

/// One record, as the client lends it.
#[derive(Debug)]
pub struct Lent<'a, H> {
    pub partition: Partition,
    pub offset: i64,
    pub timestamp: Option<Millis>,
    pub key: &'a [u8],
    pub headers: H,
    pub value: &'a [u8],
}

/// The batch that is being filled.
#[derive(Debug, Default)]
pub struct Arena {
    bytes: Vec<u8>,
    records: Vec<KafkaRecord>,
    since: Option<Instant>,
}

impl Arena {
    /// Copies a record in. A record is at most what a broker may send (2 GiB), a batch that plus one arena.
    pub fn push<'a>(&mut self, record: Lent<'a, impl Iterator<Item = (&'a [u8], &'a [u8])>>) {
        if self.since.is_none() {
            self.bytes.reserve(ARENA_BYTES + ARENA_BYTES / 8);
            self.since = Some(Instant::now());
        }
        let key_start = self.position();
        self.bytes.extend_from_slice(record.key);
        let headers_start = self.position();
        for (name, value) in record.headers {
            self.push_header(name, value);
        }
        let value_start = self.position();
        self.bytes.extend_from_slice(record.value);
        self.records.push(KafkaRecord {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key_start,
            headers_start,
            value_start,
            value_end: self.position(),
        });
    }

    /// Name length (u16 LE), name, value length (u32 LE), value. Kafka's own names are at most 32 KiB long.
    fn push_header(&mut self, name: &[u8], value: &[u8]) {
        let name = &name[..name.len().min(usize::from(u16::MAX))];
        let name_bytes = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let value_bytes = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&name_bytes.to_le_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(&value_bytes.to_le_bytes());
        self.bytes.extend_from_slice(value);
    }

    fn position(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    /// In it so far.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= ARENA_BYTES
    }

    /// How long the batch may still wait; `None`: there is nothing in it.
    #[must_use]
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        self.since.map(|since| (since + MAX_WAIT).saturating_duration_since(now))
    }

    /// The batch, if there is anything in it; the next one is filled into `room`, which is empty.
    pub fn take(&mut self, read_at: Option<Millis>, room: impl FnOnce() -> Vec<u8>) -> Option<Batch> {
        self.since.take()?;
        let next = Self { bytes: room(), records: Vec::with_capacity(self.records.len()), since: None };
        let Self { bytes, records, .. } = std::mem::replace(self, next);
        let partition = records.first()?.partition;
        Some(Batch { partition, bytes, records: Records::Kafka(records), read_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lent<'a>(
        offset: i64,
        headers: &'a [(&'a [u8], &'a [u8])],
        value: &'a [u8],
    ) -> Lent<'a, impl Iterator<Item = (&'a [u8], &'a [u8])>> {
        let headers = headers.iter().copied();
        Lent { partition: 3, offset, timestamp: Some(7), key: b"key", headers, value }
    }

    #[test]
    fn a_record_lies_in_the_arena_as_the_feed_describes_it() {
        let mut arena = Arena::default();
        assert!(arena.take(None, Vec::new).is_none());
        arena.push(lent(1, &[], b"first"));
        arena.push(lent(2, &[(b"ce_id", b"a"), (b"\xff", b"")], b""));
        let batch = arena.take(Some(9), Vec::new).unwrap();
        assert_eq!(batch.read_at, Some(9));
        let Records::Kafka(records) = batch.records else { panic!("Kafka records") };
        assert_eq!(records.len(), 2);
        let second = records[1];
        let slice = |from: u32, to: u32| &batch.bytes[from as usize..to as usize];
        assert_eq!(slice(records[0].value_start, records[0].value_end), b"first");
        assert_eq!(slice(second.key_start, second.headers_start), b"key");
        let headers = slice(second.headers_start, second.value_start);
        assert_eq!(headers, b"\x05\0ce_id\x01\0\0\0a\x01\0\xff\0\0\0\0");
        assert_eq!((second.offset, second.timestamp, second.value_end), (2, Some(7), second.value_start));
        assert!(arena.patience(Instant::now()).is_none(), "the next batch starts empty");
    }

    #[test]
    fn it_is_full_at_its_size() {
        let mut arena = Arena::default();
        arena.push(lent(1, &[], &Box::<[u8]>::from(vec![0; ARENA_BYTES - 4])));
        assert!(!arena.is_full());
        arena.push(lent(2, &[], b""));
        assert!(arena.is_full());
    }
}
