//! Connecting to a database and bringing a schema in it up to date.
//!
//! A schema that is up to date is only read, so that an instance needs no rights to create tables that are there, and a
//! file that another instance writes to can be opened.

use super::{
    DatabaseError,
    connection::{Connection, Raw, Value, bounded},
    url::{DatabaseUrl, Place, named_files},
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _,
    migrate::Migrator,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{fs, io, path::Path, time::Duration};

/// How its users wait, and what tests narrow.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// No single wait for the database takes longer.
    pub patience: Duration,
    /// How long it waits for a lock, shorter than `patience` so that the database says which.
    pub lock_patience: Duration,
    /// SQLite: the file grows no further than this many pages of 16 KiB.
    pub max_pages: Option<u32>,
    /// SQLite: every write is refused.
    pub read_only: bool,
    /// Only looks at what is there: nothing is made, brought up to date or written, and what is not there is
    /// [`DatabaseError::Absent`].
    pub look_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(10),
            lock_patience: Duration::from_secs(5),
            max_pages: None,
            read_only: false,
            look_only: false,
        }
    }
}

impl Options {
    /// See [`Options::look_only`].
    #[must_use]
    pub fn look_only() -> Self {
        Self { look_only: true, ..Self::default() }
    }
}

/// A schema: its migrations in either dialect, and the table where those that were applied are kept. Several schemas may
/// lie in one database.
pub(crate) struct Schema {
    pub(crate) table: &'static str,
    pub(crate) sqlite: Migrator,
    pub(crate) postgres: Migrator,
}

impl Schema {
    pub(crate) fn new(table: &'static str, mut sqlite: Migrator, mut postgres: Migrator) -> Self {
        sqlite.dangerous_set_table_name(table);
        postgres.dangerous_set_table_name(table);
        Self { table, sqlite, postgres }
    }
}

/// Where connections lead, and how.
pub(crate) struct Target {
    pub(crate) url: DatabaseUrl,
    pub(crate) options: Options,
}

impl Target {
    pub(crate) async fn connect(&self) -> Result<Connection, DatabaseError> {
        let Options { patience, .. } = self.options;
        let raw = match &self.url.0 {
            Place::Sqlite(path) => Raw::Sqlite(self.connect_sqlite(path).await?),
            Place::Postgres(url) => {
                absent_file(url)?;
                let options: PgConnectOptions = url.parse()?;
                let name = options.get_application_name().unwrap_or("gocdnext-flow").to_owned();
                let options = options.application_name(&name).disable_statement_logging();
                Raw::Postgres(bounded(patience, options.connect()).await?)
            }
        };
        let mut connection = Connection { raw, patience };
        self.prepare(&mut connection).await?;
        Ok(connection)
    }

    async fn connect_sqlite(&self, path: &Path) -> Result<sqlx::SqliteConnection, DatabaseError> {
        let mut options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(false)
            .busy_timeout(self.options.lock_patience)
            .disable_statement_logging();
        if self.options.look_only {
            match path.try_exists() {
                Ok(true) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(unseen(path, &error)),
                _ => return Err(DatabaseError::absent(format!("there is no file {}", path.display()))),
            }
            options = options.pragma("query_only", "1");
        } else {
            options = options
                .create_if_missing(true)
                .page_size(16 << 10)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                // a log that once grew large gives its room back
                .pragma("journal_size_limit", "67108864");
        }
        if let Some(pages) = self.options.max_pages {
            options = options.pragma("max_page_count", pages.to_string());
        }
        if self.options.read_only {
            options = options.pragma("query_only", "1");
        }
        let connected = bounded(self.options.patience, options.connect()).await;
        connected.map_err(|error| explained(path, error))
    }

    /// Bounds what the server does for us, a little below our own patience so that its errors come first. By statements
    /// rather than in the start packet, which poolers refuse.
    async fn prepare(&self, connection: &mut Connection) -> Result<(), DatabaseError> {
        if connection.is_sqlite() {
            return Ok(());
        }
        let Options { patience, lock_patience, .. } = self.options;
        let statement = milliseconds(patience.mul_f32(0.8));
        let (lock, idle) = (milliseconds(lock_patience), milliseconds(patience * 2));
        let set = "SELECT set_config('statement_timeout', $1, FALSE), set_config('lock_timeout', $2, FALSE), \
                   set_config('idle_in_transaction_session_timeout', $3, FALSE)";
        connection.execute(set, &[Value::Text(&statement), Value::Text(&lock), Value::Text(&idle)]).await?;
        // a commit that a crash of the server takes back is none
        let durable = "SELECT set_config('synchronous_commit', 'on', FALSE) \
                       WHERE current_setting('synchronous_commit') = 'off'";
        connection.execute(durable, &[]).await?;
        Ok(())
    }

    /// Makes the schema be there, or only looks whether it is. Any number of instances may do so at once.
    pub(crate) async fn migrate(&self, schema: &Schema, connection: &mut Connection) -> Result<(), DatabaseError> {
        match schema.found(connection).await.map_err(|error| error.of(&self.url))? {
            Found::UpToDate => return Ok(()),
            Found::Absent if self.options.look_only => {
                return Err(DatabaseError::absent(format!("{} holds other things or nothing", self.url)));
            }
            Found::Older if self.options.look_only => {
                return Err(DatabaseError::definite(
                    "an older version made it, and `run` has yet to bring it up to date",
                ));
            }
            Found::Absent | Found::Older => {}
        }
        let patience = self.options.patience;
        match &mut connection.raw {
            Raw::Sqlite(raw) => {
                // its migrator takes no lock of its own
                let work = async {
                    let mut whole = raw.begin_with("BEGIN IMMEDIATE").await?;
                    schema.sqlite.run_direct(None, &mut *whole, false).await?;
                    whole.commit().await.map_err(DatabaseError::from)
                };
                bounded(patience, work).await
            }
            Raw::Postgres(raw) => bounded(patience, schema.postgres.run_direct(None, raw, false)).await,
        }
    }
}

/// Refuses an address whose certificates are not there: the driver's error would neither name the file nor differ from
/// that of a server that is not up yet.
fn absent_file(url: &str) -> Result<(), DatabaseError> {
    for (name, file) in named_files(url) {
        if let Err(error) = fs::File::open(file) {
            return Err(DatabaseError::definite(format!("`{name}`: {file}: {error}")));
        }
    }
    Ok(())
}

fn milliseconds(time: Duration) -> String {
    format!("{}ms", time.as_millis().max(1))
}

/// What of a schema is there.
enum Found {
    Absent,
    /// Some migrations are missing.
    Older,
    UpToDate,
}

impl Schema {
    /// Looks for the migrations. One that this program does not know was made by a newer one.
    async fn found(&self, connection: &mut Connection) -> Result<Found, DatabaseError> {
        let (migrator, exists) = match connection.raw {
            Raw::Sqlite(_) => (&self.sqlite, "SELECT COUNT(*) FROM sqlite_master WHERE name = $1"),
            Raw::Postgres(_) => (&self.postgres, "SELECT COUNT(*) WHERE to_regclass($1) IS NOT NULL"),
        };
        let there: Vec<(i64,)> = connection.rows(exists, &[Value::Text(self.table)]).await?;
        if there.first().is_none_or(|(count,)| *count == 0) {
            return Ok(Found::Absent);
        }
        let select = AssertSqlSafe(format!("SELECT version FROM {} WHERE success ORDER BY version", self.table));
        let there: Vec<(i64,)> = connection.rows(select, &[]).await?;
        let newest = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
        match there.last() {
            Some((version,)) if *version > newest => Err(DatabaseError::Newer { found: *version, known: newest }),
            Some((version,)) if *version == newest && there.len() == migrator.iter().count() => Ok(Found::UpToDate),
            Some(_) => Ok(Found::Older),
            None => Ok(Found::Absent),
        }
    }
}

/// A file that may be there.
fn unseen(path: &Path, error: &io::Error) -> DatabaseError {
    DatabaseError::definite(format!("{}: {error}; ask as the user that `run` has, or as root", path.display()))
}

/// SQLite says "unable to open database file" whatever the reason, and it may be one that passes.
fn explained(path: &Path, error: DatabaseError) -> DatabaseError {
    const CANNOT_OPEN: &str = "(SQLite code 14)";
    let error = error.of(&DatabaseUrl::sqlite(path));
    let DatabaseError::Definite { reason } = &error else { return error };
    if !reason.ends_with(CANNOT_OPEN) {
        return DatabaseError::definite(format!("{}: {reason}", path.display()));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.is_dir() {
        return DatabaseError::definite(format!("there is no directory {}", directory.display()));
    }
    match fs::OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let reason = format!("{}: {error}", path.display());
            let passes = !matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory);
            if passes { DatabaseError::Transient { reason } } else { DatabaseError::Definite { reason } }
        }
        _ => DatabaseError::definite(format!(
            "{}: {reason}; it needs the right to make files in its directory",
            path.display()
        )),
    }
}
