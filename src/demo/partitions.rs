//! What has become of the demo's job logs, as a table for its end; from the published snapshot.

use dataflows::{
    event::ArchiveResult,
    registry::Snapshot,
    retention::{
        Kind, Obstacle, Partition, RetentionInput,
        partitions::{Verdict, why},
    },
};

/// `None`: nothing is known of partitions.
pub fn table(snapshot: &Snapshot) -> Option<String> {
    let shown = snapshot.retention.as_deref()?;
    let (listed, input) = (shown.partitions()?, shown.input.as_deref()?);
    let dropped = snapshot.totals.partitions_dropped;
    let rows: String = listed.into_iter().map(|listed| row(listed, input)).collect();
    let archives = |result: ArchiveResult| snapshot.totals.archives[result as usize];
    let asked = shown.figures.decisions[Kind::ArchiveLogs.index()];
    Some(format!(
        "Job logs: {} archived, {} tries failed, {asked} asked for, {} wait; {dropped} monthly partitions dropped.\n{rows}",
        archives(ArchiveResult::Success),
        archives(ArchiveResult::Failed),
        shown.figures.waiting,
    ))
}

fn row((partition, verdict, obstacle): (&Partition, Verdict, Option<&Obstacle>), input: &RetentionInput) -> String {
    let (word, why) = match (verdict, obstacle) {
        (Verdict::Young { .. }, _) => ("kept", why(verdict, partition, input)),
        (Verdict::Blocked { reason, .. }, _) => {
            ("blocked", format!("{}: {}", reason.name(), why(verdict, partition, input)))
        }
        (Verdict::Drop { .. }, Some(Obstacle { reason, why, .. })) => {
            ("blocked", format!("{}: {why}", reason.name()))
        }
        (Verdict::Drop { .. }, None) => ("to drop", why(verdict, partition, input)),
    };
    format!("  {:<20} {word:<8} {why}\n", partition.name)
}
