//! What can be wrong with the state: what can be wrong with its database, and that another has taken it over.

use crate::database::DatabaseError;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// See [`DatabaseError::Transient`].
    #[error("the state's database does not do its work: {reason}")]
    Transient { reason: String },
    /// See [`DatabaseError::Definite`].
    #[error("the state cannot be used: {reason}")]
    Definite { reason: String },
    /// Nothing was ever kept there, and it was not to be made.
    #[error("there is no state: {reason}")]
    Absent { reason: String },
    /// A newer program has made the tables what they are.
    #[error(
        "the state has tables of version {found}, and this program knows versions up to {known}: run the newer program"
    )]
    Newer { found: i64, known: i64 },
    /// The epoch or the generation in the database is not the one expected.
    #[error("another instance has taken over the state")]
    Fenced,
    /// What is stored is not what was written.
    #[error("the state is damaged: {0}")]
    Damaged(Damage),
}

/// What is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub table: &'static str,
    pub chunk: Option<ChunkId>,
    pub reason: String,
}

/// Names a row of the blob table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkId {
    pub epoch: u64,
    pub lane: u32,
    pub chunk: u32,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table)?;
        if let Some(ChunkId { epoch, lane, chunk }) = self.chunk {
            write!(f, ", epoch {epoch}, lane {lane}, chunk {chunk}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl StoreError {
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    pub(super) fn definite(reason: impl Into<String>) -> Self {
        Self::Definite { reason: reason.into() }
    }

    pub fn damaged(table: &'static str, reason: impl Into<String>) -> Self {
        Self::Damaged(Damage { table, chunk: None, reason: reason.into() })
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Transient { reason } => Self::Transient { reason },
            DatabaseError::Definite { reason } => Self::Definite { reason },
            DatabaseError::Absent { reason } => Self::Absent { reason },
            DatabaseError::Newer { found, known } => Self::Newer { found, known },
            DatabaseError::Damaged { table, reason } => Self::damaged(table, reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_named() {
        let chunk = ChunkId { epoch: 7, lane: 65_535, chunk: 2 };
        let damage =
            Damage { table: "gocdnext_flow_blob", chunk: Some(chunk), reason: "its checksum is wrong".into() };
        let shown = StoreError::Damaged(damage).to_string();
        assert_eq!(
            shown,
            "the state is damaged: gocdnext_flow_blob, epoch 7, lane 65535, chunk 2: its checksum is wrong"
        );
    }
}
