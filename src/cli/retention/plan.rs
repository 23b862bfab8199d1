//! `retention plan`: what a run would do now, and when the next partitions fall due.

use super::{
    outcome::{self, told},
    parts,
};
use crate::{
    cli::{
        Failure,
        out::{Format, print},
        settings::SettingFlags,
    },
    config::{environment::Surroundings, table::verbs},
    logs::{LogDatabase, LogsUrl},
    retention::{self, Order, RetentionError},
    store::Options,
    upkeep,
    wiring::RunError,
};
use clap::Args;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow retention plan --log-database postgres://flow@logs/gocdnext
  gocdnext-flow retention plan --format json | jq '.partitions[] | select(.outcome == \"blocked\")'

Changes nothing. It reads the partitions that are old enough, to see whether every job in them may go.";

/// Print what would be done to each partition of the logs, and why
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Plan {
    /// How to print it
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::RETENTION }>,
}

impl Plan {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let report = upkeep::wait(async {
            let (url, ledger) = parts(&config, Options::look_only()).await?;
            let logs = LogDatabase::look(&url);
            retention::run(&logs, &ledger, &Order::of(&config, true)).await.map_err(|error| failure(&url, error))
        })?;
        match self.format {
            Format::Table => print(out, &told(&report)),
            Format::Json => print(out, &outcome::json(&report)),
        }
    }
}

/// `logs`: where they are.
pub(super) fn failure(logs: &LogsUrl, error: RetentionError) -> Failure {
    match error {
        RetentionError::State(error) => RunError::from(error).into(),
        RetentionError::Logs(error) => Failure::Other(anyhow::Error::new(error).context(format!("asking {logs}"))),
    }
}
