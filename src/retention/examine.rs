//! All that must be true of a partition before it goes, asked of the state and of the partition itself.
//!
//! The same questions are asked twice, first without locks, so that nothing is locked in vain, then under the lock.

use super::{
    RetentionError,
    ledger::{Known, Ledger},
};
use crate::logs::{Found, Lined, Survey};
use dataflows::{
    event::Id,
    retention::{
        Catalogue, Fact, LedgerRow, Obstacle, Partition, Policies, Reason, RetentionInput,
        partitions::{Moment, Verdict, judge, why},
        row::{has_no_end, job_passes},
    },
    time::{Millis, SKEW_TOLERANCE_MS},
};
use std::collections::{BTreeMap, BTreeSet};

/// The fact that tells of jobs that may have to be vouched for though something is known of them.
pub const JOBS_WITHOUT_END: &str = "jobs_without_end";
/// Jobs that are named where some are in the way.
const EXAMPLES: usize = 10;

/// What holds for all partitions, as the state has it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its catalogue is not looked at: the log database is asked itself.
    pub input: RetentionInput,
    pub moment: Moment,
    /// Names of partitions that somebody vouched for.
    pub adopted: BTreeSet<String>,
}

impl Standing {
    /// The partition with what somebody said of it.
    #[must_use]
    pub fn vouched(&self, partition: &Partition) -> Partition {
        Partition { adopted: self.adopted.contains(&partition.name), ..partition.clone() }
    }
}

/// What there is to say of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examined {
    /// It may go.
    Free {
        found: Found,
    },
    /// Not old enough: it falls due strictly after this; `None`: nobody said how long it is kept.
    Young {
        due: Option<Millis>,
    },
    Blocked(Obstacle),
}

/// Judges by policies and clocks alone; `None`: the lines decide.
#[must_use]
pub fn at_a_glance(partition: &Partition, standing: &Standing, clock: Millis) -> Option<Examined> {
    let partition = standing.vouched(partition);
    match judge(&partition, &standing.input, clock, standing.moment) {
        Verdict::Drop { .. } => None,
        Verdict::Young { due } => Some(Examined::Young { due }),
        verdict @ Verdict::Blocked { reason, due } => {
            let why = why(verdict, &partition, &standing.input);
            let facts = [("lower", partition.lower), ("upper", partition.upper), ("due", due)];
            Some(Examined::Blocked(Obstacle { reason, why, facts: facts.map(named).into(), jobs: vec![] }))
        }
    }
}

/// The partitions that may go by policies and clocks alone.
#[must_use]
pub fn old_enough(catalogue: &Catalogue, standing: &Standing) -> BTreeSet<String> {
    let old =
        catalogue.partitions.iter().filter(|partition| at_a_glance(partition, standing, catalogue.now).is_none());
    old.map(|partition| partition.name.clone()).collect()
}

fn named((name, number): (&str, i64)) -> (String, Fact) {
    (name.to_owned(), number.into())
}

/// Reads a partition to its end. `hasty`: only up to the first page in which something is in the way.
pub async fn examine(survey: &mut Survey<'_>, ledger: &impl Ledger, hasty: bool) -> Result<Examined, RetentionError> {
    let standing = ledger.standing().await?;
    let clock = survey.now().await?;
    if let Some(examined) = at_a_glance(survey.partition(), &standing, clock) {
        return Ok(examined);
    }
    if !survey.is_regular() {
        let why = "it is no plain table with the name and the bounds of a month".to_owned();
        return Ok(Examined::Blocked(Obstacle { reason: Reason::Bounds, why, facts: BTreeMap::new(), jobs: vec![] }));
    }
    let mut weighed = Weighed::default();
    while let Some(page) = survey.page().await? {
        let jobs: Vec<Id> = page.iter().map(|lined| lined.job).collect();
        let known = ledger.known(&jobs).await?;
        weighed.add(&page, &known, &standing.input.policies);
        if hasty && weighed.obstacle(survey.found()).is_some() {
            break;
        }
    }
    let found = survey.found();
    Ok(weighed.obstacle(found).map_or(Examined::Free { found }, Examined::Blocked))
}

/// Jobs that do not pass, by why.
#[derive(Debug, Default)]
struct Weighed {
    unknown: Jobs,
    failed: Jobs,
    pending: Jobs,
    /// Of those that are pending; see [`has_no_end`].
    without_end: u64,
}

#[derive(Debug, Default)]
struct Jobs {
    count: u64,
    examples: Vec<Id>,
}

impl Jobs {
    fn push(&mut self, job: Id) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(job);
        }
    }
}

/// A line that was written after the last archive is in none.
fn is_newer(line: Option<Millis>, rows: &[LedgerRow]) -> bool {
    let archived = rows.iter().filter_map(|row| row.archived_at).max();
    line.zip(archived).is_some_and(|(line, archived)| line > archived.saturating_add(SKEW_TOLERANCE_MS))
}

impl Weighed {
    fn add(&mut self, page: &[Lined], known: &Known, policies: &Policies) {
        let mut rows: BTreeMap<Id, Vec<LedgerRow>> = BTreeMap::new();
        for row in &known.rows {
            rows.entry(row.job).or_default().push(*row);
        }
        let adopted: BTreeSet<Id> = known.adopted.iter().copied().collect();
        for Lined { job, newest } in page {
            let rows = rows.remove(job).unwrap_or_default();
            // a project of which nothing is known may archive
            let archives = rows.iter().any(|row| policies.of(row.project).is_none_or(|policy| policy.archive));
            match job_passes(&rows, archives) {
                Ok(()) if archives && is_newer(*newest, &rows) => self.pending.push(*job),
                Ok(()) => {}
                Err(_) if adopted.contains(job) && (rows.is_empty() || has_no_end(&rows)) => {}
                Err(Reason::UnknownJob) => self.unknown.push(*job),
                Err(Reason::ArchiveFailed) => self.failed.push(*job),
                Err(_) => {
                    self.pending.push(*job);
                    self.without_end += u64::from(has_no_end(&rows));
                }
            }
        }
    }

    /// What is in the way, if anything is: first what only people can clear away.
    fn obstacle(&self, found: Found) -> Option<Obstacle> {
        let Found { before, after, nameless, astray, .. } = found;
        let (reason, why, jobs) = if after > 0 {
            let why = format!("{after} of its lines are from after its end");
            (Reason::NewerRows, why, None)
        } else if before + astray > 0 {
            let why = format!(
                "{before} of its lines are from before its beginning, and {astray} of its months lie in the default partition"
            );
            (Reason::ForeignRows, why, None)
        } else if nameless + self.unknown.count > 0 {
            let why = format!(
                "nobody announced {} of its jobs, and {nameless} of its lines have no job's id",
                self.unknown.count
            );
            (Reason::UnknownJob, why, Some(&self.unknown))
        } else if self.failed.count > 0 {
            let why = format!("the archives of {} of its jobs have failed", self.failed.count);
            (Reason::ArchiveFailed, why, Some(&self.failed))
        } else if self.pending.count > 0 {
            let why = format!("{} of its jobs have not ended, or wait for their archive", self.pending.count);
            (Reason::ArchivePending, why, Some(&self.pending))
        } else {
            return None;
        };
        let jobs = jobs.map(|jobs| jobs.examples.clone()).unwrap_or_default();
        Some(Obstacle { reason, why, facts: self.facts(found), jobs })
    }

    fn facts(&self, found: Found) -> BTreeMap<String, Fact> {
        let Found { rows, jobs, before, after, nameless, astray } = found;
        let all = [
            ("rows", rows),
            ("jobs", jobs),
            ("rows_before", before),
            ("rows_after", after),
            ("rows_without_job", nameless),
            ("rows_in_default", astray),
            ("jobs_unknown", self.unknown.count),
            ("jobs_failed", self.failed.count),
            ("jobs_pending", self.pending.count),
            (JOBS_WITHOUT_END, self.without_end),
        ];
        let shown = all.into_iter().filter(|(name, number)| *number > 0 || matches!(*name, "rows" | "jobs"));
        shown.map(|(name, number)| named((name, i64::try_from(number).unwrap_or(i64::MAX)))).collect()
    }
}
