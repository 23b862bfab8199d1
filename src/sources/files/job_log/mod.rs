//! A job log in CSV, turned into the events of the contract, in order of time, ends before starts.
//!
//! Columns: `job_id, queue, user, agent, submit_s, start_s, end_s, status` (more are passed over), times in seconds
//! after an origin. Each row is a run of one job: project = user, pipeline = queue; ids are UUIDv5 of the row, so the
//! same row gives the same events wherever it is read. A row without `start_s` was never dispatched, one without
//! `end_s` had not ended.
//!
//! The rows are held in memory (under 100 bytes each), because a log is in no particular order; their events are made
//! as they are read. A row that cannot be read is a dead letter; a header without a column ends the replay.

mod events;
mod rows;

use super::{CHUNK_BYTES, Chunk, SourceError, input::Input};
use dataflows::{feed::Partition, time::Millis};
use events::{Step, Writer, steps};
use rows::{Reader, Row, Table};
use std::{cmp::Reverse, collections::BinaryHeap};

/// Refused rows handed out at once, so that a file of nothing else does not pile up.
const REJECTED_AT_ONCE: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub(super) struct JobLog {
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Reading(Box<Reader>),
    Writing(Box<Replaying>),
}

#[derive(Debug)]
struct Replaying {
    table: Table,
    /// The rows by their first time, the earliest last.
    waiting: Vec<(Millis, u32)>,
    /// What the rows begun still have to tell.
    steps: BinaryHeap<Reverse<Step>>,
    writer: Writer,
    next_line: i64,
}

impl JobLog {
    pub(super) fn new(input: Input, partition: Partition, origin: Millis) -> Self {
        Self { stage: Stage::Reading(Box::new(Reader::new(input, partition, origin))) }
    }

    /// The next events as lines of JSON, in the empty arena given; `None` at the end.
    pub(super) fn next(&mut self, arena: Vec<u8>) -> Result<Option<Chunk>, SourceError> {
        if let Stage::Reading(reader) = &mut self.stage {
            let rejected = reader.read(REJECTED_AT_ONCE)?;
            if !rejected.is_empty() {
                return Ok(Some(Chunk { first_line: 1, rejected, ..Chunk::default() }));
            }
            let table = reader.take_table();
            self.stage = Stage::Writing(Box::new(Replaying::new(table)));
        }
        match &mut self.stage {
            Stage::Writing(replaying) => Ok(replaying.next(arena)),
            Stage::Reading(_) => Ok(None),
        }
    }
}

impl Replaying {
    fn new(table: Table) -> Self {
        let mut waiting: Vec<(Millis, u32)> =
            (0..).zip(&table.rows).map(|(number, row)| (row.first(), number)).collect();
        waiting.sort_unstable_by_key(|entry| Reverse(*entry));
        Self { table, waiting, steps: BinaryHeap::new(), writer: Writer::default(), next_line: 1 }
    }

    fn next(&mut self, arena: Vec<u8>) -> Option<Chunk> {
        let mut chunk = Chunk { bytes: arena, ..Chunk::default() };
        chunk.bytes.reserve(CHUNK_BYTES + 4_096);
        chunk.first_line = self.next_line;
        while chunk.bytes.len() < CHUNK_BYTES {
            let Some(step) = self.next_step() else { break };
            let row = &self.table.rows[row_index(step.row)];
            chunk.lines += self.writer.write(&mut chunk.bytes, &step, row, &self.table);
            chunk.reached = Some(step.time);
        }
        self.next_line += i64::try_from(chunk.lines).unwrap_or(i64::MAX);
        (chunk.lines > 0).then_some(chunk)
    }

    fn next_step(&mut self) -> Option<Step> {
        while let Some((first, row)) = self.waiting.last() {
            if self.steps.peek().is_some_and(|Reverse(step)| step.time < *first) {
                break;
            }
            self.steps.extend(steps(&self.table.rows[row_index(*row)], *row).map(Reverse));
            self.waiting.pop();
        }
        self.steps.pop().map(|Reverse(step)| step)
    }
}

fn row_index(row: u32) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX)
}

impl Row {
    /// The earliest of its times.
    fn first(&self) -> Millis {
        [Some(self.submit), self.start, self.end].into_iter().flatten().min().unwrap_or(self.submit)
    }
}
