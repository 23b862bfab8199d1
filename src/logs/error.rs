//! What can be wrong with the log database, by what follows from it.

use crate::database::DatabaseError;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogsError {
    /// See [`DatabaseError::Transient`].
    #[error("the log database does not do its work: {reason}")]
    Transient { reason: String },
    /// See [`DatabaseError::Definite`]; also a `log_lines` that is not laid out as gocdnext does.
    #[error("the log database cannot be used: {reason}")]
    Definite { reason: String },
    /// There is no `log_lines`.
    #[error("there are no logs: {reason}")]
    Absent { reason: String },
}

impl LogsError {
    pub(super) fn definite(reason: impl Into<String>) -> Self {
        Self::Definite { reason: reason.into() }
    }

    pub(super) fn absent(reason: impl Into<String>) -> Self {
        Self::Absent { reason: reason.into() }
    }
}

impl From<DatabaseError> for LogsError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Transient { reason } => Self::Transient { reason },
            DatabaseError::Definite { reason } => Self::Definite { reason },
            DatabaseError::Absent { reason } => Self::Absent { reason },
            newer @ DatabaseError::Newer { .. } => Self::definite(newer.to_string()),
            DatabaseError::Damaged { table, reason } => Self::Definite { reason: format!("{table}: {reason}") },
        }
    }
}
