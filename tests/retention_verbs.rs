//! Retention from end to end on the embedded setup: events in, a plan that explains itself, a partition dropped, the drop
//! counted once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]
#![allow(dead_code, reason = "the support is larger than what is used of it here")]

#[path = "support/command.rs"]
mod command;
mod kafka;

use command::{Killed, program};
use dataflows::retention::month::Month;
use gocdnext_flow::{
    logs::{LogDatabase, embedded::Line},
    store::StateUrl,
};
use kafka::{broker, eventually, free_port, producer, send};
use rdkafka::{message::OwnedHeaders, producer::Producer};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
    process::{Output, Stdio},
    time::Duration,
};
use tokio::runtime::Runtime;

const FEBRUARY: &str = "log_lines_y2025m02";
const MARCH: &str = "log_lines_y2025m03";
const ARCHIVED: u128 = 1;
const FAILED: u128 = 2;
const UNKNOWN: u128 = 3;

struct Life {
    _process: Killed,
    port: u16,
}

impl Life {
    /// What it answers to a GET, status line and all.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// What `/api/v1/retention` says once series are shown.
    fn retention(&self) -> Option<Value> {
        let answer = self.get("/api/v1/retention")?;
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        body["epoch"].is_u64().then_some(body)
    }

    /// The value of a series without labels, or with these.
    fn series(&self, name: &str) -> Option<u64> {
        let answer = self.get("/metrics")?;
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.parse().ok()
    }
}

struct Bench {
    topic: &'static str,
    _broker: std::sync::Arc<broker::Broker>,
    address: String,
    directory: tempfile::TempDir,
    producer: rdkafka::producer::BaseProducer,
    sent: std::cell::Cell<u32>,
}

impl Bench {
    fn url(&self, what: &str) -> String {
        format!("sqlite:{}", self.directory.path().join(what).display())
    }

    fn new(topic: &'static str) -> Option<Self> {
        let broker = broker::shared()?;
        for topic in [topic, &format!("{topic}.decisions"), &format!("{topic}.dead-letters")] {
            broker.topic(topic, 1, &[]);
        }
        let address = broker.address();
        let producer = producer(&address, &[]);
        let directory = tempfile::tempdir().unwrap();
        Some(Self { topic, _broker: broker, address, directory, producer, sent: <_>::default() })
    }

    fn run(&self, more: &[&str]) -> Life {
        let port = free_port();
        let child = program(&[])
            .args(["run", "--brokers", &self.address, "--topic", self.topic, "--state", &self.url("state.db")])
            .args(["--log-database", &self.url("logs.db"), "--decision-topic", &format!("{}.decisions", self.topic)])
            .args(["--dead-letter-topic", &format!("{}.dead-letters", self.topic)])
            .args(more)
            .args(["--clock", "log", "--epoch-interval", "50ms", "--listen", &format!("127.0.0.1:{port}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Life { _process: Killed(child.unwrap()), port }
    }

    fn retention(&self, arguments: &[&str]) -> Output {
        let (state, logs) = (self.url("state.db"), self.url("logs.db"));
        let mut command = program(&[]);
        command.arg("retention").args(arguments).args(["--state", &state]).args(["--log-database", &logs]);
        command.output().unwrap()
    }

    /// What a verb prints.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.retention(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn event(&self, kind: &str, time: &str, data: Value) {
        self.sent.set(self.sent.get() + 1);
        let mut whole = json!({
            "project_id": "5b0c1f0e-7f64-4c57-9f0a-5d0a3c6a1b01", "pipeline_id": "8a3f2d54-0b7e-4a0e-8a51-0d6c9e3f7c02",
            "pipeline": "web", "run_id": "c1d8a6b2-3f49-4e7b-b6a5-2e9f1d4c8a03",
        });
        whole.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
        let event = json!({
            "specversion": "1.0", "id": self.sent.get().to_string(), "source": "/test", "time": time,
            "type": format!("io.gocdnext.{kind}"), "data": whole,
        });
        send(&self.producer, self.topic, 0, b"", event.to_string().as_bytes(), OwnedHeaders::new());
    }

    /// A job that runs for a minute from `time` on, and what its archive comes to.
    fn job(&self, job: u128, day: &str, archive: &str) {
        let id = json!({"job_id": uuid::Uuid::from_u128(job).to_string(), "job": "test", "attempt": 1});
        let with = |more: Value| {
            let mut data = id.clone();
            data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            data
        };
        self.event("job.scheduled", &format!("{day}T10:00:00Z"), id.clone());
        self.event("job.finished", &format!("{day}T10:01:00Z"), with(json!({"status": "success"})));
        self.event("log.archived", &format!("{day}T10:02:00Z"), with(json!({"result": archive})));
    }

    fn moves_to(&self, time: &str) {
        self.event("run.queued", time, json!({"run_id": "00000000-0000-0000-0000-00000000ffff"}));
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }
}

fn lines(job: u128, day: &str) -> Vec<Line> {
    let at = format!("{day}T10:00:30Z").parse::<jiff::Timestamp>().unwrap().as_millisecond();
    (0..20).map(|seq| Line { job, seq, at: at + seq, text: "it works".into() }).collect()
}

#[test]
fn a_partition_is_planned_explained_dropped_and_counted_once() {
    let Some(bench) = Bench::new("retained") else { return };
    // before our time nothing is known: February begins later
    bench.moves_to("2025-01-20T00:00:00Z");
    let life = bench.run(&[]);
    eventually("the series", || life.series("gocdnext_retention_archives_waiting"));
    let told = bench.told(&["policy", "set", "--days", "30", "--archive", "on"]);
    assert!(told.contains("30 days, archived first"), "{told}");
    eventually("the policy is in force", || {
        (life.retention()?["policies"]["default"]["log_retention_days"] == 30).then_some(())
    });
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let url: StateUrl = bench.url("logs.db").parse().unwrap();
        let logs = LogDatabase::open(&url).await.unwrap();
        for partition in [FEBRUARY, MARCH] {
            logs.ensure(Month::from_name(partition).unwrap()).await.unwrap();
        }
        logs.append(&lines(ARCHIVED, "2025-02-10")).await.unwrap();
        logs.append(&lines(FAILED, "2025-03-10")).await.unwrap();
    });
    assert!(bench.told(&["plan"]).contains("falls due after"), "by stream time nothing is old yet");

    assert!(bench.told(&["policy", "set", "--days", "36500", "--archive", "on"]).contains("36500 days"));
    bench.job(ARCHIVED, "2025-02-10", "success");
    bench.job(FAILED, "2025-03-10", "failed");
    bench.moves_to("2025-06-20T00:00:00Z");
    let warned = eventually("the warning", || {
        let asked = bench.retention(&["policy", "set", "--days", "30", "--archive", "on"]);
        let said = String::from_utf8(asked.stderr).unwrap();
        // until its events are read the job is not known
        said.contains("20 lines would be dropped").then_some((asked.status.code(), said))
    });
    assert_eq!(warned.0, Some(2), "{warned:?}");
    for word in
        ["--yes", "30 days", "(now: 36500 days)", "2 of 2 closed partitions", FEBRUARY, MARCH, "archive_failed"]
    {
        assert!(warned.1.contains(word), "{word}: {warned:?}");
    }
    assert!(bench.told(&["policy", "list"]).contains("36500 days"), "nothing was changed");
    assert!(bench.told(&["policy", "set", "--days", "30", "--archive", "on", "--yes"]).contains("30 days"));
    let plan = bench.told(&["plan"]);
    let row = |name: &str| plan.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(row(FEBRUARY).contains("20 lines of 1 jobs"), "{plan}");
    assert!(row(MARCH).contains("blocked"), "{plan}");
    assert!(bench.told(&["explain", MARCH]).contains(&uuid::Uuid::from_u128(FAILED).to_string()));
    let mut explained = String::new();
    for job in [ARCHIVED, FAILED, UNKNOWN] {
        write!(explained, "{}", bench.told(&["explain", &uuid::Uuid::from_u128(job).to_string()])).unwrap();
    }
    for word in ["does not stand in the way", "keeps its partition: archive_failed", "nothing is known of it"] {
        assert!(explained.contains(word), "{explained}");
    }

    told_over_http(&life);
    let json: Value = serde_json::from_str(&bench.told(&["run", "--dry-run", "--format", "json"])).unwrap();
    assert_eq!(json["partitions"][0]["outcome"], "to_drop");
    assert!(bench.told(&["run"]).contains("dropped"));
    assert!(!bench.told(&["plan"]).contains(FEBRUARY), "it is gone");
    let dropped = "gocdnext_retention_dropped_log_partitions_total";
    eventually("the drop is counted", || (life.series(dropped)? == 1).then_some(()));
    eventually("it is written down that Kafka was told", || {
        let logs = LogDatabase::look(&bench.url("logs.db").parse::<StateUrl>().unwrap());
        runtime.block_on(logs.unacknowledged(9)).unwrap().is_empty().then_some(())
    });
    for (outcome, count) in [("decided", 2), ("executed", 1)] {
        let series = format!("gocdnext_retention_decisions_total{{kind=\"drop_partition\",outcome=\"{outcome}\"}}");
        eventually("the decision is counted", || (life.series(&series)? == count).then_some(()));
    }
    drop(life);
    let life = bench.run(&[]);
    // from the first scrape on that shows anything
    let first = eventually("the series", || life.get("/metrics").filter(|all| all.contains("gocdnext_queue_depth{")));
    for series in [
        "gocdnext_retention_decisions_total{kind=\"drop_partition\",outcome=\"executed\"} 1",
        "gocdnext_retention_blocked_partitions{reason=\"archive_failed\"} 1",
        "gocdnext_retention_oldest_partition_age_seconds ",
        "gocdnext_retention_decisions_total{kind=\"archive_logs\",outcome=\"unanswered\"} 10",
        "gocdnext_retention_archives_waiting 0",
    ] {
        assert!(first.contains(series), "{series}: {first}");
    }
    bench.moves_to("2025-06-21T00:00:00Z");
    eventually("the series", || life.series("gocdnext_retention_archives_waiting"));
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(life.series(dropped), Some(1), "told again it would count once");
}

/// A pipeline that drops nothing sees what is in the way, and tells it with all that it rests on.
fn told_over_http(life: &Life) {
    let blocked = "gocdnext_retention_blocked_partitions{reason=\"archive_failed\"}";
    eventually("what is in the way", || (life.series(blocked)? == 1).then_some(()));
    let epoch = || life.series("gocdnext_flow_committed_epoch").unwrap();
    let before = epoch();
    let told = life.retention().unwrap();
    assert!((before..=epoch()).contains(&told["epoch"].as_u64().unwrap()), "{before} {told}");
    assert_eq!(told["stream_time"], "2025-06-20T00:00:00Z");
    assert_eq!(told["policies"]["default"], json!({"log_retention_days": 30, "archive": true}));
    assert_eq!(told["policies"]["longest_retention_days"], 30);
    assert_eq!((&told["partitions_total"], &told["pending_drops"]), (&json!(2), &json!([FEBRUARY])));
    let [february, march] = told["partitions"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!((&february["partition"], &february["verdict"]), (&json!(FEBRUARY), &json!("to_drop")));
    assert_eq!((&march["verdict"], &march["blocked_by"]), (&json!("blocked"), &json!("archive_failed")));
    assert_eq!(march["jobs"], json!([uuid::Uuid::from_u128(FAILED).to_string()]));
    assert_eq!((&march["facts"]["rows"], &march["due"]), (&json!(20), &json!("2025-05-01T00:00:00Z")));
    // its failure came before it was asked for: ten tries without an answer
    let nothing = json!({"waiting": 0, "failing": 0, "oldest_waiting_since": null, "given_up_total": 1});
    assert_eq!(told["archives"], nothing);
    let tries = json!({"decided": 10, "executed": 0, "failed": 0, "unanswered": 10, "withdrawn": 0});
    assert_eq!(told["decisions"]["archive_logs"], tries);
    assert_eq!(told["decisions"]["drop_partition"], json!({"decided": 2, "executed": 0}), "age allows both");
}

#[test]
fn a_job_known_only_from_a_late_event_goes_by_the_command_that_explain_names() {
    let Some(bench) = Bench::new("belated") else { return };
    bench.moves_to("2025-01-20T00:00:00Z");
    let life = bench.run(&[]);
    bench.told(&["policy", "set", "--days", "30", "--archive", "on"]);
    Runtime::new().unwrap().block_on(async {
        let logs = LogDatabase::open(&bench.url("logs.db").parse::<StateUrl>().unwrap()).await.unwrap();
        logs.ensure(Month::from_name(MARCH).unwrap()).await.unwrap();
        logs.append(&lines(UNKNOWN, "2025-03-10")).await.unwrap();
    });
    eventually("the series", || life.series("gocdnext_retention_archives_waiting"));
    bench.moves_to("2025-06-20T00:00:00Z");
    eventually("nothing is known of it", || bench.told(&["plan"]).contains("unknown_job").then_some(()));
    let job = uuid::Uuid::from_u128(UNKNOWN).to_string();
    bench.event("job.scheduled", "2025-03-10T10:00:00Z", json!({"job_id": job, "job": "test", "attempt": 1}));
    bench.moves_to("2025-06-20T00:00:01Z");
    eventually("its begin is known", || bench.told(&["plan"]).contains("archive_pending").then_some(()));
    assert_eq!(life.series("gocdnext_flow_late_total"), Some(1));
    let explained = bench.told(&["explain", MARCH]);
    let (_, command) = explained.split_once("gocdnext-flow retention ").unwrap_or_else(|| panic!("{explained}"));
    let command = command.trim_end().strip_suffix("TEXT").unwrap_or_else(|| panic!("{explained}"));
    assert!(bench.told(&["explain", &job]).contains("retention adopt PARTITION --reason TEXT"));
    let mut adopt: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(adopt, ["adopt", MARCH, "--reason"]);
    adopt.extend(["archived by hand", "--yes"]);
    assert!(bench.told(&adopt).contains("1 jobs adopted"));
    assert!(bench.told(&["explain", &job]).contains("somebody has vouched for it"));
    assert!(bench.told(&["run"]).contains("dropped"));
}

#[test]
fn a_pipeline_that_is_told_to_makes_the_partitions_that_are_missing() {
    let Some(bench) = Bench::new("executed") else { return };
    let life = bench.run(&["--retention-execute", "--months-ahead", "2"]);
    // asked earlier it says which are to be made
    eventually("the partitions", || {
        let output = bench.retention(&["plan", "--months-ahead", "2"]);
        let plan = String::from_utf8(output.stdout).unwrap();
        let kept = |line: &str| line.starts_with("log_lines_y") && line.contains("kept");
        (output.status.success() && plan.lines().count() == 3 && plan.lines().all(kept)).then_some(())
    });
    drop(life);
}

#[test]
fn what_is_missing_is_told_with_what_to_do() {
    let none = program(&[]).args(["retention", "plan", "--state", "sqlite:/nonexistent/state.db"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("give --log-database"));
    let set = |days: &str, archive: &str| {
        let set = ["retention", "policy", "set", "--state", "sqlite:/nonexistent/s.db", "--days", days, "--archive"];
        let output = program(&[]).args(set).arg(archive).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (days, archive) in [("0", "on"), ("6", "on"), ("90", "off")] {
        let (code, said) = set(days, archive);
        assert_eq!(code, Some(2), "{said}");
        for word in ["give --yes", "is not known", "give --log-database"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    let (code, said) = set("7", "on");
    assert_eq!(code, Some(1), "it goes on, and finds no directory: {said}");
}
