//! `replay`: files to the final exposition and a summary.

use super::{
    Failure,
    logged::logged,
    out::{print, tell},
    settings::SettingFlags,
};
use crate::{
    config::{environment::Surroundings, table::verbs},
    store::StateUrl,
    wiring::{self, InputFormat, ReplayOptions, Told},
};
use anyhow::Context;
use clap::{Args, ValueEnum};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow replay events.ndjson.zst
  gocdnext-flow replay mon.gz tue.gz --workers 4 --metrics-out final.prom --dead-letters rejected
  gocdnext-flow replay --format job-log jobs.csv --time-origin 2024-01-01T00:00:00Z
  zcat events.gz | gocdnext-flow replay - --metrics-out - --log-level warn
  gocdnext-flow replay mon.gz --state sqlite:week.db && gocdnext-flow replay tue.gz --state sqlite:week.db

Time is the log's own: a replay of last year ends at its last event, whatever the clock says now.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One CloudEvent in JSON a line
    Events,
    /// A job log in CSV, one job a row
    JobLog,
}

/// Read recorded events to their end, print a summary, write the final series.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Replay {
    /// Files in the order to read them (plain, .gz or .zst); `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What the files hold
    #[arg(long, value_enum, default_value = "events")]
    format: Format,
    /// What the times of a job log count from: RFC 3339 or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = time_origin, allow_hyphen_values = true)]
    time_origin: Option<i64>,
    /// Write the final exposition to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    metrics_out: Option<PathBuf>,
    /// Write what cannot be read to this file, with its place and the reason
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// Go on where a former replay with the same state has ended, and keep what comes of this one (`sqlite:PATH` or
    /// `postgres://...`). A file given again is read from where it was left. Waits while another replay has it
    #[arg(long, value_name = "URL")]
    state: Option<StateUrl>,
    /// Log a line for each finished job
    #[arg(long)]
    log_jobs: bool,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::REPLAY }>,
}

impl Replay {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        if self.time_origin.is_some() && self.format != Format::JobLog {
            return Err(Failure::Misuse("--time-origin is for --format job-log: events bear their own times".into()));
        }
        if self.files.iter().filter(|file| *file == Path::new("-")).count() > 1 {
            return Err(Failure::Misuse("`-` stands twice: standard input can be read once".into()));
        }
        let config = self.settings.load(around)?.config;
        let options = ReplayOptions {
            files: self.files,
            format: match self.format {
                Format::Events => InputFormat::Events,
                Format::JobLog => InputFormat::JobLog,
            },
            time_origin: self.time_origin,
            metrics_out: self.metrics_out,
            dead_letters: self.dead_letters,
            log_jobs: self.log_jobs,
            state: self.state,
        };
        let Told { hint, summary, series } = logged(config, |config| wiring::replay(config, &options))?;
        tell(&hint);
        match (options.metrics_out.as_deref(), series) {
            (Some(path), Some(series)) if path == Path::new("-") => {
                tell(&summary);
                print(out, &series)
            }
            (Some(path), Some(series)) => {
                let written = std::fs::write(path, series);
                print(out, &summary)?;
                Ok(written.with_context(|| format!("cannot write the series to `{}`", path.display()))?)
            }
            _ => print(out, &summary),
        }
    }
}

/// In Unix ms.
pub(super) fn time_origin(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1000).ok_or_else(|| "that is too far away".to_owned());
    }
    let time = text.parse::<jiff::Timestamp>();
    time.map(jiff::Timestamp::as_millisecond)
        .map_err(|_| "write a time as 2024-01-01T00:00:00Z, or Unix seconds as 1704067200".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_origin_is_a_time_or_unix_seconds() {
        assert_eq!(time_origin("2024-01-01T00:00:00Z"), Ok(1_704_067_200_000));
        assert_eq!(time_origin("2024-01-01T01:00:00+01:00"), Ok(1_704_067_200_000));
        assert_eq!(time_origin("1704067200"), Ok(1_704_067_200_000));
        for wrong in ["", "yesterday", "2024-01-01", "9223372036854775807"] {
            assert!(time_origin(wrong).is_err(), "{wrong}");
        }
    }
}
