//! A decision: what is to be done with what, since when, why, and on which facts.
//!
//! Its id follows from its kind and subject alone: however often a log is read, cut or shared out, a consumer that keys
//! on the id sees each decision once.

use crate::{event::Id, time::Millis, words::words};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The namespace of our ids, itself a UUID made once: part of the contract, never changed.
const NAMESPACE: u128 = 0x8d1f_6a52_3c0b_4e7e_9a64_51d2_7be0_c3f9;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// A UUID of version 5.
    pub id: Id,
    pub kind: Kind,
    pub subject: Subject,
    /// Where it is about one project's.
    pub project: Option<Id>,
    /// The stream time on which it fell due: a function of the facts, not of when they were read, but for a held try.
    pub time: Millis,
    /// Why, in words.
    pub reason: String,
    /// On what it rests, by name.
    pub facts: BTreeMap<String, Fact>,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    EnsurePartition,
    ArchiveLogs,
    DropPartition,
    Blocked(Reason),
}

impl Kind {
    /// The last part of the type of its CloudEvent, and the label `kind`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Its place in [`NAMES`](Self::NAMES).
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::EnsurePartition => 0,
            Self::ArchiveLogs => 1,
            Self::DropPartition => 2,
            Self::Blocked(_) => 3,
        }
    }

    /// The values of the label `kind`.
    pub const NAMES: [&'static str; 4] = ["ensure_partition", "archive_logs", "drop_partition", "blocked"];
}

words! {
    /// What became of a decision, as far as it is over. With `decided`, under which every decision counts, the closed list of
    /// the label `outcome`; docs/rules.md, "What becomes of decisions".
    pub enum Fate {
        /// Done: the partition is there, or is there no more; the log is archived, or there was nothing to archive.
        Executed = "executed",
        /// The archive has failed.
        Failed = "failed",
        /// Nothing was heard of the archive.
        Unanswered = "unanswered",
        /// It is no more the case: another took its place, or what it was about is gone.
        Withdrawn = "withdrawn",
    }
}

/// So many decisions came to each [`Fate`].
pub type Fates = [u64; Fate::ALL.len()];

impl Fate {
    /// What may become of the decisions of each kind, in the order of [`Kind::NAMES`].
    pub const OF_KINDS: [&'static [Self]; Kind::NAMES.len()] =
        [&[Self::Executed, Self::Withdrawn], &Self::ALL, &[Self::Executed], &[Self::Withdrawn]];
}

words! {
    /// Why a partition that is old enough is kept all the same (one reason, `archive_failed`, also: why an archive is given
    /// up); the closed list of the label `reason`.
    pub enum Reason {
        /// There is no default policy, so nobody said how long the lines of all projects are kept.
        NoPolicy = "no_policy",
        /// It is, wholly or in part, from before our knowledge of jobs was whole.
        IncompleteHistory = "incomplete_history",
        /// Events may wait in Kafka that tell of its jobs.
        NotCaughtUp = "not_caught_up",
        /// A job of it waits for its archive, or has not ended.
        ArchivePending = "archive_pending",
        /// The archive of a job of it has failed as often as it may.
        ArchiveFailed = "archive_failed",
        /// A job of it is not in the archive ledger.
        UnknownJob = "unknown_job",
        /// Its bounds are not those of the month in its name.
        Bounds = "bounds",
        /// It holds lines from outside its bounds, or lines of its months lie in the default partition.
        ForeignRows = "foreign_rows",
        /// It holds lines that are newer than what the decision rests on.
        NewerRows = "newer_rows",
        /// Stream time and the log database's clock do not agree that it is old.
        Clock = "clock",
    }
}

/// What a decision is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// By name.
    Partition(String),
    /// The log of one attempt, as it was at one end of it: one that is lost may come back and end again, and its log
    /// is then archived anew.
    Archive {
        job: Id,
        attempt: u32,
        run: Id,
        project: Id,
        ended_at: Millis,
        /// From 1. (`blocked`: as many as there were.)
        try_: u32,
    },
}

/// A fact that a decision rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fact {
    Number(i64),
    Text(String),
}

impl From<i64> for Fact {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Decision {
    /// A decision whose id follows from kind and subject.
    #[must_use]
    pub fn new<const N: usize>(
        kind: Kind,
        subject: Subject,
        time: Millis,
        reason: String,
        facts: [(&str, Fact); N],
    ) -> Self {
        let project = match subject {
            Subject::Archive { project, .. } => Some(project),
            Subject::Partition(_) => None,
        };
        let facts = facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect();
        Self { id: id(kind, &subject), kind, subject, project, time, reason, facts }
    }
}

/// `kind[/reason]/subject[/try]`, which is what the id is made of.
#[must_use]
pub fn name(kind: Kind, subject: &Subject) -> String {
    let reason = if let Kind::Blocked(reason) = kind { format!("/{}", reason.name()) } else { String::new() };
    let tries = match subject {
        Subject::Archive { try_, .. } if kind == Kind::ArchiveLogs => format!("/{try_}"),
        _ => String::new(),
    };
    format!("{}{reason}/{subject}{tries}", kind.name())
}

/// The id of a decision: UUIDv5 of its [`name`].
#[must_use]
pub fn id(kind: Kind, subject: &Subject) -> Id {
    let mut hash = sha1_smol::Sha1::from(NAMESPACE.to_be_bytes());
    hash.update(name(kind, subject).as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.digest().bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Id::from_be_bytes(bytes)
}

impl fmt::Display for Subject {
    /// A partition's name, or `job/run/attempt/end`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(name) => f.write_str(name),
            Self::Archive { job, attempt, run, ended_at, .. } => {
                write!(f, "{}/{}/{attempt}/{ended_at}", Hyphenated(*job), Hyphenated(*run))
            }
        }
    }
}

/// An id as people write it.
#[derive(Clone, Copy, Debug)]
pub struct Hyphenated(pub Id);

impl fmt::Display for Hyphenated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(ended_at: Millis, try_: u32) -> Subject {
        Subject::Archive { job: 1, attempt: 2, run: 3, project: 4, ended_at, try_ }
    }

    #[test]
    fn an_id_follows_from_kind_and_subject_and_never_changes() {
        let drop = (Kind::DropPartition, Subject::Partition("log_lines_y2026m01".into()));
        assert_eq!(name(drop.0, &drop.1), "drop_partition/log_lines_y2026m01");
        assert_eq!(Hyphenated(id(drop.0, &drop.1)).to_string(), "144aee10-dc25-53ce-a1e4-c57feadbd327");
        let asked = name(Kind::ArchiveLogs, &archive(5, 1));
        let (job, run) = ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000003");
        assert_eq!(asked, format!("archive_logs/{job}/{run}/2/5/1"));
        let failed = Kind::Blocked(Reason::ArchiveFailed);
        assert_eq!(name(failed, &archive(5, 10)), format!("blocked/archive_failed/{job}/{run}/2/5"));
    }

    #[test]
    fn another_try_another_end_and_another_reason_are_other_decisions() {
        let partition = Subject::Partition("log_lines_y2026m01".into());
        let ids = [
            id(Kind::ArchiveLogs, &archive(5, 1)),
            id(Kind::ArchiveLogs, &archive(5, 2)),
            id(Kind::ArchiveLogs, &archive(6, 1)),
            id(Kind::Blocked(Reason::Bounds), &partition),
            id(Kind::Blocked(Reason::NoPolicy), &partition),
            id(Kind::EnsurePartition, &partition),
        ];
        let distinct: std::collections::BTreeSet<Id> = ids.into();
        assert_eq!(distinct.len(), ids.len());
    }
}
