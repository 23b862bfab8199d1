//! Chunks of whole lines: the reader only looks for line ends, the workers do the rest.
//!
//! Memory is bounded (I6): a line of up to [`MAX_LINE_BYTES`] travels whole (the decoder refuses what is over
//! `max_event_bytes`, and its dead letter holds every byte). Of a longer one the first [`MAX_LINE_BYTES`] are kept in
//! its dead letter, which says how long the line was; the rest is skipped.

use super::{CHUNK_BYTES, Chunk, error::SourceError, input::Input};
use dataflows::{
    feed::{DeadLetter, Partition, Reason},
    time::Millis,
};
use memchr::{memchr, memchr_iter, memmem, memrchr};

/// The hard cap on what is kept of one line: 16 MiB.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// Lines looked at, from the end of a chunk, to peek a time.
const PEEKED_LINES: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Lines {
    input: Input,
    partition: Partition,
    /// The start of a line whose end was not read yet.
    rest: Vec<u8>,
    next_line: i64,
    max_line_bytes: usize,
    ended: bool,
}

impl Lines {
    pub(super) fn new(input: Input, partition: Partition) -> Self {
        Self { input, partition, rest: Vec::new(), next_line: 1, max_line_bytes: MAX_LINE_BYTES, ended: false }
    }

    #[cfg(test)]
    pub(super) fn with_max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// The next lines, in the empty arena given; `None` at the end.
    pub(super) fn next(&mut self, arena: Vec<u8>) -> Result<Option<Chunk>, SourceError> {
        let mut bytes = arena;
        bytes.reserve(CHUNK_BYTES + CHUNK_BYTES / 8);
        bytes.append(&mut self.rest);
        let mut searched = 0;
        let cut = loop {
            self.fill(&mut bytes)?;
            if let Some(end) = memrchr(b'\n', &bytes[searched..]) {
                break searched + end + 1;
            }
            searched = bytes.len();
            if self.ended {
                break bytes.len();
            }
            if bytes.len() >= self.max_line_bytes {
                return self.skip_line(bytes).map(Some);
            }
        };
        if cut == 0 {
            return Ok(None);
        }
        self.rest.extend_from_slice(&bytes[cut..]);
        bytes.truncate(cut);
        if self.next_line == 1 {
            self.check_start(&bytes)?;
        }
        Ok(Some(self.chunk(bytes, Vec::new())))
    }

    /// Reads until there is a chunk, or half as much again of a longer line.
    fn fill(&mut self, bytes: &mut Vec<u8>) -> Result<(), SourceError> {
        if self.ended {
            return Ok(());
        }
        let wanted = CHUNK_BYTES.saturating_sub(bytes.len()).max(CHUNK_BYTES / 2).max(bytes.len() / 2);
        let room = self.max_line_bytes.saturating_sub(bytes.len()).max(1);
        let wanted = wanted.min(room);
        let read = self.input.fill(bytes, wanted);
        let read = read.map_err(|error| self.explain(error, bytes))?;
        self.ended = read < wanted;
        Ok(())
    }

    fn explain(&self, error: std::io::Error, unread: &[u8]) -> SourceError {
        self.input.explain(error, self.next_line - 1 + count_lines(unread, false))
    }

    fn chunk(&mut self, bytes: Vec<u8>, rejected: Vec<DeadLetter>) -> Chunk {
        let lines = count_lines(&bytes, true);
        let first_line = self.next_line;
        self.next_line += lines;
        Chunk { first_line, lines: u64::try_from(lines).unwrap_or(0), reached: peek_time(&bytes), bytes, rejected }
    }

    /// `kept` is the start of a line over the hard cap: skips the rest of it.
    fn skip_line(&mut self, kept: Vec<u8>) -> Result<Chunk, SourceError> {
        let mut length = kept.len();
        while !self.ended && self.rest.is_empty() {
            let mut more = Vec::with_capacity(CHUNK_BYTES + 1);
            self.fill(&mut more)?;
            let end = memchr(b'\n', &more);
            length += end.unwrap_or(more.len());
            if let Some(end) = end {
                self.rest = more.split_off(end + 1);
                break;
            }
        }
        let letter = DeadLetter {
            partition: self.partition,
            offset: self.next_line,
            timestamp: None,
            reason: Reason::TooLarge,
            detail: format!("a line of {length} bytes; only its first {} are kept here", kept.len()),
            key: Vec::new(),
            headers: Vec::new(),
            value: kept,
        };
        self.next_line += 1;
        let empty = Chunk { first_line: self.next_line, rejected: vec![letter], ..Chunk::default() };
        Ok(empty)
    }

    /// A job log taken for events would be rejected line by line: say what is meant at once.
    fn check_start(&self, bytes: &[u8]) -> Result<(), SourceError> {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.starts_with(b"job_id,") || memmem::find(line, b",submit_s,").is_some() && !line.starts_with(b"{") {
            return Err(SourceError::LooksLikeJobLog { file: self.input.name().to_owned() });
        }
        Ok(())
    }
}

/// Lines in `bytes`; a last one without its end counts if `partial`.
fn count_lines(bytes: &[u8], partial: bool) -> i64 {
    let ends = memchr_iter(b'\n', bytes).count();
    let open = partial && bytes.last().is_some_and(|last| *last != b'\n');
    i64::try_from(ends + usize::from(open)).unwrap_or(i64::MAX)
}

/// The `time` that the last lines show first, if one does.
fn peek_time(bytes: &[u8]) -> Option<Millis> {
    let lines = bytes.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.take(PEEKED_LINES).find_map(time_of_line)
}

fn time_of_line(line: &[u8]) -> Option<Millis> {
    let after = &line[memmem::find(line, b"\"time\"")? + 6..];
    let quoted = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let text = &quoted[..memchr(b'"', quoted)?];
    let time: jiff::Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(time.as_millisecond())
}
