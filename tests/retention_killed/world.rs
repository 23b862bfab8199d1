//! The world around the process: a PostgreSQL with the logs of a year, Kafka, someone who writes all the time, and the truth
//! about every line and job, as the test itself brought them about.

use crate::{
    kafka::{broker, producer, send},
    postgres::{LOG_LINES, Server},
};
use dataflows::{
    event::Id,
    retention::{Partition, month::Month, policy::DAY_MS},
    time::Millis,
};
use gocdnext_flow::logs::LogDatabase;
use rdkafka::{
    message::OwnedHeaders,
    producer::{BaseProducer, Producer},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::runtime::Runtime;
use uuid::Uuid;

pub const RETENTION_DAYS: u32 = 45;
/// Months behind the current one.
pub const MONTHS: i64 = 13;
const JOBS: u128 = 6;
/// Months of which one job is never archived, or never announced.
pub const UNARCHIVED: i64 = 10;
pub const STRANGER: i64 = 7;
/// Months into which lines of jobs that nobody announces are written at some time.
pub const INTRUDED: [i64; 2] = [9, 5];
/// Months of which one archive fails at first, and comes two months later.
const FAILING: [i64; 3] = [12, 8, 4];

/// A line that the server has acknowledged: job, number, time.
pub type Line = (Id, i64, Millis);

pub struct World {
    pub runtime: Runtime,
    pub url: String,
    pub state: String,
    pub address: String,
    pub topic: &'static str,
    pub broker: Arc<broker::Broker>,
    producer: BaseProducer,
    pub now: Millis,
    pub truth: Arc<Mutex<Truth>>,
    sent: u64,
}

#[derive(Default)]
pub struct Truth {
    pub lines: BTreeSet<Line>,
    /// Jobs whose archive is whole, and since when that was told, by the wall clock.
    pub archived: BTreeMap<Id, Millis>,
    /// Jobs of months whose events were sent, with the month and the time of their end.
    told: Vec<(i64, Id, Millis)>,
}

pub fn wall_ms() -> Millis {
    Millis::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

impl World {
    /// Partitions and lines of a year, and an empty topic.
    pub fn new(server: &'static Server, topic: &'static str) -> Option<Self> {
        let broker = broker::shared()?;
        broker.topic(topic, 2, &[]);
        for what in ["decisions", "dead-letters"] {
            broker.topic(&format!("{topic}.{what}"), 1, &[]);
        }
        let (logs, state) = (server.database(), server.database());
        server.sql(&logs, LOG_LINES);
        let (url, state) = (server.url(&logs), server.url(&state));
        let address = broker.address();
        let (producer, runtime) = (producer(&address, &[]), Runtime::new().unwrap());
        let now = wall_ms();
        let mut world =
            Self { runtime, url, state, address, topic, broker, producer, now, truth: Arc::default(), sent: 0 };
        let url = world.url.parse().unwrap();
        world.runtime.block_on(async {
            let logs = LogDatabase::open(&url).await.unwrap();
            for before in (0..=MONTHS).rev() {
                logs.ensure(Month::of(now).plus(-before)).await.unwrap();
            }
        });
        let mut connection = world.runtime.block_on(PgConnection::connect(&world.url)).unwrap();
        for before in 1..=MONTHS {
            for number in 0..JOBS {
                let (job, end) = (job(before, number), world.end(before, number));
                let lines: Vec<Line> = (0..20).map(|seq| (job, seq, end - 60_000 + seq * 1_000)).collect();
                world.runtime.block_on(insert(&mut connection, &lines)).unwrap();
                world.truth.lock().unwrap().lines.extend(lines);
            }
        }
        // nothing is known from before
        world.moves_to(world.partition(MONTHS).lower - DAY_MS);
        Some(world)
    }

    pub fn partition(&self, before: i64) -> Partition {
        Month::of(self.now).plus(-before).partition()
    }

    /// When a job of a month ends: far from either end of the month.
    fn end(&self, before: i64, number: u128) -> Millis {
        self.partition(before).lower + 10 * DAY_MS + Millis::try_from(number).unwrap() * 3_600_000
    }

    /// The events of a month: its jobs, and what their archives come to; also what failed two months before.
    pub fn month_passes(&mut self, before: i64) {
        let mut told = vec![];
        for number in 0..JOBS {
            let (job, end) = (job(before, number), self.end(before, number));
            if before == STRANGER && number == 0 {
                continue;
            }
            self.event("job.scheduled", job, end - 60_000, json!({}));
            self.event("job.finished", job, end, json!({"status": "success"}));
            let failing = FAILING.contains(&before) && number == 0;
            if failing {
                self.event("log.archived", job, end + 60_000, json!({"result": "failed"}));
            } else if before != UNARCHIVED || number != 0 {
                self.archived(job, end + 60_000);
                told.push((before, job, end));
            }
        }
        if FAILING.contains(&(before + 2)) {
            let (lower, job) = (self.partition(before).lower, job(before + 2, 0));
            self.archived(job, lower + DAY_MS);
        }
        self.moves_to(self.partition(before).upper - 1);
        self.truth.lock().unwrap().told.extend(told);
    }

    fn archived(&mut self, job: Id, time: Millis) {
        self.truth.lock().unwrap().archived.insert(job, wall_ms());
        self.event("log.archived", job, time, json!({"result": "success"}));
    }

    pub fn moves_to(&mut self, time: Millis) {
        for _ in 0..2 {
            self.event("run.queued", 0, time, json!({}));
        }
        self.producer.flush(Duration::from_secs(60)).unwrap();
    }

    /// To the one partition and the other in turn.
    fn event(&mut self, kind: &str, job: Id, time: Millis, more: Value) {
        self.sent += 1;
        let id = Uuid::from_u128(job).to_string();
        let mut data = json!({
            "project_id": "5b0c1f0e-7f64-4c57-9f0a-5d0a3c6a1b01", "pipeline_id": "8a3f2d54-0b7e-4a0e-8a51-0d6c9e3f7c02",
            "pipeline": "web", "run_id": id, "job_id": id, "job": "test", "attempt": 1,
        });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let time = jiff::Timestamp::from_millisecond(time).unwrap().to_string();
        let event = json!({
            "specversion": "1.0", "id": self.sent.to_string(), "source": "/test", "time": time,
            "type": format!("io.gocdnext.{kind}"), "data": data,
        });
        let partition = i32::from(self.sent.is_multiple_of(2));
        send(&self.producer, self.topic, partition, b"", event.to_string().as_bytes(), OwnedHeaders::new());
    }

    /// All lines there are.
    pub fn there(&self) -> BTreeSet<Line> {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let sql = "SELECT CAST(job_run_id AS TEXT), seq, CAST(round(extract(epoch FROM at) * 1000) AS BIGINT) FROM log_lines";
            let rows = connection.fetch_all(sql).await.unwrap();
            rows.iter().map(|row| (row.get::<String, _>(0).parse::<Uuid>().unwrap().as_u128(), row.get(1), row.get(2))).collect()
        })
    }

    /// The drop ledger: lines and time of each partition.
    pub fn dropped(&self) -> BTreeMap<String, (u64, Millis)> {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let sql = "SELECT name, row_count, dropped_at_ms FROM gocdnext_flow_drops";
            let rows = connection.fetch_all(sql).await.unwrap();
            let row = |row: &sqlx::postgres::PgRow| {
                (row.get(0), (row.get::<i64, _>(1).unsigned_abs(), row.get::<i64, _>(2)))
            };
            rows.iter().map(row).collect()
        })
    }
}

pub fn job(before: i64, number: u128) -> Id {
    Id::from(before.unsigned_abs()) << 64 | (number + 1)
}

async fn insert(connection: &mut PgConnection, lines: &[Line]) -> Result<(), sqlx::Error> {
    let values: Vec<String> = lines
        .iter()
        .map(|(job, seq, at)| {
            format!("('{}', {seq}, 'stdout', to_timestamp({at} / 1000.0), 'x')", Uuid::from_u128(*job))
        })
        .collect();
    let jobs: BTreeSet<String> = lines.iter().map(|(job, ..)| format!("('{}')", Uuid::from_u128(*job))).collect();
    let jobs: Vec<String> = jobs.into_iter().collect();
    let sql = format!(
        "INSERT INTO job_runs VALUES {} ON CONFLICT DO NOTHING; INSERT INTO log_lines VALUES {}",
        jobs.join(", "),
        values.join(", ")
    );
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
}

/// Writes lines of now, lines of no month, more lines of jobs that are archived, and at some time lines of jobs that nobody
/// announces into months that are about to go.
pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Writer {
    pub fn start(world: &World) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ending, truth, url, now) = (Arc::clone(&stop), Arc::clone(&world.truth), world.url.clone(), world.now);
        let none = world.partition(40).lower;
        let intruded: Vec<(i64, Millis)> = INTRUDED.map(|before| (before, world.partition(before).lower)).into();
        let thread = std::thread::spawn(move || {
            let runtime = Runtime::new().unwrap();
            let mut connection = runtime.block_on(PgConnection::connect(&url)).unwrap();
            let mut written = 0;
            for seq in 1_000.. {
                if ending.load(Relaxed) {
                    break;
                }
                let told = truth.lock().unwrap().told.clone();
                let mut lines = vec![vec![(job(500, 0), seq, now + seq), (job(500, 1), seq, none + seq)]];
                let some = usize::try_from(seq).unwrap().checked_rem(told.len());
                lines.extend(some.map(|index| vec![(told[index].1, seq, told[index].2 - 1)]));
                for (before, lower) in &intruded {
                    // a while after the month was told of
                    let since = told.iter().filter(|(month, ..)| month < before).count();
                    if since > 0 && seq % 40 == 0 {
                        lines.push(vec![(job(600 + before, 0), seq, lower + 9 * DAY_MS)]);
                    }
                }
                for lines in lines {
                    // one that waited for a partition that then went is refused, and was never written
                    if runtime.block_on(insert(&mut connection, &lines)).is_ok() {
                        truth.lock().unwrap().lines.extend(lines);
                        written += 1;
                    }
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            written
        });
        Self { stop, thread }
    }

    /// So many statements were acknowledged.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}
