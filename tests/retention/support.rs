//! What the cases share: a place for the logs in either database, a state in memory, and a copy of all lines.

use crate::postgres::{self, LOG_LINES, Server};
use dataflows::{
    event::Id,
    retention::{
        Archive, LedgerRow, Partition, Policies, Policy, RetentionInput, decision::Hyphenated, month::Month,
        partitions::Moment, policy::DAY_MS, row::job_passes,
    },
    time::{Millis, StreamTime},
};
use gocdnext_flow::{
    database::DatabaseError,
    logs::{Ask, LogDatabase, LogsUrl, Step},
    retention::{Adoption, Known, Ledger, Order, Outcome, Report, Standing, run},
    store::StoreError,
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqliteConnection};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;

/// Makes a test of each case, one a database.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::support::Place::sqlite().await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(place) = crate::support::Place::postgres().await {
                    super::$case(place).await;
                }
            })*
        }
    };
}
pub(crate) use on_both;

pub const RETENTION_DAYS: u32 = 45;

/// In the year 2286.
pub const ARCHIVED_AT: Millis = 9_999_999_999_999;

/// A log database without lines.
pub struct Place {
    pub url: LogsUrl,
    pub past: Past,
    at: At,
    pub logs: LogDatabase,
    pub now: Millis,
}

/// A way past the log database's own interface.
#[derive(Clone)]
pub struct Past {
    raw: String,
    sqlite: bool,
}

impl Past {
    pub async fn sql(&self, sql: String) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        if self.sqlite {
            SqliteConnection::connect(&self.raw).await.unwrap().execute(sql).await.unwrap();
        } else {
            PgConnection::connect(&self.raw).await.unwrap().execute(sql).await.unwrap();
        }
    }
}

enum At {
    Sqlite(#[expect(dead_code, reason = "it is removed with this")] TempDir),
    Postgres(&'static Server, String),
}

impl Place {
    pub async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs.db");
        let raw = format!("sqlite://{}?mode=rwc", path.display());
        Self::of(LogsUrl::sqlite(path), raw, At::Sqlite(dir)).await
    }

    /// `None`: SKIPPED.
    pub async fn postgres() -> Option<Self> {
        let server = postgres::shared()?;
        let database = server.database();
        server.sql(&database, LOG_LINES);
        let raw = server.url(&database);
        Some(Self::of(raw.parse().unwrap(), raw, At::Postgres(server, database)).await)
    }

    async fn of(url: LogsUrl, raw: String, at: At) -> Self {
        let logs = LogDatabase::open(&url).await.unwrap();
        let now = logs.catalogue().await.unwrap().now;
        let past = Past { raw, sqlite: matches!(at, At::Sqlite(_)) };
        Self { url, past, at, logs, now }
    }

    pub const fn is_sqlite(&self) -> bool {
        matches!(self.at, At::Sqlite(_))
    }

    /// The server and the database's name.
    pub fn server(&self) -> (&'static Server, &str) {
        match &self.at {
            At::Postgres(server, database) => (server, database),
            At::Sqlite(_) => panic!("a file is no server"),
        }
    }

    /// Statements past the log database's own interface.
    pub async fn sql(&self, sql: String) {
        self.past.sql(sql).await;
    }

    /// The month so many before the current one.
    pub fn month(&self, before: i64) -> Month {
        Month::of(self.now).plus(-before)
    }

    pub fn partition(&self, before: i64) -> Partition {
        self.month(before).partition()
    }

    pub fn name(&self, before: i64) -> String {
        self.partition(before).name
    }

    /// A time as statements write it.
    pub fn time(&self, at: Millis) -> String {
        if self.is_sqlite() { at.to_string() } else { format!("to_timestamp({at} / 1000.0)") }
    }

    /// Partitions from so many months before the current one up to it.
    pub async fn months(&self, before: i64) {
        for months in (0..=before).rev() {
            self.logs.ensure(self.month(months)).await.unwrap();
        }
    }

    /// So many lines of each of these jobs, an hour apart from a time on, into a table.
    pub async fn fill(&self, table: &str, from: Millis, jobs: &[Id], lines: i64) {
        let jobs: Vec<String> = jobs.iter().map(|job| format!("('{}')", Hyphenated(*job))).collect();
        let jobs = jobs.join(", ");
        let (known, at) = if self.is_sqlite() {
            (String::new(), format!("{from} + seq * 3600000"))
        } else {
            let known = format!(
                "INSERT INTO job_runs SELECT CAST(id AS UUID) FROM (VALUES {jobs}) j (id) ON CONFLICT DO NOTHING; "
            );
            (known, format!("to_timestamp(({from} + seq * 3600000) / 1000.0)"))
        };
        let job = if self.is_sqlite() { "id" } else { "CAST(id AS UUID)" };
        let sql = format!(
            "{known}WITH RECURSIVE lines (seq) AS (SELECT 0 UNION ALL SELECT seq + 1 FROM lines WHERE seq + 1 < {lines}), \
             jobs (id) AS (VALUES {jobs}) \
             INSERT INTO {table} (job_run_id, seq, stream, at, text) SELECT {job}, seq, 'stdout', {at}, 'x' FROM jobs, lines"
        );
        self.sql(sql).await;
    }

    /// Lines in the partition of the month so many before the current one.
    pub async fn lines(&self, before: i64, jobs: &[Id], lines: i64) {
        let Partition { name, lower, .. } = self.partition(before);
        self.fill(&name, lower, jobs, lines).await;
    }

    /// Every line there is, as (job, seq, at).
    pub async fn copy(&self) -> BTreeSet<(String, i64, Millis)> {
        if !self.is_sqlite() {
            let sql = "SELECT CAST(job_run_id AS TEXT), seq, \
                       CAST(floor(extract(epoch FROM at) * 1000) AS BIGINT) FROM log_lines";
            let mut connection = PgConnection::connect(&self.past.raw).await.unwrap();
            let rows = connection.fetch_all(sql).await.unwrap();
            return rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        }
        let mut connection = SqliteConnection::connect(&self.past.raw).await.unwrap();
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'log_lines_%'";
        let mut all = BTreeSet::new();
        for table in connection.fetch_all(tables).await.unwrap() {
            let sql = format!("SELECT job_run_id, seq, at FROM {}", table.get::<String, _>(0));
            let rows = connection.fetch_all(AssertSqlSafe(sql)).await.unwrap();
            all.extend(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))));
        }
        all
    }

    /// The log database that asks at each step.
    pub fn probed(&self, ask: impl Fn(Step) -> Result<(), DatabaseError> + Send + Sync + 'static) -> LogDatabase {
        let ask: Ask = Arc::new(ask);
        self.logs.clone().with_probe(ask)
    }

    /// Names in the drop ledger, and the lines that went with them.
    pub async fn dropped(&self) -> BTreeMap<String, u64> {
        self.logs.unacknowledged(1_000).await.unwrap().into_iter().map(|drop| (drop.name, drop.rows)).collect()
    }

    pub async fn catalogue(&self) -> BTreeSet<String> {
        self.logs.catalogue().await.unwrap().partitions.into_iter().map(|partition| partition.name).collect()
    }
}

/// A state in memory. A clone is the same.
#[derive(Clone)]
pub struct State(Arc<Mutex<Inner>>);

pub struct Inner {
    pub standing: Standing,
    pub rows: Vec<LedgerRow>,
    pub adopted: BTreeSet<Id>,
    pub reasons: Vec<String>,
}

impl State {
    /// Caught up and whole from long ago, at the log database's time; everything is archived and kept for
    /// [`RETENTION_DAYS`].
    pub fn new(place: &Place) -> Self {
        let default = Some(Policy { log_retention_days: RETENTION_DAYS, archive: true });
        let policies = Arc::new(Policies { default, projects: BTreeMap::new() });
        let input = RetentionInput { policies, catalogue: None, complete_from: Some(place.partition(60).lower) };
        let moment = Moment { now: StreamTime(place.now), caught_up: true };
        let standing = Standing { input, moment, adopted: BTreeSet::new() };
        Self(Arc::new(Mutex::new(Inner { standing, rows: vec![], adopted: BTreeSet::new(), reasons: vec![] })))
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    pub fn policies(&self, change: impl FnOnce(&mut Policies)) {
        self.change(|inner| change(Arc::make_mut(&mut inner.standing.input.policies)));
    }

    /// Each of these jobs was dispatched, has ended and is archived.
    pub fn archived(&self, jobs: &[Id]) {
        self.rows(jobs, |row| row);
    }

    /// Rows like those of jobs that pass, but for this change.
    pub fn rows(&self, jobs: &[Id], change: impl Fn(LedgerRow) -> LedgerRow) {
        let row = |job: &Id| {
            // later than any line
            let (archive, archived_at) = (Archive::Success, Some(ARCHIVED_AT));
            let row =
                LedgerRow { job: *job, run: 1, attempt: 1, project: 7, archive, archived_at, ..LedgerRow::default() };
            change(LedgerRow { dispatched: true, ended_at: Some(1_000), ..row })
        };
        self.change(|inner| inner.rows.extend(jobs.iter().map(row)));
    }

    /// Whether a job passes, asked past the executor.
    fn passes(&self, job: &str) -> bool {
        self.change(|inner| {
            let rows: Vec<LedgerRow> =
                inner.rows.iter().filter(|row| Hyphenated(row.job).to_string() == job).copied().collect();
            let archives = |row: &LedgerRow| inner.standing.input.policies.archives(row.project);
            let adopted = inner.adopted.iter().any(|id| Hyphenated(*id).to_string() == job);
            if rows.is_empty() { adopted } else { job_passes(&rows, rows.iter().any(archives)).is_ok() }
        })
    }
}

impl Ledger for State {
    async fn standing(&self) -> Result<Standing, StoreError> {
        Ok(self.change(|inner| inner.standing.clone()))
    }

    async fn known(&self, jobs: &[Id]) -> Result<Known, StoreError> {
        assert!(jobs.len() <= 1_000);
        let asked: BTreeSet<Id> = jobs.iter().copied().collect();
        Ok(self.change(|inner| Known {
            rows: inner.rows.iter().filter(|row| asked.contains(&row.job)).copied().collect(),
            adopted: inner.adopted.intersection(&asked).copied().collect(),
        }))
    }

    async fn adopt(&self, adoption: &Adoption) -> Result<(), StoreError> {
        self.change(|inner| {
            inner.adopted.extend(&adoption.jobs);
            inner.standing.adopted.insert(adoption.partition.clone());
            inner.reasons.push(adoption.reason.clone());
        });
        Ok(())
    }
}

/// Jobs of one kind: no two kinds share one.
pub fn jobs(kind: u32, count: u32) -> Vec<Id> {
    (1..=count).map(|job| Id::from(kind) << 64 | Id::from(job)).collect()
}

/// Waits that are made to end in a test end soon.
pub fn order() -> Order {
    Order { pause: Duration::from_millis(20), ..Order::default() }
}

/// A run with room for every drop.
pub async fn run_all(place: &Place, state: &State) -> Report {
    run(&place.logs, state, &Order { max_drops: 100, ..order() }).await.unwrap()
}

/// What became of the partition of the month so many before the current one.
#[track_caller]
pub fn outcome(report: &Report, place: &Place, before: i64) -> Outcome {
    let name = place.name(before);
    let found = report.partitions.iter().find(|(partition, _)| partition.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {report:?}")).1.clone()
}

/// The outcome's name, with its reason.
pub fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Blocked(obstacle) => obstacle.reason.name().to_owned(),
        other => {
            let shown = format!("{other:?}");
            shown.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
        }
    }
}

/// Compares with a copy from before: whatever line is gone was older than its retention, its job passed, and its
/// partition is in the drop ledger with exactly as many lines; what is not in the ledger is there to the last line.
pub async fn check_every_line(place: &Place, state: &State, before: &BTreeSet<(String, i64, Millis)>) {
    let after = place.copy().await;
    let dropped = place.dropped().await;
    let mut gone: BTreeMap<String, u64> = dropped.keys().map(|name| (name.clone(), 0)).collect();
    let oldest_kept = place.logs.catalogue().await.unwrap().now - Millis::from(RETENTION_DAYS) * DAY_MS;
    for (job, seq, at) in before.difference(&after) {
        let partition = Month::of(*at).partition();
        assert!(partition.upper < oldest_kept, "line {seq} of {job} is younger than its retention: {at}");
        assert!(state.passes(job), "line {seq} of {job} is not archived");
        let lines = gone.get_mut(&partition.name);
        *lines.unwrap_or_else(|| panic!("a line of {} is gone, and it was not dropped", partition.name)) += 1;
    }
    assert_eq!(gone, dropped, "the drop ledger has what is gone");
    let there = place.catalogue().await;
    assert!(dropped.keys().all(|name| !there.contains(name)), "{there:?} {dropped:?}");
}
