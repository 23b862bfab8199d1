//! What became of a commit whose answer was an error or never came: decided by the manifest read afterwards.
//!
//! Pure, so that the model of the commit protocol (`tests/commit_protocol`) decides by this very function. What must stay
//! true: what is tried again is the same commit, byte for byte, since the first one may still come to pass.

use crate::store::{Commit, Manifest};

/// What a commit was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub generation: u64,
    /// The epoch committed before.
    pub previous: u64,
    pub epoch: u64,
}

impl From<&Commit<'_>> for Attempt {
    fn from(commit: &Commit<'_>) -> Self {
        let Manifest { generation, epoch, .. } = *commit.manifest;
        Self { generation, previous: commit.previous, epoch }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    /// Not so far: the same commit is sent again.
    NotYet,
    /// Another instance writes; whether this epoch was committed before it took over does not matter to us any more.
    Fenced,
    /// Our generation stands, but at an epoch that it has never led to: the database has lost or changed what it had
    /// acknowledged.
    Rewound {
        found: u64,
    },
}

/// What the manifest read after it says of a commit.
#[must_use]
pub const fn outcome(attempt: Attempt, found: &Manifest) -> Outcome {
    // first of all: a successor that has not committed yet leaves the previous epoch in place
    if found.generation != attempt.generation {
        return Outcome::Fenced;
    }
    if found.epoch == attempt.epoch {
        Outcome::Committed
    } else if found.epoch == attempt.previous {
        Outcome::NotYet
    } else {
        Outcome::Rewound { found: found.epoch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_tells_what_became_of_a_commit() {
        let attempt = Attempt { generation: 2, previous: 8, epoch: 9 };
        let outcome =
            |generation, epoch| super::outcome(attempt, &Manifest { epoch, generation, ..Manifest::default() });
        assert_eq!(outcome(2, 9), Outcome::Committed);
        assert_eq!(outcome(2, 8), Outcome::NotYet);
        assert_eq!(outcome(3, 8), Outcome::Fenced, "not `NotYet`: it would be refused for ever");
        assert_eq!(outcome(3, 9), Outcome::Fenced, "committed, perhaps by the other: two may number an epoch alike");
        assert_eq!(outcome(1, 9), Outcome::Fenced, "a database that was put back");
        assert_eq!(outcome(2, 7), Outcome::Rewound { found: 7 });
        assert_eq!(outcome(2, 10), Outcome::Rewound { found: 10 });
    }
}
