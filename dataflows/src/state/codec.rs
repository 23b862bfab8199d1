//! Numbers to bytes and back: ids as they are, all else as variable-length integers.

use super::Unusable;
use crate::time::Millis;

/// Appends values.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    /// Where the sweep began to write.
    sweep: Option<usize>,
    spared: usize,
}

impl From<Vec<u8>> for Writer {
    /// Goes on after these.
    fn from(out: Vec<u8>) -> Self {
        Self { out, ..Self::default() }
    }
}

impl Writer {
    /// Makes room for so many more bytes at once: what grows while it is written is copied again and again.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// From here on the sweep writes, which tells nothing new.
    pub fn sweeps(&mut self) {
        self.sweep.get_or_insert(self.out.len());
    }

    /// Bytes that the sweep has written.
    #[must_use]
    pub fn swept(&self) -> usize {
        self.sweep.map_or(0, |from| self.out.len() - from)
    }

    /// The sweep passes over something of about so many bytes, which was written in its cycle.
    pub fn spares(&mut self, bytes: usize) {
        self.spared += bytes;
    }

    /// About how many bytes the sweep passed over.
    #[must_use]
    pub const fn spared(&self) -> usize {
        self.spared
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.out.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u128(&mut self, value: u128) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Seven bits a byte, the lowest first.
    #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time is meant")]
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// Small numbers of either sign are short.
    #[expect(clippy::cast_sign_loss, reason = "the sign goes into the lowest bit")]
    pub fn signed(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// A time, as its distance from another.
    pub fn time(&mut self, time: Millis, from: Millis) {
        self.signed(time.wrapping_sub(from));
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.bytes(text.as_bytes());
    }
}

/// Takes values in the order they were written.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Unusable> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or_else(|| Unusable::damaged("an entry is cut short"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unusable> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(|| Unusable::damaged("an entry is cut short"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub fn u8(&mut self) -> Result<u8, Unusable> {
        self.array().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16, Unusable> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Unusable> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Unusable> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn u128(&mut self) -> Result<u128, Unusable> {
        self.array().map(u128::from_le_bytes)
    }

    pub fn varint(&mut self) -> Result<u64, Unusable> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Unusable::damaged("a number without an end"))
    }

    /// A varint that fits into 32 bits.
    pub fn small(&mut self) -> Result<u32, Unusable> {
        u32::try_from(self.varint()?).map_err(|_| Unusable::damaged("a number beyond 32 bits"))
    }

    /// A varint that counts something in memory.
    pub fn count(&mut self) -> Result<usize, Unusable> {
        usize::try_from(self.varint()?).map_err(|_| Unusable::damaged("a length beyond what there is"))
    }

    #[expect(clippy::cast_possible_wrap, reason = "the lowest bit is the sign")]
    pub fn signed(&mut self) -> Result<i64, Unusable> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub fn time(&mut self, from: Millis) -> Result<Millis, Unusable> {
        Ok(self.signed()?.wrapping_add(from))
    }

    pub fn text(&mut self) -> Result<&'a str, Unusable> {
        let len = self.count()?;
        std::str::from_utf8(self.bytes(len)?).map_err(|_| Unusable::damaged("a name that is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(values: Vec<(u64, i64, i64, u128, String)>) {
            let mut writer = Writer::default();
            for (number, time, from, id, text) in &values {
                writer.varint(*number);
                writer.time(*time, *from);
                writer.u128(*id);
                writer.text(text);
            }
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            for (number, time, from, id, text) in &values {
                prop_assert_eq!(reader.varint(), Ok(*number));
                prop_assert_eq!(reader.time(*from), Ok(*time));
                prop_assert_eq!(reader.u128(), Ok(*id));
                prop_assert_eq!(reader.text(), Ok(text.as_str()));
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while !reader.is_empty() && reader.varint().and_then(|_| reader.text()).is_ok() {}
        }
    }
}
