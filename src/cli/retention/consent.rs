//! Asks before policies are set under which most of what there is would be dropped within the minute: a `1` that was meant
//! to be a year.
//!
//! What there is, the log database tells. Where it cannot be asked the policies alone must do: less than a week, or less
//! than half of what held before, is asked about.

use super::{outcome, parts, plan::failure};
use crate::{
    cli::{Failure, confirm::Agreement},
    config::Config,
    logs::LogDatabase,
    retention::{Foreseen, Ledger, Outcome, fate, foresee},
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
    let days = Days { before: before.longest(), after: after.longest() };
    if !days.shrink() {
        return Ok(());
    }
    let seen = see(config, &before, &after).await;
    if !days.is_grave(seen.as_ref().ok().map(|seen| &seen.foreseen)) {
        return Ok(());
    }
    let would = match seen {
        Ok(Seen { logs, ledger, foreseen }) => {
            let fates =
                fate(&logs, &ledger, &after, &foreseen.due).await.map_err(|error| failure(logs.url(), error))?;
            Ok((foreseen.closed, fates))
        }
        Err(why) => Err(why.message()),
    };
    Agreement::to(Some(warning(days, &would)), false)?.get().await
}

/// The longest retention, which is what partitions go by.
#[derive(Clone, Copy, Debug)]
struct Days {
    before: Option<u32>,
    after: Option<u32>,
}

impl Days {
    /// Something may fall due that did not before.
    fn shrink(self) -> bool {
        self.after.is_some_and(|after| self.before.is_none_or(|before| after < before))
    }

    /// Whether somebody must agree. `foreseen`: `None` where the log database cannot tell.
    fn is_grave(self, foreseen: Option<&Foreseen>) -> bool {
        let after = self.after.unwrap_or(u32::MAX);
        let most = |foreseen: &Foreseen| !foreseen.due.is_empty() && foreseen.due.len() * 2 >= foreseen.closed;
        let slip = || after < FEW_DAYS || self.before.is_some_and(|before| after < before.div_ceil(2));
        after == 0 || foreseen.map_or_else(slip, most)
    }
}

/// What the log database tells.
struct Seen {
    logs: LogDatabase,
    ledger: StateLedger,
    foreseen: Foreseen,
}

async fn see(config: &Config, before: &Policies, after: &Policies) -> Result<Seen, Failure> {
    let (url, ledger) = parts(config, Options::look_only()).await?;
    let logs = LogDatabase::look(&url);
    let catalogue = logs.catalogue().await.map_err(|error| failure(logs.url(), error.into()))?;
    let standing = ledger.standing().await.map_err(RunError::from)?;
    let foreseen = foresee(&standing, &catalogue, before, after);
    Ok(Seen { logs, ledger, foreseen })
}

/// How many partitions are closed and what would become of those that fall due; or why nobody can tell.
type Would = Result<(usize, Vec<(Partition, Outcome)>), String>;

fn warning(days: Days, would: &Would) -> String {
    let told = |days: Option<u32>| days.map_or_else(|| "none".to_owned(), |days| format!("{days} days"));
    let (after, before) = (told(days.after), told(days.before));
    let head = format!(
        "the longest retention, which partitions go by, would be {after} from their end on (now: {before})\n"
    );
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

    fn grave(before: Option<u32>, after: u32, foreseen: Option<(usize, usize)>) -> bool {
        let days = Days { before, after: Some(after) };
        let partition = Partition { name: String::new(), lower: 0, upper: 1, adopted: false };
        let foreseen = foreseen.map(|(due, closed)| Foreseen { closed, due: vec![partition; due] });
        days.shrink() && days.is_grave(foreseen.as_ref())
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
        assert!(!Days { before: Some(90), after: None }.shrink(), "without a default nothing goes");
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
