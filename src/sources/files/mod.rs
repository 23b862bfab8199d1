//! Files as a source: NDJSON of CloudEvents or a job log in CSV, plain, `.gz`, `.zst` or standard input (`-`).
//!
//! Each file is a partition. The next chunk is read from the file that is furthest behind, so that stream time (the
//! smallest of the files' newest event times) moves on and the machines need not remember more than they must. How far a
//! file is, is *peeked*: the time of the last line handed out that shows one, without decoding it. A wrong peek costs
//! memory, never a result: stream time itself follows from decoded events alone, and holds until every file has been
//! begun. So files in any order, sequential or overlapping in time, give the series of their union (I1).
//!
//! With state, each goes on where its mark ([`marks`]) says; files that a former replay has read keep their partitions.

mod error;
mod input;
mod job_log;
mod lines;
mod marks;

pub use error::SourceError;
pub(crate) use input::Input;
pub use lines::MAX_LINE_BYTES;
pub use marks::{Mark, Marks};

use crate::wiring::{InputFormat, ReplayOptions};
use dataflows::{
    feed::{Batch, CatchUp, DeadLetter, Partition, PartitionProgress, Records},
    time::{Millis, NextOffset},
};
use job_log::JobLog;
use lines::Lines;
use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

/// Size of a chunk, cut at the end of a line.
const CHUNK_BYTES: usize = 256 << 10;

/// What one read of one file gave.
#[derive(Debug, Default)]
struct Chunk {
    /// Whole lines.
    bytes: Vec<u8>,
    first_line: i64,
    lines: u64,
    /// The time of its last event, where it could be peeked.
    reached: Option<Millis>,
    /// What the reader itself had to refuse.
    rejected: Vec<DeadLetter>,
}

/// One step of the source.
#[derive(Debug)]
pub struct Step {
    /// May be empty of bytes, when all that was read is in `rejected`.
    pub batch: Batch,
    /// Lines in the batch.
    pub lines: u64,
    /// Lines or rows that the source itself refused; they never reach a decoder.
    pub rejected: Vec<DeadLetter>,
}

#[derive(Debug)]
enum Reader {
    Lines(Lines),
    JobLog(Box<JobLog>),
}

impl Reader {
    fn next(&mut self, arena: Vec<u8>) -> Result<Option<Chunk>, SourceError> {
        match self {
            Self::Lines(lines) => lines.next(arena),
            Self::JobLog(log) => log.next(arena),
        }
    }
}

#[derive(Debug)]
struct File {
    /// As given, for people.
    name: String,
    /// `None`: read to the end.
    reader: Option<Reader>,
    /// `None`: nothing read yet, so further behind than any other.
    reached: Option<Millis>,
    mark: Mark,
    /// How far a former replay has read it.
    known: Option<Mark>,
    /// A later replay may go on here.
    goes_on: bool,
}

impl File {
    /// One that a former replay has read to its end, and that is not read now.
    fn over(mark: &Mark) -> Self {
        Self { name: mark.file.clone(), reader: None, reached: None, mark: mark.clone(), known: None, goes_on: true }
    }

    /// What is new of the next chunk; `None` at the end.
    fn next(&mut self, arena: Vec<u8>) -> Result<Option<Chunk>, SourceError> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let Some(chunk) = reader.next(arena)? else {
            self.reader = None;
            self.mark.end(self.known.as_ref())?;
            return Ok(None);
        };
        // a chunk that shows no time counts as begun: other files get their turn at the same place
        self.reached = self.reached.max(chunk.reached).or(Some(Millis::MIN));
        if self.goes_on {
            return self.mark.take(chunk, self.known.as_ref()).map(Some);
        }
        self.mark.pass_by(&chunk);
        Ok(Some(chunk))
    }

    /// What is still passed over counts as read.
    fn furthest(&self) -> &Mark {
        self.known.as_ref().filter(|known| !self.mark.reaches(known)).unwrap_or(&self.mark)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Files {
    /// By partition.
    files: Vec<File>,
    read_bytes: Arc<AtomicU64>,
    total_bytes: Option<u64>,
}

impl Files {
    /// Opens every file, so that a wrong name is said before anything is read. No later replay goes on here: the marks
    /// are without checksums.
    pub fn open(options: &ReplayOptions) -> Result<Self, SourceError> {
        Self::open_at(options, None)
    }

    /// As [`open`](Self::open), going on where a former replay was, and with [`marks`](Self::marks) for a later one.
    pub fn resume(options: &ReplayOptions, marks: &Marks) -> Result<Self, SourceError> {
        Self::open_at(options, Some(marks))
    }

    fn open_at(options: &ReplayOptions, kept: Option<&Marks>) -> Result<Self, SourceError> {
        let (goes_on, none) = (kept.is_some(), Marks::new());
        let marks = kept.unwrap_or(&none);
        let paths = &options.files;
        if paths.iter().filter(|path| input::is_stdin(path)).count() > 1 {
            return Err(SourceError::StdinTwice);
        }
        let read_bytes = Arc::new(AtomicU64::new(0));
        let mut files: Vec<File> = marks.values().map(File::over).collect();
        let mut taken = Vec::new();
        let mut total_bytes = Some(0);
        for path in paths {
            let known_as = marks::known_as(path);
            let place = marks::place_of(&known_as, marks, &taken);
            let partition = place.unwrap_or_else(|| Partition::try_from(files.len()).unwrap_or(Partition::MAX));
            let input = Input::open(path, Arc::clone(&read_bytes))?;
            total_bytes = total_bytes.zip(input.total_bytes()).map(|(sum, more)| sum + more);
            let reader = match options.format {
                InputFormat::Events => Reader::Lines(Lines::new(input, partition)),
                InputFormat::JobLog => {
                    Reader::JobLog(Box::new(JobLog::new(input, partition, options.time_origin.unwrap_or(0))))
                }
            };
            let known = place.and_then(|place| marks.get(&place).cloned());
            let (reader, mark) = (Some(reader), Mark::new(known_as));
            let file = File { name: name(path), reader, reached: None, mark, known, goes_on };
            match place {
                Some(place) => {
                    taken.push(place);
                    files[index(place)] = file;
                }
                None => files.push(file),
            }
        }
        match files.iter().find(|file| file.reader.is_none() && !file.mark.ended) {
            Some(file) => Err(SourceError::BrokenOff { file: file.name.clone(), line: file.mark.next_line }),
            None => Ok(Self { files, read_bytes, total_bytes }),
        }
    }

    /// The next chunk of the file that is furthest behind, in an arena that has been used before or is new, but is empty;
    /// `None` when all are read.
    pub fn next(&mut self, mut arena: Vec<u8>) -> Result<Option<Step>, SourceError> {
        let number_of_files = self.files.len();
        loop {
            let open = (0..).zip(&mut self.files).filter(|(_, file)| file.reader.is_some());
            let Some((partition, file)) = open.min_by_key(|(partition, file)| (file.reached, *partition)) else {
                return Ok(None);
            };
            let Some(chunk) = file.next(std::mem::take(&mut arena))? else {
                if file.mark.next_line == 1 && file.mark.refused == 0 && number_of_files > 1 {
                    tracing::warn!(file = file.name, "a file with nothing in it");
                }
                continue;
            };
            if chunk.lines == 0 && chunk.rejected.is_empty() {
                // read before
                continue;
            }
            let records = Records::Lines { first_line: chunk.first_line };
            let batch = Batch { partition, bytes: chunk.bytes, records, read_at: None };
            return Ok(Some(Step { batch, lines: chunk.lines, rejected: chunk.rejected }));
        }
    }

    /// How far each file is read.
    #[must_use]
    pub fn progress(&self) -> Vec<PartitionProgress> {
        let progress = |(partition, file): (Partition, &File)| PartitionProgress {
            partition,
            next_offset: NextOffset(file.furthest().next_line),
            state: if file.reader.is_some() { CatchUp::Behind } else { CatchUp::CaughtUp },
        };
        (0..).zip(&self.files).map(progress).collect()
    }

    /// The files' names, by partition; as given, where they are read now.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.files.iter().map(|file| file.name.clone()).collect()
    }

    /// Where a later replay goes on.
    #[must_use]
    pub fn marks(&self) -> Marks {
        (0..).zip(self.files.iter().map(|file| file.furthest().clone())).collect()
    }

    /// Bytes read so far, before decompression.
    #[must_use]
    pub fn read_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read_bytes)
    }

    /// Bytes to read in all; `None` where a pipe is among the files.
    #[must_use]
    pub const fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }
}

fn index(partition: Partition) -> usize {
    usize::try_from(partition).unwrap_or(usize::MAX)
}

fn name(path: &Path) -> String {
    if input::is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

#[cfg(test)]
mod tests;
