//! `state verify`: whether what is stored is whole.

use super::{Failure, columns};
use crate::{
    cli::{out::print, settings::SettingFlags},
    config::{environment::Surroundings, table::verbs},
    upkeep,
};
use clap::Args;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow state verify
  gocdnext-flow state verify --state postgres://flow@db/flow

Reads all of it: checksums, every entry, whether it loads, and whether it adds up to the gauges.
Only looks: it may be called while `run` writes the state. Exit code 0: all is well; 3: each
damage is named.";

/// Read all that is stored, and name whatever is damaged.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Verify {
    #[command(flatten)]
    settings: SettingFlags<{ verbs::STATE }>,
}

impl Verify {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let findings = upkeep::wait(upkeep::verify::verify(&config.state))?;
        let damages = findings.damages.iter().map(|damage| ("DAMAGED", damage.to_string()));
        print(out, &columns(findings.checked.into_iter().chain(damages)))?;
        match findings.damages.len() {
            0 => print(out, "all is well\n"),
            damages => Err(Failure::Damaged { damages }),
        }
    }
}
