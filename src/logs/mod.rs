//! The log database: gocdnext's `log_lines`, cut into monthly partitions, in PostgreSQL; in SQLite for the embedded setup.
//!
//! Here is what can be asked of it and done to it; whether a partition may go is [`crate::retention`]'s business. Nothing
//! but a whole partition is ever taken away, and only by [`survey::Locked::drop_partition`]. What must stay true:
//!
//! - a partition is gone and in the drop ledger, or there and not in it: one transaction does both;
//! - what was checked under the lock is what is dropped: from the lock on the partition takes no line and keeps its bounds;
//! - in PostgreSQL nobody who writes elsewhere waits for our reading: all of `log_lines` is locked by the same message
//!   that drops and commits, after a wait of at most [`Options::lock_patience`], so that no stalled client holds that lock.
//!   SQLite has one lock for all writers: while the partition is read under it, whoever writes a line waits, at worst for
//!   as long as it was taken for, or fails where its own patience ends before;
//! - of `log_lines` no more is used than `at` and the job (`job_run_id` or `job_id`).
//!
//! Two executors are kept apart by an advisory lock of the transaction: unlike a session's it cannot be left behind on a
//! connection that a pooler hands on.

pub mod catalogue;
pub mod drops;
pub mod embedded;
pub mod ensure;
pub mod error;
mod layout;
pub mod probe;
pub mod survey;

pub use self::{
    drops::Drop,
    ensure::Ensured,
    error::LogsError,
    probe::{Ask, Step},
    survey::{Found, Lined, Lock, Locked, Survey},
};
pub use crate::database::{DatabaseUrl as LogsUrl, Options};

use self::probe::Probe;
use crate::clock::wall_ms;
use crate::database::{
    connection::{Connection, Link},
    open::{Schema, Target},
};
use dataflows::time::Millis;
use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

/// Beside the state's, which may lie in the same database.
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let (sqlite, postgres) = (sqlx::migrate!("migrations/logs/sqlite"), sqlx::migrate!("migrations/logs/postgres"));
    Schema::new("gocdnext_flow_logs_migrations", sqlite, postgres)
});

/// So long we may stand in front of those who write.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);

/// See the module. A clone is the same database.
#[derive(Clone)]
pub struct LogDatabase {
    target: Arc<Target>,
    link: Arc<Link>,
    probe: Probe,
}

impl LogDatabase {
    /// Changes nothing; whoever asks it first is told what is not there.
    #[must_use]
    pub fn look(url: &LogsUrl) -> Self {
        Self::with(url, Options { look_only: true, ..Self::options(url) })
    }

    /// Connects and makes the tables of ours be there: the drop ledger, and in SQLite `log_lines` itself.
    pub async fn open(url: &LogsUrl) -> Result<Self, LogsError> {
        Self::open_with(url, Self::options(url)).await
    }

    pub async fn open_with(url: &LogsUrl, options: Options) -> Result<Self, LogsError> {
        let logs = Self::with(url, options);
        let mut lent = logs.link.lend().await?;
        logs.target.migrate(&SCHEMA, &mut lent.connection).await?;
        lent.give_back();
        Ok(logs)
    }

    fn with(url: &LogsUrl, options: Options) -> Self {
        let target = Arc::new(Target { url: url.clone(), options });
        let link = Arc::new(Link::new(&target));
        Self { target, link, probe: Probe::default() }
    }

    /// A file's writers wait for us, not we before them.
    fn options(url: &LogsUrl) -> Options {
        let options = Options::default();
        if url.path().is_some() { options } else { Options { lock_patience: LOCK_PATIENCE, ..options } }
    }

    /// Asks at each step what should go wrong; for tests.
    #[must_use]
    pub fn with_probe(self, ask: Ask) -> Self {
        Self { probe: Probe(Some(ask)), ..self }
    }

    #[must_use]
    pub fn url(&self) -> &LogsUrl {
        &self.target.url
    }

    /// A connection of one's own, in a transaction that writes or one that only reads.
    async fn begin(&self, writes: bool) -> Result<Connection, LogsError> {
        let mut connection = self.target.connect().await?;
        if writes {
            connection.begin().await?;
            settle(&mut connection).await?;
        } else {
            begin_reading(&mut connection).await?;
        }
        Ok(connection)
    }

    /// By the log database's own clock; an embedded one has none but this process's.
    async fn now(&self, connection: &mut Connection) -> Result<Millis, LogsError> {
        if connection.is_sqlite() {
            return Ok(wall_ms());
        }
        let select = "SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)";
        Ok(connection.row::<(i64,)>("the server's clock", select).await?.0)
    }
}

async fn begin_reading(connection: &mut Connection) -> Result<(), LogsError> {
    connection.begin_reading().await?;
    settle(connection).await
}

/// What this transaction reads is to be all there is, and bounds are to be told in UTC.
async fn settle(connection: &mut Connection) -> Result<(), LogsError> {
    if !connection.is_sqlite() {
        let set = "SELECT set_config('TimeZone', 'UTC', TRUE), set_config('DateStyle', 'ISO, YMD', TRUE), \
                   set_config('row_security', 'off', TRUE), set_config('constraint_exclusion', 'off', TRUE)";
        connection.execute(set, &[]).await?;
        // where the server can, it ends what a client that is gone has begun
        let watch = "SELECT set_config(name, '1s', TRUE) FROM pg_settings \
                     WHERE name = 'client_connection_check_interval'";
        connection.execute(watch, &[]).await?;
    }
    Ok(())
}

impl fmt::Debug for LogDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LogDatabase");
        shown.field("url", &self.target.url).field("probe", &self.probe).finish_non_exhaustive()
    }
}
