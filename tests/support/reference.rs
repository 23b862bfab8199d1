//! What the series must be at the end: `replay` over the same records as a file.
//!
//! The log is punctual (`load.rs`), so every series outside `gocdnext_flow_*` is a function of it (I1): the reference is
//! taken twice, with other epochs and workers, which must agree. Events and rejected records are compared too: each
//! record counts once, however often the program was killed while it read it.

use super::{exposition::Exposition, load::Flow, program::program};
use anyhow::{Context, Result, ensure};
use std::{collections::BTreeSet, fs, path::Path};

/// Own figures that depend on the set of records alone.
const COUNTED_ONCE: [&str; 2] = ["gocdnext_flow_events_total", "gocdnext_flow_rejected_total"];
/// Counters that must stay at 0, or the log was not punctual.
const UNPUNCTUAL: [&str; 4] = [
    "gocdnext_flow_late_total",
    "gocdnext_flow_conflicts_total",
    "gocdnext_flow_skewed_total",
    "gocdnext_flow_over_limit_total",
];

/// The exposition after a replay of the file.
pub fn reference(log: &Path, flow: Flow) -> Result<Exposition> {
    let reference = replayed(log, flow, "1", "100000")?;
    let again = replayed(log, flow, "3", "1000")?;
    let differences = differences(&again, &reference);
    ensure!(differences.is_empty(), "the log is not punctual; by other epochs:\n  {}", differences.join("\n  "));
    for family in UNPUNCTUAL {
        let count = reference.sum(family);
        ensure!(count == Some(0.0), "the log is not punctual: {family} is {count:?}");
    }
    Ok(reference)
}

fn replayed(log: &Path, flow: Flow, workers: &str, epoch_records: &str) -> Result<Exposition> {
    let metrics = log.with_extension(format!("{workers}-workers.prom"));
    let mut replay = program(&["replay", "--log-level", "error", "--workers", workers]);
    replay.args(["--epoch-records", epoch_records]).args(flow.rules()).arg(log);
    replay.arg("--metrics-out").arg(&metrics).arg("--dead-letters").arg(log.with_extension("rejected"));
    let output = replay.output().context("starting the replay")?;
    ensure!(output.status.success(), "the replay fails: {}", String::from_utf8_lossy(&output.stderr));
    Exposition::parse(&fs::read_to_string(metrics)?)
}

/// How many series are compared.
pub fn compared(exposition: &Exposition) -> usize {
    exposition.0.keys().filter(|series| is_compared(series)).count()
}

/// Every series that is not as it must be.
pub fn differences(found: &Exposition, expected: &Exposition) -> Vec<String> {
    let all: BTreeSet<&String> =
        found.0.keys().chain(expected.0.keys()).filter(|series| is_compared(series)).collect();
    let differing = all.into_iter().filter(|series| found.value(series) != expected.value(series));
    let show = |value: Option<f64>| value.map_or("absent".to_owned(), |value| value.to_string());
    differing
        .map(|series| format!("{series} is {}, expected {}", show(found.value(series)), show(expected.value(series))))
        .collect()
}

fn is_compared(series: &str) -> bool {
    let of_the_log = series.starts_with("gocdnext_") && !series.starts_with("gocdnext_flow_");
    of_the_log || COUNTED_ONCE.iter().any(|family| series.starts_with(family))
}
