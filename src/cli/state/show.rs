//! `state show`: what is stored.

use super::{Failure, columns};
use crate::{
    cli::{
        out::{Format, print},
        settings::SettingFlags,
    },
    config::{environment::Surroundings, table::verbs},
    upkeep::{
        self,
        show::{Holder, Holds, Report},
    },
};
use clap::Args;
use indicatif::HumanBytes;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow state show
  gocdnext-flow state show --state sqlite:/var/lib/gocdnext-flow/gocdnext-flow.db
  gocdnext-flow state show --format json | jq .offsets

Only looks: it may be called while `run` writes the state, and makes nothing that is not there.";

/// Print what is stored: manifest, offsets, lease, sizes, counts, ages.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Show {
    /// How to print it
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::STATE }>,
}

impl Show {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let report = upkeep::wait(upkeep::show::show(&config.state))?;
        let text = match self.format {
            Format::Table => table(&report),
            Format::Json => serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)? + "\n",
        };
        print(out, &text)
    }
}

fn table(report: &Report) -> String {
    let mut rows = vec![("state", report.state.clone()), ("epoch", epoch(report))];
    rows.push(("lease", lease(&report.lease)));
    rows.push(("size", size(report)));
    if report.epoch > 0 {
        rows.push(("stream time", report.stream_time.clone().unwrap_or_else(|| "not known yet".to_owned())));
        rows.push(("topic", topic(report)));
        if report.topic.is_some() {
            let shown = if report.shown { "yes" } else { "not yet: what was there at the first start is being read" };
            rows.push(("shown", shown.to_owned()));
        }
        let offsets = report.offsets.iter().map(|(partition, next)| format!("{partition}: {next}"));
        let offsets = offsets.collect::<Vec<_>>().join("  ");
        let none = "from the beginning of every partition".to_owned();
        rows.push(("next offsets", if offsets.is_empty() { none } else { offsets }));
    }
    if let Some(holds) = &report.holds {
        rows.extend(held(holds));
    }
    if let Some(trouble) = &report.trouble {
        rows.push(("TROUBLE", format!("{trouble}; `gocdnext-flow state verify` tells all")));
    }
    columns(rows)
}

fn epoch(report: &Report) -> String {
    let (Some(at), Some(age)) = (&report.committed_at, report.committed_age_seconds) else {
        return "nothing is committed yet".to_owned();
    };
    format!("{}, committed {at} ({} ago), generation {}", report.epoch, span(age), report.generation)
}

fn topic(report: &Report) -> String {
    match (&report.topic, &report.topic_id) {
        (None, _) => "none: a replay's".to_owned(),
        (Some(topic), None) => topic.clone(),
        (Some(topic), Some(id)) => format!("{topic} (id {id})"),
    }
}

fn lease(lease: &Holder) -> String {
    let (Some(at), Some(age)) = (&lease.last_renewal, lease.last_renewal_age_seconds) else {
        return "never held".to_owned();
    };
    let how = if lease.released { "given back" } else { "held" };
    let (instance, process, generation) = (&lease.instance_id, &lease.process, lease.generation);
    format!("{how} by {instance} at {at} ({} ago), process {process}, generation {generation}", span(age))
}

fn size(report: &Report) -> String {
    let size = &report.size;
    let from = match size.oldest_epoch {
        Some(oldest) => format!("from epoch {oldest}, needed from {}", report.horizon),
        None => "none".to_owned(),
    };
    format!("{} blobs ({from}), {}; {} on disk", size.blobs, HumanBytes(size.bytes), HumanBytes(size.disk_bytes))
}

fn held(holds: &Holds) -> Vec<(&'static str, String)> {
    let oldest = match (&holds.oldest_job_since, holds.oldest_job_age_seconds) {
        (Some(since), Some(age)) => format!("; the oldest since {since} ({} of stream time)", span(age)),
        _ => String::new(),
    };
    let Holds { jobs, jobs_running, jobs_pending, jobs_dispatchable, .. } = holds;
    vec![
        (
            "jobs",
            format!(
                "{jobs} kept, {jobs_pending} pending, of these {jobs_running} running and {jobs_dispatchable} \
                 dispatchable{oldest}"
            ),
        ),
        ("runs", format!("{} kept, {} queued", holds.runs, holds.runs_queued)),
        ("agents", format!("{} kept, {} online", holds.agents, holds.agents_online)),
        (
            "remembered",
            format!("{} runs and jobs, {} deliveries", holds.remembered_runs_and_jobs, holds.remembered_deliveries),
        ),
        ("series", format!("of {} pipelines, {} names", holds.pipelines, holds.names)),
    ]
}

/// `1h 2m 3s`
fn span(seconds: i64) -> String {
    format!("{:#}", jiff::SignedDuration::from_secs(seconds))
}
