//! `retention adopt`: the one way out for partitions from before our time.

use super::{explain::no_partition, parts, plan::failure};
use crate::{
    cli::{Failure, confirm::Agreement, out::print, settings::SettingFlags},
    config::{Config, environment::Surroundings, table::verbs},
    logs::LogDatabase,
    retention,
    store::Options,
    upkeep,
};
use clap::Args;
use dataflows::{event::Id, retention::decision::Hyphenated, time::Millis};
use std::{io::Write, time::Duration};

/// Reading a large partition takes its time.
const PATIENCE: Duration = Duration::from_mins(10);
/// Jobs that are listed before it asks.
const LISTED: usize = 20;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow retention adopt log_lines_y2025m03 --reason 'from before gocdnext-flow; archived by hand'

Exactly the jobs that are in it now and that nobody has announced are recorded as vouched for,
with the reason; also those of which only late events told, and no end. Age, policies and what
is known of the other jobs still count.";

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
        let told = upkeep::wait::<_, Failure>(async {
            let (url, ledger) = parts(&config, Options::look_only()).await?;
            let logs = LogDatabase::look(&url);
            let listed = retention::adoptable(&logs, &ledger, &self.partition, lost_after(&config), PATIENCE)
                .await
                .map_err(|error| failure(&url, error))?;
            let listed = listed.ok_or_else(|| no_partition(&self.partition))?;
            Agreement::to(Some(warning(&listed)), self.yes)?.get().await?;
            // state that is there: nothing was made to look at it
            let (_, ledger) = parts(&config, Options::default()).await?;
            retention::adopt(&ledger, &listed, &self.reason).await.map_err(|error| failure(&url, error))?;
            Ok(format!("{}: {} jobs adopted\n", self.partition, listed.unknown.len() + listed.without_end.len()))
        })?;
        print(out, &told)
    }
}

/// By then every job that was counted has an end, if only because it was lost.
fn lost_after(config: &Config) -> Millis {
    let settings = &config.dataflow;
    settings.job_ttl_ms.max(settings.queue_ttl_ms).saturating_add(2 * settings.late_grace_ms)
}

fn warning(listed: &retention::Adoptable) -> String {
    let found = listed.found;
    let head = format!("{} holds {} lines of {} jobs\n", listed.partition.name, found.rows, found.jobs);
    head + &named("nothing is known", &listed.unknown)
        + &named("only a begin is known, by events that came too late,", &listed.without_end)
        + "Once adopted, nobody asks for their archives any more: what was not archived is lost with the partition.\n"
}

/// Some of these jobs; nothing where there are none.
fn named(what: &str, jobs: &[Id]) -> String {
    if jobs.is_empty() {
        return String::new();
    }
    let shown: String = jobs.iter().take(LISTED).map(|job| format!("  {}\n", Hyphenated(*job))).collect();
    let more = if jobs.len() > LISTED { "  ...\n" } else { "" };
    format!("{what} of {} of these:\n{shown}{more}", jobs.len())
}
