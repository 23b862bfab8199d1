//! How far each file was read, kept with the state, so that a later replay goes on there.
//!
//! A file is known by its place (standard input by its name) and told from another one by a checksum over the lines that
//! were read of it: one that was replaced or cut short is refused, one that has grown is read on. A last line without its
//! end counts as if it had one, for the file may grow by that; one that is itself continued later makes another file.

use super::{Chunk, SourceError};
use crc32fast::Hasher;
use dataflows::feed::Partition;
use memchr::memchr_iter;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// The marks by partition.
pub type Marks = BTreeMap<Partition, Mark>;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The file's absolute name.
    pub file: String,
    /// The line to be read next, from 1.
    pub next_line: i64,
    /// Lines or rows that the reader itself has refused.
    pub refused: u64,
    /// CRC-32 of the lines that were handed out, each with its end.
    pub crc: u32,
    /// It was read to its end.
    pub ended: bool,
}

impl Mark {
    pub(super) const fn new(file: String) -> Self {
        Self { file, next_line: 1, refused: 0, crc: 0, ended: false }
    }

    /// Whether as much was read as another mark has.
    pub(super) const fn reaches(&self, other: &Self) -> bool {
        self.next_line >= other.next_line && self.refused >= other.refused
    }

    /// Moves over a chunk where nobody reads on later, so that no checksum is needed.
    pub(super) fn pass_by(&mut self, chunk: &Chunk) {
        self.next_line = chunk.end();
        self.refused += chunk.rejected.len() as u64;
    }

    /// What of a chunk was not read when `known` was made; the mark moves over all of it.
    pub(super) fn take(&mut self, chunk: Chunk, known: Option<&Self>) -> Result<Chunk, SourceError> {
        let behind = |mark: &Self| known.filter(|known| !mark.reaches(known));
        let Some(known) = behind(self) else {
            self.pass(&chunk.bytes, chunk.end());
            self.refused += chunk.rejected.len() as u64;
            return Ok(chunk);
        };
        let mut chunk = chunk;
        let old = usize::try_from(known.refused - self.refused.min(known.refused)).unwrap_or(usize::MAX);
        let old = old.min(chunk.rejected.len());
        self.refused += chunk.rejected.len() as u64;
        chunk.rejected.drain(..old);
        let fresh = chunk.split_at(known.next_line);
        self.pass(&chunk.bytes, chunk.end());
        if self.reaches(known) && !self.agrees(known) || behind(self).is_some() && fresh.lines > 0 {
            return Err(self.changed(known));
        }
        self.pass(&fresh.bytes, fresh.end());
        Ok(fresh)
    }

    fn pass(&mut self, bytes: &[u8], next_line: i64) {
        self.crc = crc(self.crc, bytes);
        if bytes.last().is_some_and(|last| *last != b'\n') {
            self.crc = crc(self.crc, b"\n");
        }
        self.next_line = next_line;
    }

    /// Whether the lines read so far are those of a mark that is as far.
    fn agrees(&self, known: &Self) -> bool {
        // former versions did not count the end that a last line lacked
        self.crc == known.crc || self.crc == crc(known.crc, b"\n")
    }

    /// At the end of the file: an error if it has become shorter.
    pub(super) fn end(&mut self, known: Option<&Self>) -> Result<(), SourceError> {
        self.ended = true;
        match known {
            Some(known) if !self.reaches(known) => Err(self.changed(known)),
            _ => Ok(()),
        }
    }

    fn changed(&self, known: &Self) -> SourceError {
        SourceError::Changed { file: self.file.clone(), lines: known.next_line - 1 }
    }
}

/// The checksum of what has this one and of what stands behind it.
fn crc(before: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(before);
    hasher.update(bytes);
    hasher.finalize()
}

impl Chunk {
    /// The line after it.
    fn end(&self) -> i64 {
        self.first_line + i64::try_from(self.lines).unwrap_or(i64::MAX)
    }

    /// Keeps the lines before `line`; gives the rest, with all that is no line.
    fn split_at(&mut self, line: i64) -> Self {
        let old = u64::try_from(line - self.first_line).unwrap_or(0).min(self.lines);
        let end_of_old = usize::try_from(old).ok().and_then(|old| old.checked_sub(1));
        let cut = end_of_old
            .map_or(0, |last| memchr_iter(b'\n', &self.bytes).nth(last).map_or(self.bytes.len(), |end| end + 1));
        let bytes = self.bytes.split_off(cut);
        let lines = self.lines - old;
        self.lines = old;
        Self {
            bytes,
            first_line: self.end(),
            lines,
            reached: self.reached,
            rejected: std::mem::take(&mut self.rejected),
        }
    }
}

/// The name by which a file is known.
pub(super) fn known_as(path: &Path) -> String {
    if super::input::is_stdin(path) {
        return "standard input".to_owned();
    }
    // one that cannot be resolved cannot be opened either
    path.canonicalize().as_deref().unwrap_or(path).display().to_string()
}

/// The partition that goes on with a file: the first not taken yet. An ended standard input is over.
pub(super) fn place_of(file: &str, marks: &Marks, taken: &[Partition]) -> Option<Partition> {
    let fits = |(partition, mark): &(&Partition, &Mark)| {
        mark.file == file && !taken.contains(partition) && !(mark.ended && file == "standard input")
    };
    marks.iter().find(fits).map(|(partition, _)| *partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::feed::{DeadLetter, Reason};

    fn letter() -> DeadLetter {
        let (key, headers, value) = (vec![], vec![], vec![]);
        let reason = Reason::TooLarge;
        DeadLetter { partition: 0, offset: 0, timestamp: None, reason, detail: String::new(), key, headers, value }
    }

    /// Lines `1` to `last`, cut into chunks of so many.
    fn chunks(last: i64, size: usize) -> Vec<Chunk> {
        let lines: Vec<i64> = (1..=last).collect();
        let chunk = |lines: &[i64]| Chunk {
            bytes: lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect(),
            first_line: lines[0],
            lines: lines.len() as u64,
            ..Chunk::default()
        };
        lines.chunks(size).map(chunk).collect()
    }

    fn read(chunks: Vec<Chunk>, known: Option<&Mark>) -> Result<(Mark, String, usize), SourceError> {
        let mut mark = Mark::new("a".to_owned());
        let (mut text, mut refused) = (String::new(), 0);
        for chunk in chunks {
            let fresh = mark.take(chunk, known)?;
            let open = fresh.bytes.last().is_some_and(|last| *last != b'\n');
            let ends = fresh.bytes.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!((ends + usize::from(open)) as u64, fresh.lines);
            text += std::str::from_utf8(&fresh.bytes).unwrap();
            refused += fresh.rejected.len();
        }
        mark.end(known)?;
        Ok((mark, text.replace('\n', " "), refused))
    }

    #[test]
    fn only_what_is_new_is_handed_out_wherever_the_chunks_are_cut() {
        for (before, after) in [(3, 3), (3, 2), (1, 10), (4, 1), (10, 10)] {
            let (mark, ..) = read(chunks(4, before), None).unwrap();
            let (grown, text, _) = read(chunks(7, after), Some(&mark)).unwrap();
            assert_eq!(text, "5 6 7 ", "{before} and {after} lines a chunk");
            assert_eq!(grown, read(chunks(7, 7), None).unwrap().0);
        }
    }

    /// The same without the end of the last line, which the reader gives as a chunk of its own.
    fn open_chunks(last: i64, size: usize) -> Vec<Chunk> {
        let mut chunks = chunks(last - 1, size);
        chunks.push(Chunk { bytes: last.to_string().into_bytes(), first_line: last, lines: 1, ..Chunk::default() });
        chunks
    }

    #[test]
    fn a_file_grows_from_a_last_line_without_its_end() {
        let (mark, text, _) = read(open_chunks(4, 2), None).unwrap();
        assert_eq!(text, "1 2 3 4");
        assert_eq!(mark, read(chunks(4, 4), None).unwrap().0, "as if it had one");
        // as former versions made it
        let former = Mark { crc: crc32fast::hash(b"1\n2\n3\n4"), ..mark.clone() };
        assert_ne!(former.crc, mark.crc);
        for known in [&mark, &former] {
            assert_eq!(read(open_chunks(4, 3), Some(known)).unwrap(), (mark.clone(), String::new(), 0));
            for size in 1..=7 {
                let (grown, text, _) = read(chunks(7, size), Some(known)).unwrap();
                assert_eq!((text.as_str(), &grown), ("5 6 7 ", &read(chunks(7, 7), None).unwrap().0));
            }
        }
    }

    #[test]
    fn a_last_line_that_is_itself_continued_makes_another_file() {
        let (mark, ..) = read(open_chunks(4, 2), None).unwrap();
        let former = Mark { crc: crc32fast::hash(b"1\n2\n3\n4"), ..mark.clone() };
        for known in [&mark, &former] {
            for last in ["42", "42\n", "4 \n"] {
                let mut longer = open_chunks(4, 2);
                longer[2].bytes = last.as_bytes().to_vec();
                assert!(matches!(read(longer, Some(known)), Err(SourceError::Changed { lines: 4, .. })), "{last:?}");
            }
        }
    }

    #[test]
    fn the_same_file_gives_nothing_new() {
        let (mark, ..) = read(chunks(4, 3), None).unwrap();
        assert_eq!(read(chunks(4, 4), Some(&mark)).unwrap(), (mark.clone(), String::new(), 0));
    }

    #[test]
    fn another_file_and_one_cut_short_are_refused() {
        let (mark, ..) = read(chunks(4, 4), None).unwrap();
        assert!(matches!(read(chunks(3, 3), Some(&mark)), Err(SourceError::Changed { lines: 4, .. })));
        let mut other = chunks(9, 2);
        other[1].bytes[0] = b'x';
        assert!(matches!(read(other, Some(&mark)), Err(SourceError::Changed { lines: 4, .. })));
    }

    #[test]
    fn what_the_reader_refused_is_refused_once() {
        let refusing = || Chunk { first_line: 1, rejected: vec![letter(), letter()], ..Chunk::default() };
        let all = |last| std::iter::once(refusing()).chain(chunks(last, 2)).collect();
        let (mark, text, refused) = read(all(2), None).unwrap();
        assert_eq!((text.as_str(), refused), ("1 2 ", 2));
        let (_, text, refused) = read(all(3), Some(&mark)).unwrap();
        assert_eq!((text.as_str(), refused), ("3 ", 0));
        assert!(read(chunks(3, 1), Some(&mark)).is_err(), "what was refused is gone");
        let broken_off = Mark { refused: 1, ..Mark::new("a".to_owned()) };
        let (_, text, refused) = read(all(3), Some(&broken_off)).unwrap();
        assert_eq!((text.as_str(), refused), ("1 2 3 ", 1));
    }

    #[test]
    fn a_file_goes_on_where_it_was_and_an_ended_standard_input_does_not() {
        let mark = |file: &str, ended| Mark { ended, ..Mark::new(file.to_owned()) };
        let stdin = "standard input";
        let marks = Marks::from([(0, mark("a", true)), (1, mark(stdin, true)), (2, mark("a", true))]);
        assert_eq!(place_of("a", &marks, &[]), Some(0));
        assert_eq!(place_of("a", &marks, &[0]), Some(2), "given twice");
        assert_eq!(place_of("a", &marks, &[0, 2]), None);
        assert_eq!(place_of(stdin, &marks, &[]), None);
        assert_eq!(place_of(stdin, &Marks::from([(1, mark(stdin, false))]), &[]), Some(1));
    }
}
