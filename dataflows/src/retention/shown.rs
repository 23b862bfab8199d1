//! What may be shown of retention once an epoch is stored: [`Figures`] are stored with it and shown again after a restart,
//! the rest tells of each partition.

use super::{
    Catalogue, Fact, Fates, Kind, Partition, Reason, RetentionInput, RetentionOutput,
    month::DEFAULT_PARTITION,
    partitions::{Decided, Moment, Verdict, judge},
};
use crate::{event::Id, time::Millis};
use serde::{Deserialize, Deserializer, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub figures: Figures,
    /// What the epoch was told; `None`: nothing was since the start of the process.
    pub input: Option<Arc<RetentionInput>>,
    pub moment: Moment,
    pub obstacles: Arc<Obstacles>,
}

/// The series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Decisions so far, in the order of [`Kind::NAMES`].
    #[serde(deserialize_with = "grown")]
    pub decisions: [u64; Kind::NAMES.len()],
    /// What became of them.
    #[serde(deserialize_with = "grown_twice")]
    pub fates: [Fates; Kind::NAMES.len()],
    /// Archives that are not asked for any more.
    pub given_up: u64,
    /// Attempts that wait for their archive, and the earliest end among them.
    pub waiting: u64,
    pub oldest_waiting: Option<Millis>,
    /// Those of them with a try that gave no archive.
    pub failing: u64,
    /// Of the partitions; `None`: the log database cannot be asked at present.
    pub partitions: Option<PartitionFigures>,
}

/// The partitions of the log database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionFigures {
    /// Those that are old enough and kept all the same, in the order of [`Reason::ALL`].
    #[serde(deserialize_with = "grown")]
    pub blocked: [u64; Reason::ALL.len()],
    /// The lower bound of the oldest.
    pub oldest: Option<Millis>,
}

/// What was found in the way of drops, by partition.
pub type Obstacles = BTreeMap<String, Obstacle>;

/// Why a partition is kept though it is old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub reason: Reason,
    /// In words.
    pub why: String,
    /// By name: how many lines, how many jobs.
    pub facts: BTreeMap<String, Fact>,
    /// Some of the jobs that are in the way.
    pub jobs: Vec<Id>,
}

impl Figures {
    /// Adds what an epoch decided, and puts what there is at its end in place of what there was.
    pub fn add(&mut self, output: &RetentionOutput, decided: &Decided) {
        for decision in output.decisions.iter().chain(&decided.decisions) {
            self.decisions[decision.kind.index()] += 1;
        }
        let given_up = output.decisions.iter().filter(|decision| matches!(decision.kind, Kind::Blocked(_)));
        self.given_up += given_up.count() as u64;
        for (sums, more) in self.fates.iter_mut().zip(decided.fates) {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        let archives = &mut self.fates[Kind::ArchiveLogs.index()];
        archives.iter_mut().zip(output.fates).for_each(|(sum, more)| *sum += more);
        (self.waiting, self.oldest_waiting, self.failing) = (output.waiting, output.oldest_waiting, output.failing);
    }
}

impl Shown {
    /// After a restart, until an epoch is stored.
    #[must_use]
    pub fn restored(figures: Figures) -> Self {
        Self { figures, ..Self::default() }
    }

    /// What is the case with each partition but the default one, in the catalogue's order; `None`: it is not known.
    #[must_use]
    pub fn partitions(&self) -> Option<Vec<(&Partition, Verdict, Option<&Obstacle>)>> {
        let input = self.input.as_deref()?;
        let catalogue = input.catalogue.as_deref()?;
        let judged = named(catalogue).map(|partition| {
            let verdict = judge(partition, input, catalogue.now, self.moment);
            let obstacle = self.obstacles.get(&partition.name);
            (partition, verdict, obstacle.filter(|_| matches!(verdict, Verdict::Drop { .. })))
        });
        Some(judged.collect())
    }

    /// The figures of the partitions; `None`: they are not known.
    #[must_use]
    pub fn partition_figures(&self) -> Option<PartitionFigures> {
        let mut figures = PartitionFigures::default();
        for (partition, verdict, obstacle) in self.partitions()? {
            figures.oldest = Some(figures.oldest.map_or(partition.lower, |oldest| oldest.min(partition.lower)));
            let reason = match verdict {
                Verdict::Young { .. } => None,
                Verdict::Blocked { reason, .. } => Some(reason),
                Verdict::Drop { .. } => obstacle.map(|obstacle| obstacle.reason),
            };
            if let Some(reason) = reason {
                figures.blocked[reason as usize] += 1;
            }
        }
        Some(figures)
    }
}

/// Counts by place, of a list that may have grown at its end since they were stored.
fn grown<'de, D: Deserializer<'de>, const N: usize>(stored: D) -> Result<[u64; N], D::Error> {
    filled_up(0, Vec::deserialize(stored)?)
}

/// As [`grown`], lists of them.
fn grown_twice<'de, D: Deserializer<'de>, const N: usize, const M: usize>(
    stored: D,
) -> Result<[[u64; M]; N], D::Error> {
    let lists = Vec::<Vec<u64>>::deserialize(stored)?;
    let lists: Result<_, _> = lists.into_iter().map(|list| filled_up(0, list)).collect();
    filled_up([0; M], lists?)
}

fn filled_up<T: Copy, E: serde::de::Error, const N: usize>(zero: T, stored: Vec<T>) -> Result<[T; N], E> {
    let mut all = [zero; N];
    let known = all.get_mut(..stored.len());
    let known = known.ok_or_else(|| E::invalid_length(stored.len(), &"no more counts than this version knows"))?;
    known.copy_from_slice(&stored);
    Ok(all)
}

fn named(catalogue: &Catalogue) -> impl Iterator<Item = &Partition> {
    catalogue.partitions.iter().filter(|partition| partition.name != DEFAULT_PARTITION)
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
    fn figures_from_before_a_list_grew_are_read_and_of_a_newer_version_refused() {
        let old = r#"{"decisions":[1,2],"fates":[[3],[4,5]],"partitions":{"blocked":[6],"oldest":null}}"#;
        let figures: Figures = serde_json::from_str(old).unwrap();
        assert_eq!(figures.decisions, [1, 2, 0, 0]);
        assert_eq!(figures.fates, [[3, 0, 0, 0], [4, 5, 0, 0], [0; 4], [0; 4]]);
        assert_eq!(figures.partitions.unwrap().blocked[..2], [6, 0]);
        let newer = serde_json::from_str::<Figures>(r#"{"decisions":[1,2,3,4,5]}"#).unwrap_err().to_string();
        assert!(newer.contains("no more counts than this version knows"), "{newer}");
    }

    #[test]
    fn what_is_in_the_way_of_a_drop_is_counted_by_its_reason() {
        let month = |name: &str| Month::from_name(name).map_or_else(|| panic!("{name}"), Month::partition);
        let partitions = ["log_lines_y2024m01", "log_lines_y2024m02", "log_lines_y2024m03"].map(month);
        let now = partitions[1].upper + 31 * DAY;
        let policy = Policy { log_retention_days: 30, archive: true };
        let input = Some(Arc::new(RetentionInput {
            policies: Arc::new(Policies { default: Some(policy), ..Policies::default() }),
            complete_from: Some(partitions[1].lower),
            catalogue: Some(Arc::new(Catalogue { now, partitions: partitions.to_vec() })),
        }));
        let moment = Moment { now: StreamTime(now), caught_up: true };
        let facts = BTreeMap::new();
        let obstacle = Obstacle { reason: Reason::UnknownJob, why: String::new(), facts, jobs: vec![] };
        // of one that is blocked anyhow, what was found in it before says nothing
        let found = partitions.each_ref().map(|partition| (partition.name.clone(), obstacle.clone()));
        let shown = Shown { input, moment, obstacles: Arc::new(found.into()), ..Shown::default() };
        let shown = shown.partition_figures().unwrap_or_default();
        assert_eq!(shown.oldest, Some(partitions[0].lower));
        assert_eq!(shown.blocked[Reason::IncompleteHistory as usize], 1, "the first");
        assert_eq!(shown.blocked[Reason::UnknownJob as usize], 1, "the second");
        assert_eq!(shown.blocked.iter().sum::<u64>(), 2, "the third is young");
    }
}
