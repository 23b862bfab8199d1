//! Files as a source: NDJSON of CloudEvents or a job log in CSV, plain, `.gz`, `.zst` or standard input (`-`).
//!
//! Each file is a partition. The next chunk is read from the file that is furthest behind, so that stream time (the
//! smallest of the files' newest event times) moves on and the machines need not remember more than they must. How far a
//! file is, is *peeked*: the time of the last line handed out that shows one, without decoding it. A wrong peek costs
//! memory, never a result: stream time itself follows from decoded events alone, and holds until every file has been
//! begun. So files in any order, sequential or overlapping in time, give the series of their union (I1).

mod error;
mod input;
mod job_log;
mod lines;

pub use error::SourceError;
pub(crate) use input::Input;
pub use lines::MAX_LINE_BYTES;

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
    fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::JobLog(log) => log.next(),
        }
    }
}

#[derive(Debug)]
struct File {
    /// `None`: read to the end.
    reader: Option<Reader>,
    /// `None`: nothing read yet, so further behind than any other.
    reached: Option<Millis>,
    next_line: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Files {
    files: Vec<File>,
    names: Vec<String>,
    read_bytes: Arc<AtomicU64>,
    total_bytes: Option<u64>,
}

impl Files {
    /// Opens every file, so that a wrong name is said before anything is read.
    pub fn open(options: &ReplayOptions) -> Result<Self, SourceError> {
        let paths = &options.files;
        if paths.iter().filter(|path| input::is_stdin(path)).count() > 1 {
            return Err(SourceError::StdinTwice);
        }
        let read_bytes = Arc::new(AtomicU64::new(0));
        let mut files = Vec::with_capacity(paths.len());
        let mut total_bytes = Some(0);
        for (number, path) in paths.iter().enumerate() {
            let partition = Partition::try_from(number).unwrap_or(Partition::MAX);
            let input = Input::open(path, Arc::clone(&read_bytes))?;
            total_bytes = total_bytes.zip(input.total_bytes()).map(|(sum, more)| sum + more);
            let reader = match options.format {
                InputFormat::Events => Reader::Lines(Lines::new(input, partition)),
                InputFormat::JobLog => {
                    Reader::JobLog(Box::new(JobLog::new(input, partition, options.time_origin.unwrap_or(0))))
                }
            };
            files.push(File { reader: Some(reader), reached: None, next_line: 1 });
        }
        Ok(Self { files, names: paths.iter().map(|path| name(path)).collect(), read_bytes, total_bytes })
    }

    /// The next chunk of the file that is furthest behind; `None` when all are read.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot fail and go no further")]
    pub fn next(&mut self) -> Result<Option<Step>, SourceError> {
        loop {
            let open = self.files.iter_mut().enumerate().filter(|(_, file)| file.reader.is_some());
            let Some((number, file)) = open.min_by_key(|(number, file)| (file.reached, *number)) else {
                return Ok(None);
            };
            let Some(reader) = &mut file.reader else { continue };
            let Some(chunk) = reader.next()? else {
                file.reader = None;
                continue;
            };
            // a chunk that shows no time counts as begun: other files get their turn at the same place
            file.reached = file.reached.max(chunk.reached).or(Some(Millis::MIN));
            file.next_line = chunk.first_line + i64::try_from(chunk.lines).unwrap_or(i64::MAX);
            let partition = Partition::try_from(number).unwrap_or(Partition::MAX);
            let records = Records::Lines { first_line: chunk.first_line };
            let batch = Batch { partition, bytes: chunk.bytes, records };
            return Ok(Some(Step { batch, lines: chunk.lines, rejected: chunk.rejected }));
        }
    }

    /// How far each file is read.
    #[must_use]
    pub fn progress(&self) -> Vec<PartitionProgress> {
        let progress = |(partition, file): (Partition, &File)| PartitionProgress {
            partition,
            next_offset: NextOffset(file.next_line),
            state: if file.reader.is_some() { CatchUp::Behind } else { CatchUp::CaughtUp },
        };
        (0..).zip(&self.files).map(progress).collect()
    }

    /// The files' names as given, by partition.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
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

fn name(path: &Path) -> String {
    if input::is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

#[cfg(test)]
mod tests;
