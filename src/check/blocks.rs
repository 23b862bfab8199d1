//! A file as blocks of whole lines, of bounded size even where a line has no end.

use crate::sources::files::{Input, SourceError};
use std::io::{self, BufRead, BufReader, Read};

/// A block ends with the line that reaches this.
const BLOCK_BYTES: usize = 4 << 20;

/// See the module.
pub(super) struct Blocks {
    reader: BufReader<Input>,
    block: Vec<u8>,
    /// Longer lines are cut: one byte more than the limit, so that the decoder sees they are over it.
    max_line_bytes: usize,
}

impl Blocks {
    pub(super) fn new(input: Input, max_event_bytes: usize) -> Self {
        let reader = BufReader::with_capacity(256 << 10, input);
        Self { reader, block: Vec::new(), max_line_bytes: max_event_bytes.saturating_add(1) }
    }

    /// The next lines, each with its newline (the file's last may have none); `None` at the end of the file.
    /// `lines_before` tells where reading failed.
    pub(super) fn next(&mut self, lines_before: u64) -> Result<Option<&[u8]>, SourceError> {
        self.block.clear();
        if let Err(error) = self.fill() {
            let whole = memchr::memchr_iter(b'\n', &self.block).count();
            let line = lines_before.saturating_add(whole as u64);
            return Err(self.reader.get_ref().explain(error, i64::try_from(line).unwrap_or(i64::MAX)));
        }
        Ok((!self.block.is_empty()).then_some(&self.block))
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.block.len() < BLOCK_BYTES {
            let limit = u64::try_from(self.max_line_bytes).unwrap_or(u64::MAX);
            let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.block)?;
            if read == 0 {
                break;
            }
            if read == self.max_line_bytes && self.block.last() != Some(&b'\n') {
                self.reader.skip_until(b'\n')?;
                self.block.push(b'\n');
            }
        }
        Ok(())
    }
}

/// Cuts a block after newlines into parts of about `bytes` each.
pub(super) fn parts(block: &[u8], bytes: usize) -> Vec<&[u8]> {
    let mut parts = Vec::with_capacity(block.len() / bytes + 1);
    let mut rest = block;
    while rest.len() > bytes {
        let Some(newline) = memchr::memchr(b'\n', &rest[bytes..]) else {
            break;
        };
        let (part, after) = rest.split_at(bytes + newline + 1);
        parts.push(part);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}
