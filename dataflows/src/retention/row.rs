//! The archive ledger: what is known of each attempt's end and archive, for good, and when a job passes by it.
//!
//! A row is never replaced, always *joined* with the stored one ([`LedgerRow::join`]): so neither order nor redelivery
//! matters, and nothing that is known is ever lost.

use super::decision::Reason;
use crate::{
    event::Id,
    time::{Millis, SKEW_TOLERANCE_MS},
};
use serde::{Deserialize, Serialize};

/// What became of an attempt's archive so far; the numbers are what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Archive {
    /// Nothing was heard.
    #[default]
    None = 0,
    /// It has failed, or ended in a way that is not known.
    Failed = 1,
    /// There was nothing to archive.
    Skipped = 2,
    Success = 3,
}

impl Archive {
    pub const ALL: [Self; 4] = [Self::None, Self::Failed, Self::Skipped, Self::Success];

    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The log needs no further try.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Skipped | Self::Success)
    }
}

/// What is known of one attempt. Its key is (job, run, attempt).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    pub job: Id,
    pub run: Id,
    pub attempt: u32,
    pub project: Id,
    /// There is evidence that it was dispatched.
    pub dispatched: bool,
    /// Its latest end: finished, reclaimed, lost, or closed by its run's finish.
    pub ended_at: Option<Millis>,
    pub archive: Archive,
    /// The latest success or skip: what the attempt wrote later is in no archive.
    pub archived_at: Option<Millis>,
}

impl LedgerRow {
    #[must_use]
    pub const fn key(&self) -> (Id, Id, u32) {
        (self.job, self.run, self.attempt)
    }

    /// Adds what another row of the same key knows: or, max; of two projects the smaller. Commutative, associative and
    /// idempotent; the store does the same to the stored row.
    pub fn join(&mut self, other: &Self) {
        self.project = self.project.min(other.project);
        self.dispatched |= other.dispatched;
        self.ended_at = self.ended_at.max(other.ended_at);
        self.archive = self.archive.max(other.archive);
        self.archived_at = self.archived_at.max(other.archived_at);
    }

    /// Whether the attempt's log may go, by what is known of it; `archives`: its project archives logs now.
    ///
    /// # Errors
    /// Why not.
    pub fn passes(&self, archives: bool) -> Result<(), Reason> {
        let Some(ended_at) = self.ended_at else { return Err(Reason::ArchivePending) };
        if !archives {
            return Ok(());
        }
        let whole = self.archived_at.is_some_and(|at| at.saturating_add(SKEW_TOLERANCE_MS) >= ended_at);
        match self.archive {
            archive if archive.is_done() && whole => Ok(()),
            Archive::Failed => Err(Reason::ArchiveFailed),
            _ => Err(Reason::ArchivePending),
        }
    }
}

/// Whether a job that has lines in a partition passes by its ledger rows: every dispatched attempt has ended and is
/// archived, or archives are off. Lines prove a dispatch: where none is known, every attempt counts.
///
/// # Errors
/// Why not.
pub fn job_passes(rows: &[LedgerRow], archives: bool) -> Result<(), Reason> {
    if rows.is_empty() {
        return Err(Reason::UnknownJob);
    }
    let dispatch_known = rows.iter().any(|row| row.dispatched);
    let counts = |row: &&LedgerRow| row.dispatched || !dispatch_known;
    rows.iter().filter(counts).try_for_each(|row| row.passes(archives))
}

/// Of none of its attempts an end or an archive is known. Every attempt that was ever counted is given an end at the
/// latest when it is lost, so where that time is long past only a late event, or one beyond a bound, told of it, and nothing
/// ever will again.
#[must_use]
pub fn has_no_end(rows: &[LedgerRow]) -> bool {
    let open = |row: &LedgerRow| row.ended_at.is_none() && row.archive == Archive::None;
    !rows.is_empty() && rows.iter().all(open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn done(ended_at: Millis, archived_at: Millis) -> LedgerRow {
        let (ended_at, archived_at) = (Some(ended_at), Some(archived_at));
        LedgerRow { dispatched: true, ended_at, archive: Archive::Success, archived_at, ..LedgerRow::default() }
    }

    #[test]
    fn a_job_passes_when_every_dispatched_attempt_has_ended_and_is_archived() {
        let open = LedgerRow { dispatched: true, ..LedgerRow::default() };
        let ended = LedgerRow { ended_at: Some(9), ..open };
        let failed = LedgerRow { archive: Archive::Failed, ..ended };
        let queued = LedgerRow::default();
        assert_eq!(job_passes(&[done(9, 10), queued], true), Ok(()));
        assert_eq!(job_passes(&[], false), Err(Reason::UnknownJob));
        for (row, reason) in
            [(open, Reason::ArchivePending), (ended, Reason::ArchivePending), (failed, Reason::ArchiveFailed)]
        {
            assert_eq!(job_passes(&[done(9, 10), row], true), Err(reason), "{row:?}");
        }
        assert_eq!(job_passes(&[ended, failed], false), Ok(()), "archives are off");
        assert_eq!(job_passes(&[open], false), Err(Reason::ArchivePending), "it may write on");
    }

    #[test]
    fn lines_prove_a_dispatch_that_nobody_told_of() {
        let queued = LedgerRow::default();
        assert_eq!(job_passes(&[queued], false), Err(Reason::ArchivePending));
        let canceled = LedgerRow { ended_at: Some(9), ..queued };
        assert_eq!(job_passes(&[canceled], true), Err(Reason::ArchivePending));
        assert_eq!(job_passes(&[canceled], false), Ok(()));
    }

    #[test]
    fn a_job_has_no_end_if_none_of_its_attempts_has() {
        let open = LedgerRow { dispatched: true, ..LedgerRow::default() };
        let ended = LedgerRow { ended_at: Some(9), ..open };
        let failed = LedgerRow { archive: Archive::Failed, ..open };
        assert!(has_no_end(&[open, LedgerRow::default()]));
        assert!(!has_no_end(&[]) && !has_no_end(&[open, ended]) && !has_no_end(&[failed]));
    }

    #[test]
    fn an_archive_from_before_the_end_is_not_whole() {
        assert_eq!(done(10_000, 8_000).passes(true), Ok(()), "clocks differ by so much");
        assert_eq!(done(10_000, 7_999).passes(true), Err(Reason::ArchivePending));
    }

    fn row() -> impl Strategy<Value = LedgerRow> {
        let time = || proptest::option::of(0..50_i64);
        (any::<bool>(), time(), 0..4_u8, time(), 0..3_u128).prop_map(
            |(dispatched, ended_at, n, archived_at, project)| {
                let archive = Archive::from_number(n).unwrap_or_default();
                LedgerRow { project, dispatched, ended_at, archive, archived_at, ..LedgerRow::default() }
            },
        )
    }

    fn joined(mut a: LedgerRow, b: &LedgerRow) -> LedgerRow {
        a.join(b);
        a
    }

    proptest! {
        #[test]
        fn rows_join_in_any_order_and_as_often_as_they_come(a in row(), b in row(), c in row()) {
            prop_assert_eq!(joined(a, &b), joined(b, &a));
            prop_assert_eq!(joined(joined(a, &b), &c), joined(a, &joined(b, &c)));
            prop_assert_eq!(joined(joined(a, &b), &b), joined(a, &b));
        }
    }
}
