//! `state export`: a backup, or the way to another database.

use super::Failure;
use crate::{
    cli::{out::print, settings::SettingFlags},
    config::{environment::Surroundings, table::verbs},
    upkeep,
};
use clap::Args;
use indicatif::HumanBytes;
use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow state export backup.zst
  gocdnext-flow state export - --state sqlite:state.db | gocdnext-flow state import - --state postgres://flow@db/flow

Only looks: it may be called while `run` writes the state, and gives the state of one moment.";

/// Write all that is stored to one file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Export {
    /// File to write, whole or not at all; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::STATE }>,
}

impl Export {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        if self.file == Path::new("-") {
            if std::io::stdout().is_terminal() {
                return Err(Failure::Misuse("an export is no text for a terminal: name a file, or pipe it".into()));
            }
            upkeep::wait(upkeep::export::to_stream(&config.state, out))?;
            return Ok(());
        }
        let done = upkeep::wait(upkeep::export::to_file(&config, &self.file))?;
        let (epoch, blobs, bytes) = (done.epoch, done.blobs, HumanBytes(done.bytes));
        print(out, &format!("epoch {epoch}: {blobs} blobs, {bytes}, in {}\n", self.file.display()))
    }
}
