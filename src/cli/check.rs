//! `check`: events against the contract.

use super::{Failure, settings::SettingFlags};
use crate::{
    check::check_files,
    config::{environment::Surroundings, table::verbs},
};
use clap::Args;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow check events.ndjson
  kcat -C -b kafka:9092 -t gocdnext.events -e | gocdnext-flow check -

Every line is one CloudEvent in JSON; what is wrong is said line by line.
Exit code 0: all is right; 3: it is not.";

/// Validate events against the contract, line by line.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// Files of one event a line (plain, .gz or .zst); `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::CHECK }>,
}

impl Check {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        self.files.iter().try_for_each(|file| exists(file))?;
        let checked = check_files(&self.files, &config.dataflow.limits, out)?;
        if checked.errors > 0 {
            return Err(Failure::CheckFound { errors: checked.errors, events: checked.events });
        }
        Ok(())
    }
}

/// A wrong name is a wrong argument, found before any file is read; what fails later is a failure while running.
fn exists(file: &Path) -> Result<(), Failure> {
    let shown = file.display();
    if file.is_dir() {
        return Err(Failure::Misuse(format!(
            "`{shown}` is a directory; name the files in it, as in `{shown}/*.ndjson`"
        )));
    }
    let where_from = "relative names start at the current directory";
    match file.try_exists() {
        _ if file == Path::new("-") => Ok(()),
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Misuse(format!("`{shown}` does not exist; check the name ({where_from})"))),
        Err(error) => Err(Failure::Misuse(format!("`{shown}` cannot be looked at: {error}"))),
    }
}
