//! What people want of logs, and what the log database has: the inputs of retention, beside the events.

use crate::{event::Id, time::Millis};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// One day, the unit of a policy.
pub const DAY_MS: Millis = 86_400_000;

/// What is to become of the logs of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// So long are log lines kept in the log database, from the end of their partition on.
    pub log_retention_days: u32,
    /// Each job's log is archived before it may go.
    pub archive: bool,
}

/// All policies in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// Of projects without one of their own; `None`: of those nothing is known.
    pub default: Option<Policy>,
    pub projects: BTreeMap<Id, Policy>,
}

impl Policies {
    /// A project's policy; `None`: not known.
    #[must_use]
    pub fn of(&self, project: Id) -> Option<Policy> {
        self.projects.get(&project).copied().or(self.default)
    }

    /// A project's logs are archived. What is not known is not off: such a log is kept, but nobody is asked to archive it.
    #[must_use]
    pub fn archives(&self, project: Id) -> bool {
        self.of(project).is_some_and(|policy| policy.archive)
    }

    /// The longest retention, in days: partitions hold the lines of all projects. `None` without a default: then
    /// nothing is known of the other projects, so nothing is dropped.
    #[must_use]
    pub fn longest(&self) -> Option<u32> {
        let default = self.default?.log_retention_days;
        Some(self.projects.values().map(|policy| policy.log_retention_days).fold(default, u32::max))
    }
}

/// A monthly partition of `log_lines`, as the log database lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partition {
    pub name: String,
    /// It holds lines of `[lower, upper)`.
    pub lower: Millis,
    pub upper: Millis,
    /// Somebody has vouched for it (`retention adopt`): it may be from before [`RetentionInput::complete_from`].
    pub adopted: bool,
}

/// The partitions of the log database, but for the default one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    pub partitions: Vec<Partition>,
    /// By the log database's own clock, when it listed them.
    pub now: Millis,
}

/// What an epoch is told; the same for all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionInput {
    pub policies: Arc<Policies>,
    /// `None`: not known at present, so nothing is decided about partitions.
    pub catalogue: Option<Arc<Catalogue>>,
    /// From this stream time on our knowledge of jobs is whole. `None`: it never was.
    pub complete_from: Option<Millis>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_its_own_policy_or_the_default_and_the_longest_holds_for_partitions() {
        let policy = |log_retention_days, archive| Policy { log_retention_days, archive };
        let mut policies = Policies { default: Some(policy(30, false)), projects: [(7, policy(90, true))].into() };
        assert_eq!((policies.of(7), policies.of(8)), (Some(policy(90, true)), Some(policy(30, false))));
        assert_eq!((policies.archives(7), policies.archives(8)), (true, false));
        assert_eq!(policies.longest(), Some(90));
        policies.projects.insert(7, policy(1, true));
        assert_eq!(policies.longest(), Some(30));
    }

    #[test]
    fn without_a_default_nothing_is_known_of_the_other_projects() {
        let own = Policy { log_retention_days: 1, archive: true };
        let policies = Policies { default: None, projects: [(7, own)].into() };
        assert_eq!((policies.of(8), policies.archives(8), policies.longest()), (None, false, None));
    }
}
