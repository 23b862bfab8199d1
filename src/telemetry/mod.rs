//! Logs: one JSON object a line, shaped as Go's slog does (docs/logs.md).
//!
//! `time`, `level`, `msg`, then the fields, flat. A flood of one kind of line is cut ([`flood`]); the result of each
//! ended job is a line of its own that is never cut ([`job_result`]).

mod flood;
mod job_result;
mod layer;

pub use job_result::{job_result, span_id};

use layer::Lines;
use std::{
    io::{self, Write},
    sync::OnceLock,
    time::SystemTime,
};
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt, util::SubscriberInitExt};

/// Where the lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Stdout,
    Stderr,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error(
        "log_level: cannot read the filter `{filter}` ({reason}); write `info`, `debug` or `gocdnext_flow=debug,warn`"
    )]
    Filter { filter: String, reason: String },
    #[error("logging was set up twice")]
    Twice,
}

static LINES: OnceLock<Lines> = OnceLock::new();

/// Sets up logging for the process: lines that pass `filter` go to `target`, at most `burst` of a kind a minute.
pub fn init(filter: &str, target: Target, burst: u32) -> Result<(), InitError> {
    let parsed = EnvFilter::builder().parse(filter);
    let parsed = parsed.map_err(|e| InitError::Filter { filter: filter.to_owned(), reason: e.to_string() })?;
    let writer: Box<dyn Write + Send> = match target {
        Target::Stdout => Box::new(io::stdout()),
        Target::Stderr => Box::new(io::stderr()),
    };
    let lines = Lines::new(writer, burst, SystemTime::now);
    tracing_subscriber::registry()
        .with(lines.clone().with_filter(parsed))
        .try_init()
        .map_err(|_| InitError::Twice)?;
    LINES.set(lines).map_err(|_| InitError::Twice)
}

/// Says what a flood had left out so far; to be called before the process ends.
pub fn finish() {
    if let Some(lines) = LINES.get() {
        lines.finish();
    }
}

#[cfg(test)]
mod tests;
