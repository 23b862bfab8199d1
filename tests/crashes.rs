//! `kill -9` at any moment, a restart with other workers, and at the end the series of the whole log (I1, I2, I4).
//!
//! The real process over a real Kafka, with disorder and duplicates; scraped all the while.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]
#![allow(dead_code, reason = "the support is larger than what is used of it here")]

mod kafka;

use kafka::{broker, eventually, free_port, producer, send};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::{message::OwnedHeaders, producer::Producer};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const KILLS: usize = 12;
const PARTITIONS: i32 = 3;

type Series = BTreeMap<String, f64>;

fn flow() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gocdnext-flow"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// One life of the process.
struct Life {
    child: Child,
    port: u16,
}

impl Life {
    fn start(address: &str, state: &str, workers: usize) -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let workers = workers.to_string();
        let arguments = ["run", "--brokers", address, "--topic", "crashes", "--state", state, "--workers", &workers];
        let child = flow()
            .args(arguments)
            .args(["--clock", "log", "--epoch-interval", "50ms", "--instance-id", "crashes", "--listen", &listen])
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// `None`: it does not answer (yet).
    fn scrape(&self) -> Option<Series> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(series(&String::from_utf8_lossy(&answer)))
    }
}

/// SIGKILL, also where the test has failed.
impl Drop for Life {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn series(text: &str) -> Series {
    let samples = text.lines().filter(|line| line.starts_with("gocdnext_"));
    let samples = samples.filter_map(|line| line.rsplit_once(' '));
    samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

fn of_dataflow(name: &str) -> bool {
    !name.starts_with("gocdnext_flow_")
}

fn is_counter(name: &str) -> bool {
    let family = name.split('{').next().unwrap_or(name);
    of_dataflow(name) && ["_total", "_bucket", "_count", "_sum"].iter().any(|end| family.ends_with(end))
}

/// What one scraper has seen, over all lives.
#[derive(Default)]
struct Scraper {
    counters: Series,
    /// Own health, for a failure's message.
    own: Series,
    epoch: f64,
    scrapes: usize,
}

impl Scraper {
    /// Scrapes, and panics at a step back. Gives the committed epoch while the series are shown.
    fn look(&mut self, life: &Life) -> Option<f64> {
        let seen = life.scrape()?;
        seen.get("gocdnext_jobs_running")?;
        self.scrapes += 1;
        for (name, before) in &self.counters {
            let now = seen.get(name).unwrap_or_else(|| panic!("{name} has vanished"));
            assert!(now >= before, "I2: {name} went back from {before} to {now}");
        }
        let epoch = seen["gocdnext_flow_committed_epoch"];
        assert!(epoch >= self.epoch, "the epoch went back");
        self.epoch = epoch;
        self.own =
            seen.iter().filter(|(name, _)| !of_dataflow(name)).map(|(name, value)| (name.clone(), *value)).collect();
        self.counters = seen.into_iter().filter(|(name, _)| is_counter(name)).collect();
        Some(epoch)
    }
}

/// Waits for three commits, then for a moment more, and kills.
fn live_and_die(life: Life, scraper: &mut Scraper, numbers: &mut ChaCha8Rng) {
    let begun = Instant::now();
    let mut commits = std::collections::BTreeSet::new();
    while commits.len() < 4 {
        commits.extend(scraper.look(&life).map(f64::to_bits));
        assert!(begun.elapsed() < Duration::from_secs(30), "the epoch does not move");
        std::thread::sleep(Duration::from_millis(20));
    }
    let more = Duration::from_millis(numbers.random_range(0..200));
    let until = Instant::now() + more;
    while Instant::now() < until {
        scraper.look(&life);
    }
    drop(life);
}

/// The log as lines, and the series that all of it gives.
fn log_and_reference(directory: &Path) -> (Vec<Vec<u8>>, Series) {
    let (log, metrics) = (directory.join("log.ndjson"), directory.join("reference.txt"));
    let made = flow()
        .args([
            "generate",
            "--jobs",
            "6000",
            "--seed",
            "11",
            "--disorder",
            "10s",
            "--duplicates",
            "10%",
            "--garbage",
            "1%",
        ])
        .arg("--out")
        .arg(&log)
        .status();
    assert!(made.unwrap().success());
    let read = flow().arg("replay").arg(&log).arg("--metrics-out").arg(&metrics).status();
    assert!(read.unwrap().success());
    let mut reference = series(&fs::read_to_string(&metrics).unwrap());
    reference.retain(|name, _| of_dataflow(name));
    // garbage need not be text
    let lines = fs::read(&log).unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    (lines, reference)
}

#[test]
fn counters_never_step_back_over_kill_9_and_end_where_the_whole_log_ends() {
    let Some(broker) = broker::shared() else { return };
    let address = broker.address();
    broker.topic("crashes", PARTITIONS, &[]);
    broker.topic("gocdnext.dead-letters", 1, &[]);
    let directory = tempfile::tempdir().unwrap();
    let (lines, reference) = log_and_reference(directory.path());
    let state = format!("sqlite:{}", directory.path().join("state.db").display());
    let producer = producer(&address, &[]);
    let mut numbers = ChaCha8Rng::seed_from_u64(17);
    let mut scraper = Scraper::default();
    for slice in lines.chunks(lines.len().div_ceil(KILLS)) {
        for line in slice {
            let partition = numbers.random_range(0..PARTITIONS);
            send(&producer, "crashes", partition, b"", line, OwnedHeaders::new());
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        let life = Life::start(&address, &state, numbers.random_range(1..=4));
        live_and_die(life, &mut scraper, &mut numbers);
    }
    let life = Life::start(&address, &state, 2);
    let mut differs = String::new();
    eventually("the series of the whole log", || {
        scraper.look(&life)?;
        let mut found = life.scrape()?;
        found.retain(|name, _| of_dataflow(name));
        let wrong = reference.iter().filter(|(name, value)| found.get(*name) != Some(*value));
        let wrong: Vec<_> =
            wrong.map(|(name, value)| format!("{name}: {:?}, not {value}", found.get(name))).collect();
        if differs != wrong.join("\n") {
            differs = wrong.join("\n");
            let own = |name: &str| scraper.own.get(name).copied();
            let (time, late) = (own("gocdnext_flow_stream_time_seconds"), own("gocdnext_flow_late_total"));
            eprintln!(
                "stream time {time:?}, late {late:?}, still different: {}",
                wrong.iter().take(5).cloned().collect::<Vec<_>>().join("; ")
            );
        }
        (wrong.is_empty() && found.len() == reference.len()).then_some(())
    });
    drop(life);
    println!(
        "{KILLS} kills, {} scrapes with series, {} series equal to the replay's",
        scraper.scrapes,
        reference.len()
    );
}
