//! Validates events against the contract, line by line, with the decoder that reads them in production.
//!
//! Files are read in blocks of whole lines; a block's parts are judged in parallel and reported in line order. Memory
//! is bounded by the block, whatever the file holds.

mod blocks;
mod notes;

use crate::sources::files::Input;
use blocks::Blocks;
use dataflows::{
    decode::{Decoder, Fault, Verdict},
    names::Names,
    settings::{Limits, Settings},
};
use notes::Notes;
use rayon::prelude::*;
use std::{io::Write, path::PathBuf, sync::Arc};

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Lines that are not blank.
    pub events: u64,
    /// Lines that would become dead letters.
    pub errors: u64,
    /// Events of types that the contract does not know, which are passed over.
    pub other_types: u64,
}

/// Lines judged in one go by one thread, in bytes.
const PART_BYTES: usize = 128 << 10;

/// Writes `file:line: reason: detail` for each line that would be rejected, a note for each type that is not of the
/// contract, and a summary. `-` is standard input.
pub fn check_files(files: &[PathBuf], limits: &Limits, out: &mut dyn Write) -> anyhow::Result<Checked> {
    // every word is a name that nobody will look up
    let limits = Limits { max_names: 0, ..limits.clone() };
    let settings = Settings { limits, ..Settings::default() };
    let mut checked = Checked::default();
    for path in files {
        let input = Input::open(path, Arc::default())?;
        check_file(input, &settings, &mut checked, out)?;
    }
    let Checked { events, errors, other_types } = checked;
    writeln!(out, "{events} events checked: {errors} with errors, {other_types} of types that are passed over")?;
    Ok(checked)
}

fn check_file(input: Input, settings: &Settings, checked: &mut Checked, out: &mut dyn Write) -> anyhow::Result<()> {
    let name = &input.name().to_owned();
    let mut blocks = Blocks::new(input, settings.limits.max_event_bytes);
    let mut notes = Notes::default();
    let mut lines_before = 0;
    while let Some(block) = blocks.next(lines_before)? {
        let parts: Vec<Part> =
            blocks::parts(block, PART_BYTES).par_iter().map(|part| judge(part, settings)).collect();
        for part in parts {
            checked.events += part.events;
            for (line, finding) in part.findings {
                let line = lines_before + line;
                match finding {
                    Finding::Error(fault) => {
                        checked.errors += 1;
                        writeln!(out, "{name}:{line}: {fault}")?;
                    }
                    Finding::OtherType(type_name) => {
                        checked.other_types += 1;
                        notes.add(type_name, line);
                    }
                }
            }
            lines_before += part.lines;
        }
    }
    notes.write(name, out)
}

/// What one thread found in its part; lines are numbered from 1.
#[derive(Default)]
struct Part {
    lines: u64,
    events: u64,
    findings: Vec<(u64, Finding)>,
}

enum Finding {
    Error(Fault),
    OtherType(String),
}

fn judge(part: &[u8], settings: &Settings) -> Part {
    let mut decoder = Decoder::new(settings, Names::new(0));
    let mut found = Part::default();
    for line in part.split_inclusive(|byte| *byte == b'\n') {
        found.lines += 1;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.trim_ascii_start().is_empty() {
            continue;
        }
        found.events += 1;
        let finding = match decoder.check_line(line) {
            Ok(Verdict::Event(_)) => continue,
            Ok(Verdict::Ignored(type_name)) => Finding::OtherType(type_name.into_owned()),
            Err(fault) => Finding::Error(fault),
        };
        found.findings.push((found.lines, finding));
    }
    found
}

#[cfg(test)]
mod tests;
