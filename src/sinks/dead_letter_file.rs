//! Dead letters of a replay: a file of one JSON object a line, or, where none was asked for, a look at the first few.
//!
//! A letter holds the bytes themselves: `value` where they are text, else `value_base64`.

use super::dead_letters::{Sink, SinkError};
use base64::{Engine, engine::general_purpose::STANDARD};
use dataflows::feed::DeadLetter;
use serde::Serialize;
use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::Path,
};

/// Letters shown where there is no file for them.
const SHOWN: usize = 5;
/// Bytes shown of each.
const SHOWN_BYTES: usize = 160;

/// One line of the file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    file: &'a str,
    partition: u32,
    /// The number of the line, from 1.
    offset: i64,
    reason: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct DeadLetterFile {
    /// The sources' names, by partition.
    sources: Vec<String>,
    out: Option<Out>,
    written: u64,
    /// What is shown at the end, where there is no file.
    shown: String,
}

#[derive(Debug)]
struct Out {
    name: String,
    writer: BufWriter<File>,
}

impl DeadLetterFile {
    /// Makes the file anew, at once: better refused now than after an hour of reading.
    pub fn create(path: Option<&Path>, sources: Vec<String>) -> Result<Self, SinkError> {
        Self::open(path, sources, File::options().create(true).write(true).truncate(true))
    }

    /// Goes on with the file, or makes it.
    pub fn append(path: Option<&Path>, sources: Vec<String>) -> Result<Self, SinkError> {
        Self::open(path, sources, File::options().create(true).append(true))
    }

    fn open(path: Option<&Path>, sources: Vec<String>, how: &OpenOptions) -> Result<Self, SinkError> {
        let open = |path: &Path| {
            let name = path.display().to_string();
            match how.open(path) {
                Ok(file) => Ok(Out { name, writer: BufWriter::new(file) }),
                Err(error) => Err(SinkError { target: format!("`{name}`"), cause: error.to_string() }),
            }
        };
        Ok(Self { sources, out: path.map(open).transpose()?, written: 0, shown: String::new() })
    }

    /// What to tell the user about letters that went to no file; empty if there is nothing to tell.
    #[must_use]
    pub fn hint(&self) -> String {
        if self.shown.is_empty() {
            return String::new();
        }
        let (count, shown) = (self.written, &self.shown);
        let (word, them) = if count == 1 { ("record", "it") } else { ("records", "them") };
        let more = if count > SHOWN as u64 { "the first of them:\n" } else { "" };
        format!("{count} {word} rejected; add `--dead-letters FILE` to keep {them} whole; {more}{shown}")
            .replace("whole; \n", "whole:\n")
    }

    fn line<'a>(&'a self, letter: &'a DeadLetter) -> Line<'a> {
        let text = std::str::from_utf8(&letter.value).ok();
        let place = usize::try_from(letter.partition).unwrap_or(usize::MAX);
        Line {
            file: self.sources.get(place).map_or("", String::as_str),
            partition: letter.partition,
            offset: letter.offset,
            reason: letter.reason.name(),
            detail: &letter.detail,
            value: text,
            value_base64: text.is_none().then(|| STANDARD.encode(&letter.value)),
        }
    }

    fn show(&mut self, letter: &DeadLetter) {
        let line = self.line(letter);
        let start = &letter.value[..letter.value.len().min(SHOWN_BYTES)];
        let text = format!(
            "  {}, line {}: {} ({}): {}{}",
            line.file,
            line.offset,
            line.detail,
            line.reason,
            String::from_utf8_lossy(start).escape_debug(),
            if start.len() < letter.value.len() { "..." } else { "" }
        );
        // writing to a string does not fail
        let _ = writeln!(self.shown, "{text}");
    }

    fn write(&mut self, letter: &DeadLetter) -> io::Result<()> {
        let json = serde_json::to_string(&self.line(letter))?;
        if let Some(out) = &mut self.out {
            writeln!(out.writer, "{json}")?;
        }
        Ok(())
    }
}

impl Sink for DeadLetterFile {
    fn deliver(&mut self, letters: &[DeadLetter]) -> Result<(), SinkError> {
        for letter in letters {
            if self.out.is_none() {
                if self.written < SHOWN as u64 {
                    self.show(letter);
                }
            } else if let Err(error) = self.write(letter) {
                return Err(self.failed(&error));
            }
            self.written += 1;
        }
        if letters.is_empty() {
            return Ok(());
        }
        match self.out.as_mut().map_or(Ok(()), |out| out.writer.flush()) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }
}

impl DeadLetterFile {
    /// Returns when what was delivered is on the disk, as what is committed after it will be.
    pub fn sync(&mut self) -> Result<(), SinkError> {
        let Some(out) = &mut self.out else { return Ok(()) };
        match out.writer.flush().and_then(|()| out.writer.get_ref().sync_data()) {
            // a pipe or a terminal keeps nothing
            Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                Err(self.failed(&error))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, error: &io::Error) -> SinkError {
        let name = self.out.as_ref().map_or("", |out| &out.name);
        SinkError { target: format!("`{name}`"), cause: error.to_string() }
    }
}
