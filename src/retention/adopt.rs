//! The one way out for partitions from before our time: somebody vouches for the jobs that nobody announced.
//!
//! Exactly those that are in the partition at that moment and of which nothing is known are recorded, with the reason
//! given. Age, policies, and what is known of the other jobs stay as they are.

use super::{
    RetentionError,
    ledger::{Adoption, Ledger},
};
use crate::logs::{Found, LogDatabase, LogsError};
use dataflows::{event::Id, retention::Partition};
use std::{collections::BTreeSet, time::Duration};

/// What would be adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoptable {
    pub partition: Partition,
    /// All that is in it.
    pub found: Found,
    /// Jobs of which nothing is known, and that nobody has vouched for.
    pub unknown: Vec<Id>,
}

/// Lists what [`adopt`] would record. It changes nothing.
pub async fn adoptable(
    logs: &LogDatabase,
    ledger: &impl Ledger,
    name: &str,
    patience: Duration,
) -> Result<Adoptable, RetentionError> {
    let Some(mut survey) = logs.survey(name, patience).await? else {
        return Err(LogsError::Definite { reason: format!("log_lines has no partition {name}") }.into());
    };
    let mut unknown = Vec::new();
    while let Some(page) = survey.page().await? {
        let jobs: Vec<Id> = page.into_iter().map(|lined| lined.job).collect();
        let known = ledger.known(&jobs).await?;
        let told: BTreeSet<Id> = known.rows.iter().map(|row| row.job).chain(known.adopted).collect();
        unknown.extend(jobs.into_iter().filter(|job| !told.contains(job)));
    }
    Ok(Adoptable { partition: survey.partition().clone(), found: survey.found(), unknown })
}

/// Records what was listed, neither more nor less.
pub async fn adopt(ledger: &impl Ledger, listed: &Adoptable, reason: &str) -> Result<(), RetentionError> {
    let Adoptable { partition, unknown, .. } = listed;
    let adoption = Adoption { partition: partition.name.clone(), jobs: unknown.clone(), reason: reason.to_owned() };
    Ok(ledger.adopt(&adoption).await?)
}
