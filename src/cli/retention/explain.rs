//! `retention explain`: why a partition is kept, blocked or may go; what is known of a job's log.

use super::{outcome::told_one, parts, plan::failure};
use crate::{
    cli::{Failure, out::print, settings::SettingFlags},
    config::{environment::Surroundings, table::verbs},
    logs::LogDatabase,
    retention::{self, Ledger},
    store::Options,
    upkeep,
};
use clap::Args;
use dataflows::{
    retention::{
        Archive, LedgerRow, Policies, partitions,
        row::{has_no_end, job_passes},
    },
    time::Millis,
};
use std::io::Write;
use uuid::Uuid;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow retention explain log_lines_y2026m01
  gocdnext-flow retention explain d7e4b9c0-6a52-4f1d-9c38-7b5e2a1f0d04";

/// Tell why a partition is kept or may go, or what is known of the log of a job
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    /// A partition's name, or a job's id
    #[arg(value_name = "PARTITION|JOB")]
    subject: String,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::RETENTION }>,
}

impl Explain {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let told = upkeep::wait(async {
            let (url, ledger) = parts(&config, Options::look_only()).await?;
            if let Ok(job) = self.subject.parse::<Uuid>() {
                let known = ledger.known(&[job.as_u128()]).await.map_err(|error| failure(&url, error.into()))?;
                let policies = ledger.0.policies().await.map_err(|error| failure(&url, error.into()))?;
                return Ok(of_job(job, &known, &policies));
            }
            let logs = LogDatabase::look(&url);
            let found =
                retention::look_at(&logs, &ledger, &self.subject).await.map_err(|error| failure(&url, error))?;
            let Some((partition, outcome)) = found else {
                return Err(no_partition(&self.subject));
            };
            Ok(told_one(&partition, &outcome))
        })?;
        print(out, &told)
    }
}

pub(super) fn no_partition(name: &str) -> Failure {
    let shown = "`gocdnext-flow retention plan` shows those there are";
    Failure::Misuse(format!("log_lines has no partition {name}; {shown}"))
}

fn of_job(job: Uuid, known: &retention::Known, policies: &Policies) -> String {
    if known.rows.is_empty() {
        let adopted = known.adopted.contains(&job.as_u128());
        let told =
            if adopted { "nobody announced it; somebody has vouched for it" } else { "nothing is known of it" };
        return format!("{job}: {told}\n");
    }
    let archives = known.rows.iter().any(|row| policies.archives(row.project));
    let verdict = match job_passes(&known.rows, archives) {
        Ok(()) => "it does not stand in the way of a drop".to_owned(),
        Err(reason) if known.rows.iter().all(|row| row.ended_at.is_some()) => format!(
            "it keeps its partition: {}; an event log.archived with success or skipped, from its end on, lets it go",
            reason.name()
        ),
        Err(reason) => format!("it keeps its partition: {}", reason.name()),
    };
    let adopted = known.adopted.contains(&job.as_u128());
    let verdict = if !has_no_end(&known.rows) {
        verdict
    } else if adopted {
        "only its begin is known; somebody has vouched for it".to_owned()
    } else {
        format!(
            "{verdict}; if its begin is long past, no end will come: gocdnext-flow retention adopt PARTITION --reason TEXT"
        )
    };
    let rows: String = known.rows.iter().map(attempt).collect();
    format!("{job}: {verdict}\n{rows}")
}

fn attempt(row: &LedgerRow) -> String {
    let at = |time: Option<Millis>| time.map_or_else(|| "not yet".to_owned(), partitions::told);
    let archive = match row.archive {
        Archive::None => "not heard of",
        Archive::Failed => "failed",
        Archive::Skipped => "skipped",
        Archive::Success => "done",
    };
    let dispatched = if row.dispatched { "dispatched" } else { "not dispatched" };
    let (run, project) = (Uuid::from_u128(row.run), Uuid::from_u128(row.project));
    format!(
        "  attempt {} of run {run}, project {project}: {dispatched}, ended {}, archive {archive}, archived {}\n",
        row.attempt,
        at(row.ended_at),
        at(row.archived_at)
    )
}
