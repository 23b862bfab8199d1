//! `config show`: the settings in force.

use super::{Failure, out::print, settings::SettingFlags};
use crate::config::{environment::Surroundings, show, table::verbs};
use clap::{Args, ValueEnum};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow config show
  gocdnext-flow config show --format toml > gocdnext-flow.toml
  GOCDNEXT_FLOW_JOB_TTL=48h gocdnext-flow config show --workers 4

Origins are `default`, FILE:LINE, `env VARIABLE` or `flag --x`. Secrets are shown as ***.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Toml,
}

/// Print every setting, its value and where it comes from.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Show {
    /// A table for people, or a file for --config
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::ALL }>,
}

impl Show {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let loaded = self.settings.load(around)?;
        let text = match self.format {
            Format::Table => show::table(&loaded),
            Format::Toml => show::toml(&loaded),
        };
        print(out, &text)
    }
}
