//! One connection to either database, and the places where connections are kept.
//!
//! A connection is lent for one piece of work and given back only when that went well. After an error, a timeout or a
//! caller that went away it is closed, which rolls back what it had begun: so no connection is ever in an unknown state,
//! and nothing but `BEGIN` and `COMMIT` is needed. What must stay true: every wait ends within `patience`.

use super::{DatabaseError, open::Target};
use sqlx::{AssertSqlSafe, FromRow, PgConnection, SqlSafeStr, SqliteConnection, postgres::PgRow, sqlite::SqliteRow};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

/// A value for a `$1`.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(i64),
    Maybe(Option<i64>),
    Flag(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// What a row of both databases can be read as.
pub(crate) trait Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for T {}

pub(crate) struct Connection {
    pub(crate) raw: Raw,
    pub(crate) patience: Duration,
}

pub(crate) enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match *value {
                Value::Number(number) => query.bind(number),
                Value::Maybe(number) => query.bind(number),
                Value::Flag(flag) => query.bind(flag),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query
    }};
}

impl Connection {
    /// The number of rows it changed.
    pub(crate) async fn execute(
        &mut self,
        sql: impl SqlSafeStr + Send,
        values: &[Value<'_>],
    ) -> Result<u64, DatabaseError> {
        let Self { raw, patience } = self;
        let work = async {
            match raw {
                Raw::Sqlite(raw) => {
                    bound!(sqlx::query(sql), values).execute(raw).await.map(|done| done.rows_affected())
                }
                Raw::Postgres(raw) => {
                    bound!(sqlx::query(sql), values).execute(raw).await.map(|done| done.rows_affected())
                }
            }
        };
        bounded(*patience, work).await
    }

    pub(crate) async fn rows<T: Row>(
        &mut self,
        sql: impl SqlSafeStr + Send,
        values: &[Value<'_>],
    ) -> Result<Vec<T>, DatabaseError> {
        let Self { raw, patience } = self;
        let work = async {
            match raw {
                Raw::Sqlite(raw) => bound!(sqlx::query_as(sql), values).fetch_all(raw).await,
                Raw::Postgres(raw) => bound!(sqlx::query_as(sql), values).fetch_all(raw).await,
            }
        };
        bounded(*patience, work).await
    }

    /// Several statements in one message, so that a client that stalls leaves nothing half done between them.
    pub(crate) async fn batch(&mut self, sql: String) -> Result<(), DatabaseError> {
        let Self { raw, patience } = self;
        let statements = sqlx::raw_sql(AssertSqlSafe(sql));
        let work = async {
            match raw {
                Raw::Sqlite(raw) => statements.execute(raw).await.map(drop),
                Raw::Postgres(raw) => statements.execute(raw).await.map(drop),
            }
        };
        bounded(*patience, work).await
    }

    /// The one row of a table that has one.
    pub(crate) async fn row<T: Row>(
        &mut self,
        table: &'static str,
        sql: impl SqlSafeStr + Send,
    ) -> Result<T, DatabaseError> {
        let row = self.rows(sql, &[]).await?.pop();
        row.ok_or_else(|| DatabaseError::damaged(table, "its only row is missing"))
    }

    /// Opens a transaction that writes.
    pub(crate) async fn begin(&mut self) -> Result<(), DatabaseError> {
        let begin = match self.raw {
            // a transaction that begins by reading could not wait for its turn to write
            Raw::Sqlite(_) => "BEGIN IMMEDIATE",
            // an update that waited for another looks at the row again: fencing rests on it
            Raw::Postgres(_) => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        self.execute(begin, &[]).await.map(drop)
    }

    /// Opens a transaction that only reads, and always sees the same.
    pub(crate) async fn begin_reading(&mut self) -> Result<(), DatabaseError> {
        let begin = match self.raw {
            Raw::Sqlite(_) => "BEGIN",
            Raw::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        self.execute(begin, &[]).await.map(drop)
    }

    /// Other things may be done between two statements of this transaction: a file is read or written meanwhile.
    pub(crate) async fn take_time(&mut self) -> Result<(), DatabaseError> {
        const IDLE: &str = "1h";
        if self.is_sqlite() {
            return Ok(());
        }
        let set = "SELECT set_config('idle_in_transaction_session_timeout', $1, TRUE)";
        self.execute(set, &[Value::Text(IDLE)]).await.map(drop)
    }

    pub(crate) async fn commit(&mut self) -> Result<(), DatabaseError> {
        self.execute("COMMIT", &[]).await.map(drop)
    }

    /// Ends it as the database wants it. SQLite would put its log into the file only with the last connection of all, and
    /// one that was cut off may live a moment longer.
    pub(crate) async fn close(mut self) -> Result<(), DatabaseError> {
        if self.is_sqlite() {
            self.execute("PRAGMA wal_checkpoint(TRUNCATE)", &[]).await?;
        }
        let close = async {
            match self.raw {
                Raw::Sqlite(raw) => sqlx::Connection::close(raw).await,
                Raw::Postgres(raw) => sqlx::Connection::close(raw).await,
            }
        };
        bounded(self.patience, close).await
    }

    /// Of a server: only one writes a SQLite file at a time.
    pub(crate) const fn is_sqlite(&self) -> bool {
        matches!(self.raw, Raw::Sqlite(_))
    }
}

/// The work's result, or a transient error when it takes too long.
pub(crate) async fn bounded<T, E: Into<DatabaseError>>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, DatabaseError> {
    match timeout(patience, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(DatabaseError::no_answer(patience)),
    }
}

/// Keeps one connection for one kind of work, so that kinds do not hold each other up.
pub(crate) struct Link {
    target: Arc<Target>,
    idle: Mutex<Option<Connection>>,
}

impl Link {
    pub(crate) fn new(target: &Arc<Target>) -> Self {
        Self { target: Arc::clone(target), idle: Mutex::new(None) }
    }

    /// The place of the connection, once nobody else has it.
    async fn turn(&self) -> Result<MutexGuard<'_, Option<Connection>>, DatabaseError> {
        let turn = timeout(self.target.options.patience, self.idle.lock()).await;
        turn.map_err(|_| DatabaseError::transient("its connection is in use for too long"))
    }

    /// The connection, made anew where there is none.
    pub(crate) async fn lend(&self) -> Result<Lent<'_>, DatabaseError> {
        let mut home = self.turn().await?;
        let connection = match home.take() {
            Some(connection) => connection,
            None => self.target.connect().await?,
        };
        Ok(Lent { home, connection })
    }

    /// Closes the connection that lies idle.
    pub(crate) async fn close(&self) -> Result<(), DatabaseError> {
        match self.turn().await?.take() {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }
}

/// See [`Link::lend`]. Dropped, it closes the connection.
pub(crate) struct Lent<'a> {
    home: MutexGuard<'a, Option<Connection>>,
    pub(crate) connection: Connection,
}

impl Lent<'_> {
    pub(crate) fn give_back(mut self) {
        *self.home = Some(self.connection);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
