//! Reading a partition: how many lines it holds, of which jobs, and whether all of them belong there; without locks, or
//! under the lock under which it can then be dropped.
//!
//! The lock keeps writers from this one partition and lets readers be. It is waited for no longer than
//! [`Options::lock_patience`](super::Options::lock_patience), and what is done under it takes no longer than it was taken
//! for: then the server gives it up, whatever has become of the client.

use super::{
    Drop, LogDatabase, LogsError, catalogue,
    layout::Layout,
    probe::{Probe, Step},
};
use crate::database::connection::{
    Connection,
    Value::{Number, Text},
};
use dataflows::{
    event::Id,
    retention::{Partition, decision::Hyphenated},
    time::Millis,
};
use sqlx::AssertSqlSafe;
use std::time::Duration;
use uuid::Uuid;

/// Of jobs.
const PAGE: i64 = 1_000;
/// One for all executors on a database.
const ADVISORY_LOCK: i64 = 0x676f_6364_6c6f_6773;

/// What a partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub rows: u64,
    pub jobs: u64,
    /// Lines from before its lower bound, or without a time.
    pub before: u64,
    /// Lines from its upper bound on.
    pub after: u64,
    /// Lines without a job that could be asked for.
    pub nameless: u64,
    /// Lines of its month that lie in the default partition.
    pub astray: u64,
}

/// A partition that is being read, page by page, as it was in one moment.
pub struct Survey<'a> {
    logs: &'a LogDatabase,
    connection: Connection,
    layout: Layout,
    partition: Partition,
    regular: bool,
    found: Found,
    progress: Progress,
}

enum Progress {
    Begun,
    /// The last job of the last page.
    After(String),
    Whole,
}

/// A partition that takes no more lines. Dropped, it is as it was.
#[derive(Debug)]
pub struct Locked<'a>(Survey<'a>);

/// What became of taking the lock.
#[derive(Debug)]
pub enum Lock<'a> {
    Taken(Box<Locked<'a>>),
    /// Another executor is at work.
    Elsewhere,
    /// There is no partition of that name.
    Gone,
}

/// A job that has lines in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lined {
    pub job: Id,
    /// The time of its newest line; `None`: no line has one.
    pub newest: Option<Millis>,
}

type PageRow = (Option<String>, i64, i64, i64, Option<i64>);

impl LogDatabase {
    /// Begins to read a partition, without locks. `None`: there is none of that name.
    pub async fn survey(&self, name: &str, patience: Duration) -> Result<Option<Survey<'_>>, LogsError> {
        self.probe.at(Step::BeforeSurvey)?;
        let mut connection = self.begin(false).await?;
        allow(&mut connection, patience).await?;
        Survey::begin(self, connection, name).await
    }

    /// Locks a partition against writers, for no longer than `hold`.
    pub async fn lock(&self, name: &str, hold: Duration) -> Result<Lock<'_>, LogsError> {
        self.probe.at(Step::BeforeLock)?;
        let mut connection = self.begin(true).await?;
        allow(&mut connection, hold).await?;
        if !connection.is_sqlite() {
            let take = "SELECT pg_try_advisory_xact_lock($1)";
            let taken: Vec<(bool,)> = connection.rows(take, &[Number(ADVISORY_LOCK)]).await?;
            if taken != [(true,)] {
                return Ok(Lock::Elsewhere);
            }
        }
        let layout = Layout::read(&mut connection).await?;
        let Some(there) = catalogue::entry(&mut connection, name).await? else { return Ok(Lock::Gone) };
        if there.regular && !connection.is_sqlite() {
            let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", layout.table(name));
            connection.batch(lock).await?;
        }
        // what was seen before the lock may be no more
        let survey = Survey::begin(self, connection, name).await?;
        self.probe.at(Step::Locked)?;
        Ok(survey.map_or(Lock::Gone, |survey| Lock::Taken(Box::new(Locked(survey)))))
    }
}

/// Statements may take so long, in this transaction.
async fn allow(connection: &mut Connection, patience: Duration) -> Result<(), LogsError> {
    connection.patience = connection.patience.max(patience);
    if !connection.is_sqlite() {
        let set = "SELECT set_config('statement_timeout', $1, TRUE)";
        connection.execute(set, &[Text(&format!("{}ms", patience.as_millis().max(1)))]).await?;
    }
    Ok(())
}

impl<'a> Survey<'a> {
    async fn begin(logs: &'a LogDatabase, mut connection: Connection, name: &str) -> Result<Option<Self>, LogsError> {
        let layout = Layout::read(&mut connection).await?;
        let Some(entry) = catalogue::entry(&mut connection, name).await? else { return Ok(None) };
        let catalogue::Entry { partition, regular } = entry;
        let (found, progress) = (Found::default(), Progress::Begun);
        Ok(Some(Self { logs, connection, layout, partition, regular, found, progress }))
    }

    /// As the catalogue has it in this transaction.
    #[must_use]
    pub const fn partition(&self) -> &Partition {
        &self.partition
    }

    /// A table that holds its lines itself, with the name and the bounds of a month; no other is read or dropped.
    #[must_use]
    pub const fn is_regular(&self) -> bool {
        self.regular
    }

    /// By the log database's clock, now.
    pub async fn now(&mut self) -> Result<Millis, LogsError> {
        self.logs.now(&mut self.connection).await
    }

    /// Some jobs that have lines in it, each once in all; `None`: there are no more, and [`found`](Self::found) is whole.
    pub async fn page(&mut self) -> Result<Option<Vec<Lined>>, LogsError> {
        if !self.regular {
            return Err(LogsError::definite(format!(
                "{} is no plain table with the name and the bounds of a month",
                self.partition.name
            )));
        }
        let rows = match self.progress {
            Progress::Whole => return Ok(None),
            _ if self.connection.is_sqlite() => self.page_by_key().await?,
            _ => self.page_by_cursor().await?,
        };
        self.probe().at(Step::Page)?;
        if rows.is_empty() {
            if !self.connection.is_sqlite() {
                // while it is open the partition counts as being used
                self.connection.batch("CLOSE gocdnext_flow_jobs".to_owned()).await?;
            }
            self.found.astray = self.astray().await?;
            self.progress = Progress::Whole;
            return Ok(None);
        }
        let jobs = rows.into_iter().filter_map(|row| self.add(row)).collect();
        Ok(Some(jobs))
    }

    /// What was read so far.
    #[must_use]
    pub const fn found(&self) -> Found {
        self.found
    }

    const fn probe(&self) -> &Probe {
        &self.logs.probe
    }

    /// Counts a job's lines.
    fn add(&mut self, (job, lines, before, after, newest): PageRow) -> Option<Lined> {
        let count = |number: i64| number.unsigned_abs();
        self.found.rows += count(lines);
        self.found.before += count(before);
        self.found.after += count(after);
        let id = job.as_deref().and_then(|job| Uuid::try_parse(job).ok()).map(|job| job.as_u128());
        match id {
            Some(_) => self.found.jobs += 1,
            None => self.found.nameless += count(lines),
        }
        self.progress = Progress::After(job.unwrap_or_default());
        id.map(|job| Lined { job, newest })
    }

    fn columns(&self) -> String {
        let Partition { lower, upper, .. } = self.partition;
        let (job, lower, upper) = (self.layout.job_as_text(), self.layout.time(lower), self.layout.time(upper));
        format!(
            "SELECT {job}, COUNT(*), COUNT(CASE WHEN at IS NULL OR at < {lower} THEN 1 END), \
             COUNT(CASE WHEN at >= {upper} THEN 1 END), {} FROM {}",
            self.layout.newest(),
            self.layout.table(&self.partition.name)
        )
    }

    /// The first page reads all of the partition; the server keeps what it found.
    async fn page_by_cursor(&mut self) -> Result<Vec<PageRow>, LogsError> {
        if matches!(self.progress, Progress::Begun) {
            let job = self.layout.job;
            let declare =
                format!("DECLARE gocdnext_flow_jobs NO SCROLL CURSOR FOR {} GROUP BY {job}", self.columns());
            self.connection.batch(declare).await?;
        }
        let fetch = AssertSqlSafe(format!("FETCH {PAGE} FROM gocdnext_flow_jobs"));
        Ok(self.connection.rows(fetch, &[]).await?)
    }

    async fn page_by_key(&mut self) -> Result<Vec<PageRow>, LogsError> {
        let job = self.layout.job;
        let (from, last) = match &self.progress {
            Progress::After(last) => (format!("{job} > $1"), last.as_str()),
            Progress::Begun | Progress::Whole => ("$1 = ''".to_owned(), ""),
        };
        let sql = format!("{} WHERE {from} GROUP BY {job} ORDER BY {job} LIMIT {PAGE}", self.columns());
        Ok(self.connection.rows(AssertSqlSafe(sql), &[Text(last)]).await?)
    }

    /// Lines of its month in the default partition.
    async fn astray(&mut self) -> Result<u64, LogsError> {
        let Some(table) = catalogue::default_table(&mut self.connection).await? else { return Ok(0) };
        let Partition { lower, upper, .. } = self.partition;
        let (lower, upper) = (self.layout.time(lower), self.layout.time(upper));
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE at >= {lower} AND at < {upper}");
        let (lines,) = self.connection.row::<(i64,)>("the default partition", AssertSqlSafe(sql)).await?;
        Ok(lines.unsigned_abs())
    }
}

impl<'a> Locked<'a> {
    pub const fn survey(&mut self) -> &mut Survey<'a> {
        &mut self.0
    }

    /// Drops it and writes it into the drop ledger, in one message with the commit. It must be read to its end.
    ///
    /// # Errors
    /// [`LogsError::Transient`]: nobody knows whether it was dropped; the drop ledger tells.
    pub async fn drop_partition(self, decision: Id) -> Result<Drop, LogsError> {
        let Survey { logs, mut connection, layout, partition, regular, found, progress } = self.0;
        let foreign = found.before + found.after + found.nameless + found.astray;
        if !regular || !matches!(progress, Progress::Whole) || foreign > 0 {
            return Err(LogsError::definite(format!("{} was not found to be whole", partition.name)));
        }
        logs.probe.at(Step::BeforeDrop)?;
        let Partition { name, lower, upper, .. } = partition;
        let dropped_at = logs.now(&mut connection).await?;
        let (rows, table) = (found.rows, layout.table(&name));
        let record = format!(
            "INSERT INTO gocdnext_flow_drops \
             (name, lower_ms, upper_ms, row_count, dropped_at_ms, decision, acknowledged) \
             VALUES ('{name}', {lower}, {upper}, {rows}, {dropped_at}, '{}', FALSE)",
            Hyphenated(decision)
        );
        let gone = if connection.is_sqlite() {
            format!("DELETE FROM gocdnext_flow_log_partitions WHERE name = '{name}'; DROP TABLE {table}")
        } else {
            format!("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE; DROP TABLE {table}", layout.table("log_lines"))
        };
        connection.batch(format!("{record}; {gone}; COMMIT")).await?;
        logs.probe.at(Step::Dropped)?;
        Ok(Drop { name, lower, upper, rows, dropped_at, decision })
    }
}

impl std::fmt::Debug for Survey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Survey")
            .field("partition", &self.partition)
            .field("found", &self.found)
            .finish_non_exhaustive()
    }
}
