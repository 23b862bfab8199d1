//! What may be shown of retention once an epoch is stored.

use super::{
    Catalogue, Kind, Reason, RetentionInput, RetentionOutput,
    month::DEFAULT_PARTITION,
    partitions::{Moment, Verdict, judge},
};
use crate::time::Millis;
use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Decisions so far, in the order of [`Kind::NAMES`].
    pub decisions: [u64; Kind::NAMES.len()],
    /// Attempts that wait for their archive, and the earliest end among them.
    pub waiting: u64,
    pub oldest_waiting: Option<Millis>,
    /// Of the partitions; `None`: the log database cannot be asked at present.
    pub partitions: Option<ShownPartitions>,
}

/// The partitions of the log database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownPartitions {
    /// Those that are old enough and kept all the same, in the order of [`Reason::ALL`].
    pub blocked: [u64; Reason::ALL.len()],
    /// The lower bound of the oldest.
    pub oldest: Option<Millis>,
}

impl Shown {
    /// At the end of an epoch. `obstacles`: what whoever drops has found in the way, by partition.
    #[must_use]
    pub fn of(
        decisions: [u64; Kind::NAMES.len()],
        output: &RetentionOutput,
        input: Option<&RetentionInput>,
        moment: Moment,
        obstacles: &BTreeMap<String, Reason>,
    ) -> Self {
        let known = input.and_then(|input| Some((input, input.catalogue.as_deref()?)));
        let partitions = known.map(|(input, catalogue)| shown_partitions(input, catalogue, moment, obstacles));
        Self { decisions, waiting: output.waiting, oldest_waiting: output.oldest_waiting, partitions }
    }
}

fn shown_partitions(
    input: &RetentionInput,
    catalogue: &Catalogue,
    moment: Moment,
    obstacles: &BTreeMap<String, Reason>,
) -> ShownPartitions {
    let mut shown = ShownPartitions::default();
    for partition in catalogue.partitions.iter().filter(|partition| partition.name != DEFAULT_PARTITION) {
        shown.oldest = Some(shown.oldest.map_or(partition.lower, |oldest| oldest.min(partition.lower)));
        let reason = match judge(partition, input, catalogue.now, moment) {
            Verdict::Young { .. } => None,
            Verdict::Blocked { reason, .. } => Some(reason),
            Verdict::Drop { .. } => obstacles.get(&partition.name).copied(),
        };
        if let Some(reason) = reason {
            shown.blocked[reason as usize] += 1;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        retention::{Policies, Policy, month::Month},
        time::StreamTime,
    };
    use std::sync::Arc;

    const DAY: Millis = 86_400_000;

    #[test]
    fn what_is_in_the_way_of_a_drop_is_counted_by_its_reason() {
        let month = |name: &str| Month::from_name(name).map_or_else(|| panic!("{name}"), Month::partition);
        let partitions = ["log_lines_y2024m01", "log_lines_y2024m02", "log_lines_y2024m03"].map(month).to_vec();
        let now = partitions[1].upper + 31 * DAY;
        let policy = Policy { log_retention_days: 30, archive: true };
        let input = RetentionInput {
            policies: Arc::new(Policies { default: Some(policy), ..Policies::default() }),
            complete_from: Some(partitions[1].lower),
            catalogue: Some(Arc::new(Catalogue { now, partitions: partitions.clone() })),
        };
        let moment = Moment { now: StreamTime(now), caught_up: true };
        let obstacles = BTreeMap::from([(partitions[1].name.clone(), Reason::UnknownJob)]);
        let shown = Shown::of([0; 4], &RetentionOutput::default(), Some(&input), moment, &obstacles);
        let shown = shown.partitions.unwrap_or_default();
        assert_eq!(shown.oldest, Some(partitions[0].lower));
        assert_eq!(shown.blocked[Reason::IncompleteHistory as usize], 1, "the first");
        assert_eq!(shown.blocked[Reason::UnknownJob as usize], 1, "the second");
        assert_eq!(shown.blocked.iter().sum::<u64>(), 2, "the third is young");
    }
}
