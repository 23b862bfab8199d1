//! The CSV side: header, rows, and what is wrong with them.

use crate::sources::files::{MAX_LINE_BYTES, error::SourceError, input::Input};
use csv::{ByteRecord, ErrorKind};
use dataflows::{
    feed::{DeadLetter, Partition, Reason},
    time::Millis,
};
use std::{
    collections::HashMap,
    io::{self, Read},
};
use uuid::Uuid;

/// Namespace of every id made from a job log (UUIDv5 of the URL namespace and `urn:gocdnext:job-log`).
pub(super) const NAMESPACE: Uuid = Uuid::from_u128(0x9703_3de0_ab98_5f54_b3c6_b8d7_1928_0564);

const COLUMNS: [&str; 8] = ["job_id", "queue", "user", "agent", "submit_s", "start_s", "end_s", "status"];

/// The years that RFC 3339 can write, in Unix ms.
const TIMES: std::ops::RangeInclusive<Millis> = -62_135_596_800_000..=253_402_300_799_999;

/// One job.
#[derive(Debug)]
pub(super) struct Row {
    pub run: Uuid,
    pub submit: Millis,
    pub start: Option<Millis>,
    pub end: Option<Millis>,
    pub queue: u32,
    pub user: u32,
    /// `None`: the column is empty.
    pub agent: Option<u32>,
    pub status: u32,
}

/// All rows, and the words in them once each.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub rows: Vec<Row>,
    words: Vec<Word>,
    numbers: HashMap<Box<str>, u32>,
}

/// A word of the log: the JSON string it is written as, and the ids that follow from it.
#[derive(Debug)]
pub(super) struct Word {
    pub json: String,
    pub project: Uuid,
    pub pipeline: Uuid,
    pub agent: Uuid,
}

impl Table {
    pub(super) fn word(&self, number: u32) -> &Word {
        &self.words[usize::try_from(number).unwrap_or(0)]
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let id = |what: &str| Uuid::new_v5(&NAMESPACE, format!("{what}/{text}").as_bytes());
        let json = serde_json::Value::from(text).to_string();
        let word = Word { json, project: id("user"), pipeline: id("queue"), agent: id("agent") };
        let number = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.words.push(word);
        self.numbers.insert(text.into(), number);
        number
    }
}

/// Reads rows into a [`Table`].
#[derive(Debug)]
pub(super) struct Reader {
    csv: csv::Reader<Kept>,
    partition: Partition,
    origin: Millis,
    /// Where each of [`COLUMNS`] is; empty before the header was read.
    places: Vec<usize>,
    table: Table,
}

impl Reader {
    pub(super) fn new(input: Input, partition: Partition, origin: Millis) -> Self {
        let kept = Kept { input, bytes: Vec::new(), base: 0, over: false };
        let csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(kept);
        Self { csv, partition, origin, places: Vec::new(), table: Table::default() }
    }

    /// Reads on until the end, or until `most` rows were refused. Nothing refused: the end.
    pub(super) fn read(&mut self, most: usize) -> Result<Vec<DeadLetter>, SourceError> {
        let mut rejected = Vec::new();
        let mut record = ByteRecord::new();
        while rejected.len() < most {
            let start = self.csv.position().clone();
            match self.csv.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(self.explain(error, start.line())),
            }
            let end = self.csv.position().byte();
            let (blank_lines, bytes) = self.csv.get_mut().take(start.byte(), end);
            let line = start.line() + blank_lines;
            if self.places.is_empty() {
                self.places = self.header(&record)?;
            } else if let Err(detail) = self.row(&record) {
                rejected.push(self.letter(line, detail, bytes));
            }
        }
        Ok(rejected)
    }

    pub(super) fn take_table(&mut self) -> Table {
        std::mem::take(&mut self.table)
    }

    fn header(&self, record: &ByteRecord) -> Result<Vec<usize>, SourceError> {
        let file = self.csv.get_ref().input.name().to_owned();
        if record.get(0).is_some_and(|first| first.trim_ascii_start().starts_with(b"{")) {
            return Err(SourceError::LooksLikeEvents { file });
        }
        let place = |name: &str| record.iter().position(|field| field.trim_ascii() == name.as_bytes());
        let missing: Vec<&str> = COLUMNS.into_iter().filter(|name| place(name).is_none()).collect();
        if missing.is_empty() {
            return Ok(COLUMNS.into_iter().filter_map(place).collect());
        }
        let found: Vec<_> = record.iter().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect();
        let mut found = found.join(", ");
        found.truncate(found.floor_char_boundary(300));
        Err(SourceError::MissingColumns { file, missing: missing.join(", "), found, expected: COLUMNS.join(", ") })
    }

    /// Adds a row; or says what is wrong with it.
    fn row(&mut self, record: &ByteRecord) -> Result<(), String> {
        let mut fields = [""; COLUMNS.len()];
        for ((field, place), name) in fields.iter_mut().zip(&self.places).zip(COLUMNS) {
            let bytes = record.get(*place);
            let bytes = bytes.ok_or_else(|| format!("the row has {} fields; `{name}` is missing", record.len()))?;
            *field = std::str::from_utf8(bytes).map_err(|_| format!("`{name}` is not UTF-8"))?.trim();
        }
        let [job_id, queue, user, agent, submit, start, end, status] = fields;
        let time = |name, text| self.time(name, text);
        let submit = time("submit_s", submit)?.ok_or("`submit_s` is empty")?;
        let (start, end) = (time("start_s", start)?, time("end_s", end)?);
        let facts = format!(
            "row/{job_id}\x1f{queue}\x1f{user}\x1f{agent}\x1f{submit}\x1f{}\x1f{}\x1f{status}",
            start.unwrap_or(Millis::MIN),
            end.unwrap_or(Millis::MIN)
        );
        let table = &mut self.table;
        let queue = table.number(if queue.is_empty() { "default" } else { queue });
        let agent = (!agent.is_empty()).then(|| table.number(agent));
        let (user, status) = (table.number(user), table.number(status));
        let run = Uuid::new_v5(&NAMESPACE, facts.as_bytes());
        table.rows.push(Row { run, submit, start, end, queue, user, agent, status });
        Ok(())
    }

    fn time(&self, name: &str, text: &str) -> Result<Option<Millis>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let after = seconds(text).ok_or_else(|| format!("`{name}` is not a number of seconds: `{text}`"))?;
        let time = self.origin.saturating_add(after);
        TIMES.contains(&time).then_some(Some(time)).ok_or_else(|| format!("`{name}` is out of range: `{text}`"))
    }

    fn letter(&self, line: u64, detail: String, value: Vec<u8>) -> DeadLetter {
        DeadLetter {
            partition: self.partition,
            offset: i64::try_from(line).unwrap_or(i64::MAX),
            timestamp: None,
            reason: Reason::InvalidField,
            detail,
            key: Vec::new(),
            headers: Vec::new(),
            value,
        }
    }

    fn explain(&self, error: csv::Error, line: u64) -> SourceError {
        let kept = self.csv.get_ref();
        if kept.over {
            let (file, max_mib) = (kept.input.name().to_owned(), MAX_LINE_BYTES >> 20);
            return SourceError::RowTooLong { file, line, max_mib };
        }
        let error = match error.into_kind() {
            ErrorKind::Io(error) => error,
            // nothing else can happen to a flexible reader of bytes
            other => io::Error::other(format!("{other:?}")),
        };
        let line = i64::try_from(line).unwrap_or(i64::MAX);
        kept.input.explain(error, line - 1)
    }
}

/// Seconds, whole or with a fraction, to ms.
pub(super) fn seconds(text: &str) -> Option<Millis> {
    if let Ok(whole) = text.parse::<i64>() {
        return whole.checked_mul(1_000);
    }
    let (whole, fraction) = text.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(fraction) || !digits(whole.strip_prefix('-').unwrap_or(whole)) {
        return None;
    }
    let thousandths: Millis = format!("{fraction:0<3}")[..3].parse().ok()?;
    let signed = if whole.starts_with('-') { -thousandths } else { thousandths };
    whole.parse::<i64>().ok()?.checked_mul(1_000)?.checked_add(signed)
}

/// Keeps the bytes that the CSV reader has taken, until they are known to belong to a good row.
#[derive(Debug)]
struct Kept {
    input: Input,
    bytes: Vec<u8>,
    /// The place in the file of the first byte kept.
    base: u64,
    over: bool,
}

impl Kept {
    /// The bytes from `start` to `end`, without the line's end, and the number of line ends before them; what lies
    /// before `end` is forgotten.
    fn take(&mut self, start: u64, end: u64) -> (u64, Vec<u8>) {
        let place = |byte: u64| usize::try_from(byte.saturating_sub(self.base)).unwrap_or(0).min(self.bytes.len());
        let (start, cut) = (place(start), place(end));
        let taken = &self.bytes[start..cut];
        let text = taken.trim_ascii();
        let before = &taken[..taken.len() - taken.trim_ascii_start().len()];
        let blank_lines = before.iter().filter(|byte| **byte == b'\n').count();
        let found = (u64::try_from(blank_lines).unwrap_or(0), text.to_vec());
        self.bytes.drain(..cut);
        self.base = end;
        found
    }
}

impl Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.len() > MAX_LINE_BYTES {
            self.over = true;
            return Err(io::Error::other("row too long"));
        }
        let read = self.input.read(buffer)?;
        self.bytes.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}
