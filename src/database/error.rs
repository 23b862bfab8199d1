//! What can be wrong with a database, by what follows from it: try again, give up, or what it holds is damaged.
//!
//! What must stay true: an error of a kind nobody knows is definite. To try again for ever at what cannot succeed hides
//! it; a restart by the supervisor is the retry of last resort.

use super::DatabaseUrl;
use sqlx::{migrate::MigrateError, postgres::PgDatabaseError, sqlite::SqliteError};
use std::{io, time::Duration};

/// See the module. What it is an error of, and what to call it, those say who use the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// It may go well the next time: no connection, no room, a lock held by another, a server that starts or stops.
    #[error("{reason}")]
    Transient { reason: String },
    /// It will go as badly the next time: rights, names, passwords, a schema that this program does not know.
    #[error("{reason}")]
    Definite { reason: String },
    /// Nothing was ever kept there, and it was not to be made.
    #[error("{reason}")]
    Absent { reason: String },
    /// A newer program has made the tables what they are.
    #[error(
        "its tables are of version {found}, and this program knows versions up to {known}: run the newer program"
    )]
    Newer { found: i64, known: i64 },
    /// What is stored is not what was written.
    #[error("{table}: {reason}")]
    Damaged { table: &'static str, reason: String },
}

impl DatabaseError {
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    /// Damage of a whole database, with its name.
    pub(crate) fn of(self, database: &DatabaseUrl) -> Self {
        match self {
            Self::Damaged { table, reason } if table == SOME_TABLE => {
                Self::Damaged { table, reason: format!("{database}: {reason}") }
            }
            other => other,
        }
    }

    pub(crate) fn transient(reason: impl Into<String>) -> Self {
        Self::Transient { reason: reason.into() }
    }

    pub(crate) fn absent(reason: impl Into<String>) -> Self {
        Self::Absent { reason: reason.into() }
    }

    pub(crate) fn definite(reason: impl Into<String>) -> Self {
        Self::Definite { reason: reason.into() }
    }

    pub(crate) fn damaged(table: &'static str, reason: impl Into<String>) -> Self {
        Self::Damaged { table, reason: reason.into() }
    }

    pub(crate) fn no_answer(within: Duration) -> Self {
        Self::transient(format!("no answer within {} s", within.as_secs_f64()))
    }
}

/// The table is not known where only the database's own error says that something is broken.
const SOME_TABLE: &str = "the database";

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => database(&*error),
            sqlx::Error::Io(error) => io_error(&error),
            sqlx::Error::Migrate(error) => (*error).into(),
            sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::transient(error.to_string()),
            sqlx::Error::RowNotFound => Self::damaged(SOME_TABLE, "a row that is always there is missing"),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::damaged(SOME_TABLE, error.to_string()),
            other => Self::definite(other.to_string()),
        }
    }
}

impl From<MigrateError> for DatabaseError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            other => Self::definite(other.to_string()),
        }
    }
}

/// A name that is not found may be found later (a cluster's DNS, a socket of a server that starts), a right will not come,
/// and a certificate stays what it is (what rustls refuses is `InvalidData`).
fn io_error(error: &io::Error) -> DatabaseError {
    let reason = error.to_string();
    match error.kind() {
        io::ErrorKind::PermissionDenied => DatabaseError::Definite { reason },
        io::ErrorKind::InvalidData => DatabaseError::Definite {
            reason: format!(
                "no TLS with the server: {reason}; check `sslrootcert` (who signed its certificate), the host's name, \
                 which must be in its certificate, and `sslmode`"
            ),
        },
        _ => DatabaseError::Transient { reason },
    }
}

fn database(error: &dyn sqlx::error::DatabaseError) -> DatabaseError {
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        return by_sqlstate(error.code(), error.message());
    }
    if error.try_downcast_ref::<SqliteError>().is_some() {
        let code = error.code().and_then(|code| code.parse().ok()).unwrap_or(0);
        return by_sqlite_code(code, error.message());
    }
    DatabaseError::definite(error.to_string())
}

/// PostgreSQL, appendix A: error codes.
fn by_sqlstate(code: &str, message: &str) -> DatabaseError {
    let reason = format!("{message} (SQLSTATE {code})");
    match (code.get(..2).unwrap_or_default(), code) {
        // a database that is dropped will not come back by itself
        (_, "57P04") => DatabaseError::Definite { reason },
        (_, "XX001" | "XX002") => DatabaseError::damaged(SOME_TABLE, reason),
        // 08 connection, 25 state of the transaction (read-only, idle too long), 26 a statement that a connection pooler
        // has lost, 40 rolled back (deadlock, serialization), 53 resources (disk, memory, connections), 55 and 57 locks,
        // timeouts, starting and stopping, 58 the system, XX internal
        ("08" | "25" | "26" | "40" | "53" | "55" | "57" | "58" | "XX", _) => DatabaseError::Transient { reason },
        _ => DatabaseError::Definite { reason },
    }
}

/// <https://www.sqlite.org/rescode.html>
fn by_sqlite_code(code: u32, message: &str) -> DatabaseError {
    const CORRUPT_FILE_SYSTEM: u32 = 8458;
    const NOT_A_DATABASE: u32 = 26;
    let reason = format!("{message} (SQLite code {code})");
    if code == NOT_A_DATABASE {
        return DatabaseError::damaged(
            SOME_TABLE,
            format!("{reason}: nothing can be read of it; first move it out of the way"),
        );
    }
    match (code & 0xff, code) {
        (11, _) | (_, CORRUPT_FILE_SYSTEM) => DatabaseError::damaged(SOME_TABLE, reason),
        // busy, locked, no memory, read-only, interrupted, i/o, full, locking protocol, schema changed
        (5..=10 | 13 | 15 | 17, _) => DatabaseError::Transient { reason },
        _ => DatabaseError::Definite { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_are_sorted_by_what_follows() {
        for code in [
            "08006", "25006", "25P03", "26000", "40001", "40P01", "53100", "53200", "53300", "55P03", "57014",
            "57P01", "57P02", "57P03", "58030",
        ] {
            assert!(by_sqlstate(code, "x").is_transient(), "{code}");
        }
        for code in ["28P01", "28000", "3D000", "42501", "42P01", "57P04", "23505", "0A000", "", "é"] {
            assert!(matches!(by_sqlstate(code, "x"), DatabaseError::Definite { .. }), "{code}");
        }
        assert!(matches!(by_sqlstate("XX001", "x"), DatabaseError::Damaged { .. }));
    }

    #[test]
    fn sqlite_codes_are_sorted_by_what_follows() {
        for code in [5, 6, 261, 517, 7, 8, 264, 10, 266, 13, 15] {
            assert!(by_sqlite_code(code, "x").is_transient(), "{code}");
        }
        for code in [1, 3, 14, 19, 23] {
            assert!(matches!(by_sqlite_code(code, "x"), DatabaseError::Definite { .. }), "{code}");
        }
        for code in [11, 26, 267, 8458] {
            assert!(matches!(by_sqlite_code(code, "x"), DatabaseError::Damaged { .. }), "{code}");
        }
    }
}
