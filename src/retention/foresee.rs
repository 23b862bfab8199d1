//! What a change of policies would do to the partitions there are, before it is made.
//!
//! A partition that a change makes old enough is dropped within the minute, so it is asked as if stream time had come to
//! the log database's clock and all that waits in Kafka were read: both soon are. What no drop would touch anyway
//! (partitions from before our time, or with other bounds than their month's) is left out.
//!
//! A change that lets go of archives frees what was old enough before and waited for one: that only the lines can tell.

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
    /// Those that were old enough before, where the change lets go of archives: see [`freed`].
    pub old: Vec<Partition>,
}

/// Whether the logs of some project must be archived under `before`, as far as is known, and need not under `after`.
#[must_use]
pub fn lets_go_of_archives(before: &Policies, after: &Policies) -> bool {
    let must = |policies: &Policies, project: Option<Id>| {
        let policy = project.map_or(policies.default, |project| policies.of(project));
        policy.is_none_or(|policy| policy.archive)
    };
    let own = before.projects.keys().chain(after.projects.keys()).copied().map(Some);
    own.chain([None]).any(|project| must(before, project) && !must(after, project))
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
    let lets_go = lets_go_of_archives(before, after);
    let mut foreseen = Foreseen::default();
    for partition in closed {
        foreseen.closed += 1;
        if !may_go(partition, after, catalogue.now) {
            continue;
        }
        if !may_go(partition, before, catalogue.now) {
            foreseen.due.push(partition.clone());
        } else if lets_go {
            foreseen.old.push(partition.clone());
        }
    }
    foreseen
}

/// Those of these partitions that would be dropped under `after` and not under `before`, with what would become of them.
/// It reads their lines. One that cannot be read now counts, too: nobody knows that it stays.
pub async fn freed(
    logs: &LogDatabase,
    ledger: &impl Ledger,
    [before, after]: [&Policies; 2],
    partitions: &[Partition],
) -> Result<Vec<(Partition, Outcome)>, RetentionError> {
    let mut freed = Vec::new();
    for (partition, outcome) in fate(logs, ledger, after, partitions).await? {
        if !matches!(outcome, Outcome::WouldDrop { .. } | Outcome::Busy { .. } | Outcome::Refused { .. }) {
            continue;
        }
        let was = fate(logs, ledger, before, std::slice::from_ref(&partition)).await?;
        if !matches!(was.as_slice(), [(_, Outcome::WouldDrop { .. })]) {
            freed.push((partition, outcome));
        }
    }
    Ok(freed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::retention::Policy;

    /// The default's and project 7's.
    fn policies(default: Option<bool>, own: Option<bool>) -> Policies {
        let policy = |archive| Policy { log_retention_days: 30, archive };
        let projects = own.map(|archive| (7, policy(archive))).into_iter().collect();
        Policies { default: default.map(policy), projects }
    }

    #[test]
    fn archives_end_where_one_that_is_on_or_not_known_goes_off() {
        let (on, off) = (Some(true), Some(false));
        let lets_go = |before: (_, _), after: (_, _)| {
            lets_go_of_archives(&policies(before.0, before.1), &policies(after.0, after.1))
        };
        for before in [on, None] {
            assert!(lets_go((before, None), (off, None)), "the default");
            assert!(lets_go((before, None), (before, off)), "a project of its own");
            assert!(lets_go((off, on), (off, None)), "a policy that is removed");
            assert!(lets_go((before, on), (off, on)), "the others'");
        }
        for same in [(on, off), (off, on), (None, off), (off, None)] {
            assert!(!lets_go(same, same), "{same:?}");
        }
        assert!(!lets_go((off, None), (off, off)) && !lets_go((off, off), (off, None)), "off as before");
        assert!(!lets_go((off, off), (on, on)) && !lets_go((off, off), (None, None)));
    }
}
