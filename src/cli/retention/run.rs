//! `retention run`: carried out now, once.

use super::{
    outcome::{self, told},
    parts,
    plan::failure,
};
use crate::{
    cli::{
        Failure,
        out::{Format, print},
        settings::SettingFlags,
    },
    config::{environment::Surroundings, table::verbs},
    logs::LogDatabase,
    retention::{self, Order},
    store::Options,
    upkeep,
};
use clap::Args;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow retention run --dry-run --log-database postgres://flow@logs/gocdnext
  gocdnext-flow retention run --max-drops 1

Makes the partitions that are missing and drops those that may go, at most --max-drops of them.
What stands in the way of the others is told. `run` does the same again and again where
retention_execute is set, and tells Kafka of each drop, of those made here, too.";

/// Make partitions that are missing, drop those that may go
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// Change nothing; only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// How to print it
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::RETENTION }>,
}

impl Run {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let report = upkeep::wait(async {
            let (url, ledger) = parts(&config, Options::look_only()).await?;
            let logs = if self.dry_run {
                LogDatabase::look(&url)
            } else {
                LogDatabase::open(&url).await.map_err(|error| failure(&url, error.into()))?
            };
            retention::run(&logs, &ledger, &Order::of(&config, self.dry_run))
                .await
                .map_err(|error| failure(&url, error))
        })?;
        match self.format {
            Format::Table => print(out, &told(&report)),
            Format::Json => print(out, &outcome::json(&report)),
        }
    }
}
