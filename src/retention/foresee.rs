//! What a change of policies would do to the partitions there are, before it is made.
//!
//! A partition that a change makes old enough is dropped within the minute, so it is asked as if stream time had come to
//! the log database's clock and all that waits in Kafka were read: both soon are. What no drop would touch anyway
//! (partitions from before our time, or with other bounds than their month's) is left out.

use super::{
    RetentionError,
    examine::Standing,
    executor::{Outcome, look_at},
    ledger::{Adoption, Known, Ledger},
};
use crate::{logs::LogDatabase, store::StoreError};
use dataflows::{
    event::Id,
    retention::{
        Catalogue, Partition, Policies, RetentionInput,
        partitions::{Moment, Verdict, judge},
    },
    time::{Millis, StreamTime},
};
use std::sync::Arc;

/// Later than every deadline but what can never pass.
const LATER: Moment = Moment { now: StreamTime(Millis::MAX), caught_up: true };

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// Partitions whose month is over and that may go once they are old enough.
    pub closed: usize,
    /// Those of them that the change makes old enough, in order of their bounds.
    pub due: Vec<Partition>,
}

/// Which partitions would fall due at once if `after` took the place of `before`. It reads no lines.
#[must_use]
pub fn foresee(standing: &Standing, catalogue: &Catalogue, before: &Policies, after: &Policies) -> Foreseen {
    let verdict = |partition: &Partition, policies: &Policies, clock: Millis| {
        let input = with(standing, policies).input;
        judge(&standing.vouched(partition), &input, clock, LATER)
    };
    let may_go = |partition: &Partition, policies: &Policies, clock: Millis| {
        matches!(verdict(partition, policies, clock), Verdict::Drop { .. })
    };
    let closed = catalogue
        .partitions
        .iter()
        .filter(|partition| partition.upper <= catalogue.now && may_go(partition, after, Millis::MAX));
    let mut foreseen = Foreseen::default();
    for partition in closed {
        foreseen.closed += 1;
        if may_go(partition, after, catalogue.now) && !may_go(partition, before, catalogue.now) {
            foreseen.due.push(partition.clone());
        }
    }
    foreseen
}

/// What would become of these partitions under `after`. It reads their lines.
pub async fn fate(
    logs: &LogDatabase,
    ledger: &impl Ledger,
    after: &Policies,
    partitions: &[Partition],
) -> Result<Vec<(Partition, Outcome)>, RetentionError> {
    let ledger = Supposed { ledger, policies: after };
    let mut fates = Vec::new();
    for partition in partitions {
        // one that has gone meanwhile is no loss of this change
        fates.extend(look_at(logs, &ledger, &partition.name).await?);
    }
    Ok(fates)
}

fn with(standing: &Standing, policies: &Policies) -> Standing {
    let policies = Arc::new(policies.clone());
    let input = RetentionInput { policies, ..standing.input.clone() };
    Standing { input, moment: LATER, adopted: standing.adopted.clone() }
}

/// The ledger as it would be under other policies.
struct Supposed<'a, L> {
    ledger: &'a L,
    policies: &'a Policies,
}

impl<L: Ledger> Ledger for Supposed<'_, L> {
    async fn standing(&self) -> Result<Standing, StoreError> {
        Ok(with(&self.ledger.standing().await?, self.policies))
    }

    async fn known(&self, jobs: &[Id]) -> Result<Known, StoreError> {
        self.ledger.known(jobs).await
    }

    async fn adopt(&self, _: &Adoption) -> Result<(), StoreError> {
        Err(StoreError::Definite { reason: "nothing is written down of what is only supposed".to_owned() })
    }
}
