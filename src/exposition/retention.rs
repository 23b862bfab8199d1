//! The series of retention, where it is on: decisions, archives that wait, partitions that are kept though they are old.

use super::{Value, Writer};
use dataflows::{
    registry::Snapshot,
    retention::{Kind, Reason},
    series::{Family, SeriesType},
    time::Millis,
};

const DECISIONS: Family = Family {
    name: "gocdnext_retention_decisions_total",
    kind: SeriesType::Counter,
    labels: &["kind"],
    help: "Decisions of retention.",
};
const WAITING: Family = gauge("gocdnext_retention_archives_waiting", &[], "Logs that wait for their archive.");
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
    let age = |since: Option<Millis>| {
        Value::Millis(since.map_or(0, |since| snapshot.stream_time.0.saturating_sub(since).max(0)))
    };
    out.family(&DECISIONS);
    for (kind, count) in Kind::NAMES.into_iter().zip(shown.decisions) {
        out.sample(&DECISIONS, &[("kind", kind)], Value::Count(count));
    }
    for (family, value) in [(&WAITING, Value::Count(shown.waiting)), (&OLDEST_WAITING, age(shown.oldest_waiting))] {
        out.family(family);
        out.sample(family, &[], value);
    }
    let Some(partitions) = &shown.partitions else { return };
    out.family(&BLOCKED);
    for (reason, count) in Reason::ALL.into_iter().zip(partitions.blocked) {
        out.sample(&BLOCKED, &[("reason", reason.name())], Value::Count(count));
    }
    out.family(&OLDEST_PARTITION);
    out.sample(&OLDEST_PARTITION, &[], age(partitions.oldest));
}
