//! `state rebucket`: other bucket bounds for stored histograms.

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
use clap::{Args, ValueEnum};
use dataflows::rebucket::Buckets;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow state rebucket gocdnext_job_duration_seconds --duration-buckets 10s,1m,10m,1h
  gocdnext-flow state rebucket gocdnext_job_queue_seconds --config /etc/gocdnext-flow.toml

Stop every instance first, and set the new bounds for `run` as well. Where each new bound is
also an old one, every count is carried over exactly; otherwise these histograms start over from
zero, and it asks. All else stays.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Series {
    #[value(name = "gocdnext_job_duration_seconds", help = "By duration_buckets, with that of runs")]
    JobDuration,
    #[value(name = "gocdnext_run_duration_seconds", help = "By duration_buckets, with that of jobs")]
    RunDuration,
    #[value(name = "gocdnext_job_queue_seconds", help = "By queue_buckets")]
    JobQueue,
}

/// Carry stored histograms over to the bounds of the settings.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Rebucket {
    /// Which histogram
    #[arg(value_name = "SERIES", value_enum)]
    series: Series,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::STATE | verbs::REBUCKET }>,
}

impl Rebucket {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let buckets = match self.series {
            Series::JobDuration | Series::RunDuration => Buckets::Duration,
            Series::JobQueue => Buckets::Queue,
        };
        let done = upkeep::wait(async {
            let Some(plan) = upkeep::rebucket::plan(config, buckets).await? else {
                return Ok("nothing to do: the stored series have these bounds\n".to_owned());
            };
            let held = plan.hold(|waiting| tell(&format!("{waiting}\n"))).await?;
            if let Err(no) = agreed(held.warning(), self.yes).await {
                held.give_up().await;
                return Err(no);
            }
            Ok(held.carry_out().await?)
        })?;
        print(out, &done)
    }
}

async fn agreed(warning: Option<String>, yes: bool) -> Result<(), Failure> {
    Agreement::to(warning, yes)?.get().await
}
