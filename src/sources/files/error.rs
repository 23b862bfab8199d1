//! What can be wrong with a file, in words for the person who named it.

use std::io;

/// Ends a replay. `file` is the name as given.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("`{file}` does not exist; check the name (relative names start at the current directory)")]
    Absent { file: String },
    #[error("`{file}` is a directory; name the files in it, as in `{file}/*.ndjson`")]
    Directory { file: String },
    #[error("standard input (`-`) can be given only once")]
    StdinTwice,
    #[error("cannot open `{file}`: {error}{}", open_hint(error))]
    Open { file: String, error: io::Error },
    #[error("cannot read `{file}` at line {line}: {error}")]
    Read { file: String, line: i64, error: io::Error },
    #[error(
        "`{file}` is cut off: its {kind} data end in the middle, after line {line}; fetch or write the file again \
         (`{rescue} '{file}'` gives what can be saved of it; `-` reads that from standard input)"
    )]
    Truncated { file: String, kind: &'static str, line: i64, rescue: &'static str },
    #[error(
        "`{file}` is damaged: its {kind} data cannot be decompressed after line {line} ({error}); fetch it again"
    )]
    Corrupt { file: String, kind: &'static str, line: i64, error: io::Error },
    #[error("`{file}` is named as {kind} but does not hold {kind} data; rename it or compress it again")]
    NotCompressed { file: String, kind: &'static str },
    #[error("`{file}` is compressed with {kind}, which is not read; decompress it and pipe it to `-`")]
    OtherCompression { file: String, kind: &'static str },
    #[error("`{file}` looks like a job log in CSV, not like events; add `--format job-log`")]
    LooksLikeJobLog { file: String },
    #[error("`{file}` looks like events, not like a job log in CSV; leave out `--format job-log`")]
    LooksLikeEvents { file: String },
    #[error(
        "`{file}`, line 1: the header has no column {missing} (it has: {found}); a job log has the columns {expected}"
    )]
    MissingColumns { file: String, missing: String, found: String, expected: String },
    #[error("`{file}`, line {line}: a row longer than {max_mib} MiB; is a quote (\") left open there?")]
    RowTooLong { file: String, line: u64, max_mib: usize },
    #[error(
        "`{file}` is not the file that a former replay has read: its first {lines} lines are others; give that file, \
         give this one under another name, or another `--state`"
    )]
    Changed { file: String, lines: i64 },
    #[error("`{file}` was read up to line {line} and not to its end by a former replay: give it again, too")]
    BrokenOff { file: String, line: i64 },
    #[error("{files}: nothing in it to replay (the file is empty)")]
    Empty { files: String },
}

impl SourceError {
    /// Whether the command line is at fault (exit code 2) rather than what the file holds (1).
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Absent { .. }
                | Self::Directory { .. }
                | Self::StdinTwice
                | Self::Open { .. }
                | Self::LooksLikeJobLog { .. }
                | Self::LooksLikeEvents { .. }
        )
    }

    /// Whether the files are not those that the state goes on with (exit code 4).
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::BrokenOff { .. })
    }
}

fn open_hint(error: &io::Error) -> &'static str {
    // EMFILE: the same number on every Unix
    if error.raw_os_error() == Some(24) {
        "; raise the limit with `ulimit -n`, or join the files: `cat FILES | gocdnext-flow replay -`"
    } else {
        ""
    }
}
