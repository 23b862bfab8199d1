//! The series of retention, where it is on: decisions, archives that wait, partitions that are kept though they are old.

use super::{Value, Writer};
use dataflows::{
    registry::Snapshot,
    retention::{Fate, Figures, Kind, Reason},
    series::{Family, SeriesType},
    time::Millis,
};

const DECISIONS: Family = Family {
    name: "gocdnext_retention_decisions_total",
    kind: SeriesType::Counter,
    labels: &["kind", "outcome"],
    help: "Decisions of retention: each under decided, and under what became of it once that is known.",
};
const WAITING: Family = gauge("gocdnext_retention_archives_waiting", &[], "Logs that wait for their archive.");
const FAILING: Family = gauge(
    "gocdnext_retention_archives_failing",
    &[],
    "Logs that wait for their archive, of which a try at least gave none.",
);
const OLDEST_WAITING: Family = gauge(
    "gocdnext_retention_oldest_archive_wait_seconds",
    &[],
    "How long the log that waits longest for its archive has waited; 0 when none does.",
);
const BLOCKED: Family = gauge(
    "gocdnext_retention_blocked_partitions",
    &["reason"],
    "Log partitions that are old enough to go and kept all the same.",
);
const OLDEST_PARTITION: Family =
    gauge("gocdnext_retention_oldest_partition_age_seconds", &[], "Age of the begin of the oldest log partition.");

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: SeriesType::Gauge, labels, help }
}

/// Ages are by stream time. What the log database tells is absent while it cannot be asked: not known is not 0.
pub(super) fn write(snapshot: &Snapshot, out: &mut impl Writer) {
    let Some(shown) = &snapshot.retention else { return };
    let figures = &shown.figures;
    let age = |since: Option<Millis>| {
        Value::Millis(since.map_or(0, |since| snapshot.stream_time.0.saturating_sub(since).max(0)))
    };
    decisions(figures, out);
    let archives = [
        (&WAITING, Value::Count(figures.waiting)),
        (&FAILING, Value::Count(figures.failing)),
        (&OLDEST_WAITING, age(figures.oldest_waiting)),
    ];
    for (family, value) in archives {
        out.family(family);
        out.sample(family, &[], value);
    }
    let Some(partitions) = &figures.partitions else { return };
    out.family(&BLOCKED);
    for (reason, count) in Reason::ALL.into_iter().zip(partitions.blocked) {
        out.sample(&BLOCKED, &[("reason", reason.name())], Value::Count(count));
    }
    out.family(&OLDEST_PARTITION);
    out.sample(&OLDEST_PARTITION, &[], age(partitions.oldest));
}

fn decisions(figures: &Figures, out: &mut impl Writer) {
    out.family(&DECISIONS);
    for (index, kind) in Kind::NAMES.into_iter().enumerate() {
        let mut sample = |outcome, count| {
            out.sample(&DECISIONS, &[("kind", kind), ("outcome", outcome)], Value::Count(count));
        };
        sample(DECIDED, figures.decisions[index]);
        for fate in Fate::OF_KINDS[index] {
            sample(fate.name(), figures.fates[index][*fate as usize]);
        }
    }
}

/// The outcome under which every decision counts.
pub(super) const DECIDED: &str = "decided";
