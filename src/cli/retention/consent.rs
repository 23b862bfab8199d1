//! Asks before policies are set under which most of what there is would be dropped within the minute: a `1` that was meant
//! to be a year, or an `off` that frees what waits for its archive.
//!
//! What there is, the log database tells. Where it cannot be asked the policies alone must do: less than a week, less
//! than half of what held before, or archives that end, is asked about.

use super::{outcome, parts, plan::failure};
use crate::{
    cli::{Failure, confirm::Agreement},
    config::Config,
    logs::LogDatabase,
    retention::{Foreseen, Ledger, Outcome, fate, foresee, freed, lets_go_of_archives},
    store::{Options, Store, StoreError},
    wiring::{RunError, StateLedger},
};
use dataflows::retention::{Partition, Policies, Policy};

/// Where nothing else is known, fewer days than these are taken for a slip.
const FEW_DAYS: u32 = 7;

/// One change of the policies.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// `None`: the default.
    pub project: Option<u128>,
    /// `None`: removed.
    pub policy: Option<Policy>,
}

impl Change {
    fn of(self, policies: &Policies) -> Policies {
        let mut after = policies.clone();
        match (self.project, self.policy) {
            (None, policy) => after.default = policy,
            (Some(project), Some(policy)) => drop(after.projects.insert(project, policy)),
            (Some(project), None) => drop(after.projects.remove(&project)),
        }
        after
    }
}

/// Agreed to, or nothing that must be agreed to; changes nothing.
pub async fn consent(config: &Config, change: Change) -> Result<(), Failure> {
    let before = match Store::open_with(&config.state, Options::look_only()).await {
        Ok(store) => store.policies().await.map_err(RunError::from)?,
        Err(StoreError::Absent { .. }) => Policies::default(),
        Err(error) => return Err(RunError::from(error).into()),
    };
    let after = change.of(&before);
    let shift = Shift::of(&before, &after);
    if !shift.may_free() {
        return Ok(());
    }
    let seen = see(config, &before, &after).await;
    if !shift.is_grave(seen.as_ref().ok().map(Seen::counts)) {
        return Ok(());
    }
    let would = match seen {
        Ok(seen) => Ok((seen.closed, seen.fates(&after).await?)),
        Err(why) => Err(why.message()),
    };
    Agreement::to(Some(warning(shift, &would)), false)?.get().await
}

/// What a change means for all that there is.
#[derive(Clone, Copy, Debug)]
struct Shift {
    /// The longest retention, which is what partitions go by.
    before: Option<u32>,
    after: Option<u32>,
    /// See [`lets_go_of_archives`].
    lets_go: bool,
}

impl Shift {
    fn of(before: &Policies, after: &Policies) -> Self {
        let lets_go = lets_go_of_archives(before, after);
        Self { before: before.longest(), after: after.longest(), lets_go }
    }

    fn shrinks(self) -> bool {
        self.after.is_some_and(|after| self.before.is_none_or(|before| after < before))
    }

    /// Something may go that had to stay before.
    fn may_free(self) -> bool {
        self.shrinks() || self.lets_go
    }

    /// Whether somebody must agree. `seen`: how many partitions fall due, and of how many; `None` where the log database
    /// cannot tell.
    fn is_grave(self, seen: Option<(usize, usize)>) -> bool {
        let after = self.after.unwrap_or(u32::MAX);
        let most = |(due, closed): (usize, usize)| due > 0 && due * 2 >= closed;
        let slip = || after < FEW_DAYS || self.before.is_some_and(|before| after < before.div_ceil(2));
        after == 0 || seen.map_or_else(|| self.lets_go || slip(), most)
    }
}

/// What the log database tells.
struct Seen {
    logs: LogDatabase,
    ledger: StateLedger,
    closed: usize,
    /// Old enough by the change; their lines are not read yet.
    due: Vec<Partition>,
    /// See [`freed`].
    freed: Vec<(Partition, Outcome)>,
}

impl Seen {
    /// How many fall due, and of how many.
    fn counts(&self) -> (usize, usize) {
        (self.due.len() + self.freed.len(), self.closed)
    }

    /// What would become of those that fall due, in order of their bounds.
    async fn fates(self, after: &Policies) -> Result<Vec<(Partition, Outcome)>, Failure> {
        let Self { logs, ledger, due, freed, .. } = self;
        let mut fates = fate(&logs, &ledger, after, &due).await.map_err(|error| failure(logs.url(), error))?;
        fates.extend(freed);
        fates.sort_by_key(|(partition, _)| partition.lower);
        Ok(fates)
    }
}

async fn see(config: &Config, before: &Policies, after: &Policies) -> Result<Seen, Failure> {
    let (url, ledger) = parts(config, Options::look_only()).await?;
    let logs = LogDatabase::look(&url);
    let catalogue = logs.catalogue().await.map_err(|error| failure(logs.url(), error.into()))?;
    let standing = ledger.standing().await.map_err(RunError::from)?;
    let Foreseen { closed, due, old } = foresee(&standing, &catalogue, before, after);
    let freed = freed(&logs, &ledger, [before, after], &old).await.map_err(|error| failure(logs.url(), error))?;
    Ok(Seen { logs, ledger, closed, due, freed })
}

/// How many partitions are closed and what would become of those that fall due; or why nobody can tell.
type Would = Result<(usize, Vec<(Partition, Outcome)>), String>;

fn warning(shift: Shift, would: &Would) -> String {
    let told = |days: Option<u32>| days.map_or_else(|| "none".to_owned(), |days| format!("{days} days"));
    let (after, before) = (told(shift.after), told(shift.before));
    let mut head = format!(
        "the longest retention, which partitions go by, would be {after} from their end on (now: {before})\n"
    );
    if shift.lets_go {
        head.push_str("logs that wait for an archive, or whose archive has failed, would go without one\n");
    }
    head + &match would {
        Ok((closed, due)) => losses(*closed, due),
        Err(why) => {
            let why = why.trim_start_matches("error: ").trim_end();
            format!("what would be dropped by it is not known: {why}\n")
        }
    }
}

fn losses(closed: usize, due: &[(Partition, Outcome)]) -> String {
    let lines: String =
        due.iter().map(|(partition, outcome)| format!("  {}", outcome::line(partition, outcome))).collect();
    let rows = due.iter().map(|(_, outcome)| match outcome {
        Outcome::WouldDrop { found, .. } => found.rows,
        _ => 0,
    });
    let (due, rows) = (due.len(), rows.sum::<u64>());
    format!(
        "{due} of {closed} closed partitions fall due by it at once:\n{lines}\
         {rows} lines would be dropped, and nothing brings them back\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grave(before: Option<u32>, after: u32, seen: Option<(usize, usize)>) -> bool {
        let shift = Shift { before, after: Some(after), lets_go: false };
        shift.may_free() && shift.is_grave(seen)
    }

    #[test]
    fn what_would_drop_most_of_what_there_is_must_be_agreed_to() {
        assert!(grave(None, 0, Some((0, 0))) && grave(Some(90), 0, None), "no days at all");
        assert!(grave(Some(90), 1, Some((3, 3))) && grave(None, 1, Some((3, 3))));
        assert!(grave(Some(90), 60, Some((2, 4))), "half of them");
        assert!(!grave(Some(90), 60, Some((1, 3))) && !grave(None, 1, Some((0, 0))));
    }

    #[test]
    fn where_the_log_database_does_not_tell_the_days_decide() {
        assert!(grave(None, 6, None) && grave(Some(90), 44, None));
        assert!(!grave(None, 7, None) && !grave(Some(90), 45, None));
    }

    #[test]
    fn what_keeps_logs_no_shorter_is_not_asked_about() {
        assert!(!grave(Some(0), 0, None) && !grave(Some(1), 90, Some((3, 3))) && !grave(Some(1), 1, None));
        let none = Shift { before: Some(90), after: None, lets_go: false };
        assert!(!none.may_free(), "without a default nothing goes");
    }

    #[test]
    fn the_end_of_archives_is_asked_about_though_the_days_stay() {
        let grave = |before, after, seen| {
            let shift = Shift { before, after: Some(after), lets_go: true };
            shift.may_free() && shift.is_grave(seen)
        };
        assert!(grave(Some(30), 30, Some((2, 4))) && grave(Some(30), 90, Some((4, 4))));
        assert!(!grave(Some(30), 30, Some((1, 4))) && !grave(Some(30), 30, Some((0, 0))));
        assert!(grave(Some(30), 30, None) && grave(None, 90, None), "whatever is not known counts");
        let shift = Shift { before: Some(30), after: Some(30), lets_go: true };
        assert!(warning(shift, &Ok((4, vec![]))).contains("would go without one"));
    }

    #[test]
    fn a_change_is_of_one_policy() {
        let policy = |log_retention_days| Policy { log_retention_days, archive: true };
        let before = Policies { default: Some(policy(30)), projects: [(7, policy(365))].into() };
        let longest = |project, policy| Change { project, policy }.of(&before).longest();
        assert_eq!(longest(Some(7), None), Some(30));
        assert_eq!(longest(Some(7), Some(policy(1))), Some(30));
        assert_eq!(longest(None, Some(policy(400))), Some(400));
        assert_eq!(longest(None, None), None);
    }
}
