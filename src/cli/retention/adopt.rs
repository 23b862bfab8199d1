//! `retention adopt`: the one way out for partitions from before our time.

use super::{parts, plan::failure};
use crate::{
    cli::{
        Failure,
        settings::SettingFlags,
        state::{
            confirm::{Confirmation, declined},
            print,
        },
    },
    config::{environment::Surroundings, table::verbs},
    logs::LogDatabase,
    retention,
    store::Options,
    upkeep,
};
use clap::Args;
use dataflows::retention::decision::Hyphenated;
use std::{io::Write, time::Duration};

/// Reading a large partition takes its time.
const PATIENCE: Duration = Duration::from_mins(10);
/// Jobs that are listed before it asks.
const LISTED: usize = 20;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow retention adopt log_lines_y2025m03 --reason 'from before gocdnext-flow; archived by hand'

Exactly the jobs that are in it now and that nobody has announced are recorded as vouched for, with the reason. Age,
policies and what is known of the other jobs still count.";

/// Vouch for the unknown jobs of a partition from before our time
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Adopt {
    /// Its name
    #[arg(value_name = "PARTITION")]
    partition: String,
    /// Why it may go; kept with the state
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::RETENTION }>,
}

impl Adopt {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        if self.reason.trim().is_empty() {
            return Err(Failure::Misuse("--reason is empty: say why it may go, for those who come later".into()));
        }
        let config = self.settings.load(around)?.config;
        let told = upkeep::wait(async {
            let (url, ledger) = parts(&config, Options::look_only()).await?;
            let logs = LogDatabase::look(&url);
            let listed = retention::adoptable(&logs, &ledger, &self.partition, PATIENCE).await.map_err(failure)?;
            let warning = warning(&listed);
            let asking = Confirmation::of(self.yes, &warning)?;
            if !asking.get(&warning).await {
                return Err(declined());
            }
            // state that is there: nothing was made to look at it
            let (_, ledger) = parts(&config, Options::default()).await?;
            retention::adopt(&ledger, &listed, &self.reason).await.map_err(failure)?;
            Ok(format!("{}: {} jobs adopted\n", self.partition, listed.unknown.len()))
        })?;
        print(out, &told)
    }
}

fn warning(listed: &retention::Adoptable) -> String {
    let found = listed.found;
    let mut text = format!(
        "{} holds {} lines of {} jobs; nothing is known of {} of these:\n",
        listed.partition.name,
        found.rows,
        found.jobs,
        listed.unknown.len()
    );
    let shown: String = listed.unknown.iter().take(LISTED).map(|job| format!("  {}\n", Hyphenated(*job))).collect();
    text += &shown;
    if listed.unknown.len() > LISTED {
        text += "  ...\n";
    }
    text + "Once adopted, nobody asks for their archives any more: what was not archived is lost with the partition.\n"
}
