//! The one way out for partitions from before our time: somebody vouches for the jobs that nobody announced.
//!
//! Exactly those that are in the partition at that moment and of which nothing is known are recorded, with the reason
//! given; and those of which only a begin is known, so long ago that no end will come by itself ([`has_no_end`]): late
//! events told of them. Age, policies, and what is known of the other jobs stay as they are.

use super::{
    RetentionError,
    ledger::{Adoption, Ledger},
};
use crate::logs::{Found, LogDatabase};
use dataflows::{
    event::Id,
    retention::{LedgerRow, Partition, row::has_no_end},
    time::Millis,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What would be adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoptable {
    pub partition: Partition,
    /// All that is in it.
    pub found: Found,
    /// Jobs of which nothing is known, and that nobody has vouched for.
    pub unknown: Vec<Id>,
    /// Jobs of which only a begin is known, likewise.
    pub without_end: Vec<Id>,
}

/// Lists what [`adopt`] would record. It changes nothing. `lost_after`: so long after its last sign of life every job that
/// was ever counted has an end.
pub async fn adoptable(
    logs: &LogDatabase,
    ledger: &impl Ledger,
    name: &str,
    lost_after: Millis,
    patience: Duration,
) -> Result<Option<Adoptable>, RetentionError> {
    let Some(mut survey) = logs.survey(name, patience).await? else { return Ok(None) };
    let now = ledger.standing().await?.moment.now;
    let all_have_ended = now.is_past(survey.partition().upper.saturating_add(lost_after));
    let (mut unknown, mut without_end) = (Vec::new(), Vec::new());
    while let Some(page) = survey.page().await? {
        let jobs: Vec<Id> = page.into_iter().map(|lined| lined.job).collect();
        let known = ledger.known(&jobs).await?;
        let adopted: BTreeSet<Id> = known.adopted.into_iter().collect();
        let mut rows: BTreeMap<Id, Vec<LedgerRow>> = BTreeMap::new();
        for row in known.rows {
            rows.entry(row.job).or_default().push(row);
        }
        for job in jobs.into_iter().filter(|job| !adopted.contains(job)) {
            match rows.get(&job) {
                None => unknown.push(job),
                Some(rows) if all_have_ended && has_no_end(rows) => without_end.push(job),
                Some(_) => {}
            }
        }
    }
    Ok(Some(Adoptable { partition: survey.partition().clone(), found: survey.found(), unknown, without_end }))
}

/// Records what was listed, neither more nor less.
pub async fn adopt(ledger: &impl Ledger, listed: &Adoptable, reason: &str) -> Result<(), RetentionError> {
    let Adoptable { partition, unknown, without_end, .. } = listed;
    let jobs = unknown.iter().chain(without_end).copied().collect();
    let adoption = Adoption { partition: partition.name.clone(), jobs, reason: reason.to_owned() };
    Ok(ledger.adopt(&adoption).await?)
}
