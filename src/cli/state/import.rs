//! `state import`: what was exported, into a database.

use super::Failure;
use crate::{
    cli::{
        confirm::Agreement,
        out::{print, tell},
        settings::SettingFlags,
    },
    config::{environment::Surroundings, table::verbs},
    upkeep,
};
use clap::Args;
use std::{io::Write, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow state import backup.zst --state postgres://flow@db/flow
  gocdnext-flow state import backup.zst --replace --yes

Stop every instance first. The state must be empty, or be given up with --replace. It comes whole or not at all.";

/// Put an exported state into an empty place.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// File that `state export` has written; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Forget what is there
    #[arg(long)]
    replace: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::STATE | verbs::IMPORT }>,
}

impl Import {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let done = upkeep::wait(async {
            let plan = upkeep::import::plan(config, &self.file, self.replace).await?;
            let agreement = Agreement::to(plan.warning(), self.yes)?;
            let held = plan.hold(|waiting| tell(&format!("{waiting}\n"))).await?;
            if let Err(no) = agreement.get().await {
                held.give_up().await;
                return Err(no);
            }
            Ok(held.carry_out().await?)
        })?;
        print(out, &done)
    }
}
