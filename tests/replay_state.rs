//! `replay --state`: a log read in parts, whatever ends a part, gives the series of the whole (I1, I4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

#[path = "support/command.rs"]
mod command;

use command::program;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A log with disorder, duplicates and garbage, and where its parts are.
struct Bench {
    directory: TempDir,
    log: Vec<u8>,
}

impl Bench {
    fn new(jobs: u32) -> Self {
        let directory = TempDir::new().unwrap();
        let log = directory.path().join("log.ndjson");
        let jobs = jobs.to_string();
        let noise = ["--disorder", "10s", "--duplicates", "10%", "--garbage", "1%"];
        let made = program(&[])
            .args(["generate", "--seed", "3", "--jobs", &jobs])
            .args(noise)
            .arg("--out")
            .arg(&log)
            .status();
        assert!(made.unwrap().success());
        Self { log: fs::read(&log).unwrap(), directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn state(&self) -> String {
        format!("sqlite:{}", self.path("state.db").display())
    }

    /// The log cut into files at ends of lines.
    fn files(&self, parts: usize) -> Vec<PathBuf> {
        let lines: Vec<&[u8]> = self.log.split_inclusive(|byte| *byte == b'\n').collect();
        let write = |(number, lines): (usize, &[&[u8]])| {
            let path = self.path(&format!("part-{number}.ndjson"));
            fs::write(&path, lines.concat()).unwrap();
            path
        };
        lines.chunks(lines.len().div_ceil(parts)).enumerate().map(write).collect()
    }

    fn replay(&self, files: &[&Path], more: &[&str]) -> Command {
        let mut command = program(&[]);
        command.arg("replay").args(files).args(["--epoch-records", "500", "--metrics-out"]);
        command.arg(self.path("series.txt")).args(more);
        command
    }

    /// The dataflow's series that a replay writes.
    fn series(&self, files: &[&Path], more: &[&str]) -> Vec<String> {
        let output = self.replay(files, more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.written()
    }

    fn written(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("series.txt")).unwrap();
        // which of two records is the duplicate may depend on their order (docs/ARCHITECTURE.md)
        let own = ["gocdnext_flow_commit", "gocdnext_flow_records_total", "gocdnext_flow_duplicates_total"];
        let of_dataflow = |line: &&str| line.starts_with("gocdnext_") && !own.iter().any(|own| line.starts_with(own));
        text.lines().filter(of_dataflow).filter(|line| !line.contains("scrape_duration")).map(str::to_owned).collect()
    }

    fn whole(&self) -> Vec<String> {
        let series = self.series(&[&self.path("log.ndjson")], &[]);
        assert!(series.len() > 100, "a log that moves much");
        series
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `state show`.
fn shown(state: &str) -> serde_json::Value {
    let output = program(&["state", "show", "--format", "json", "--state", state]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_log_read_in_parts_gives_the_series_of_the_whole() {
    let bench = Bench::new(3_000);
    let (whole, state) = (bench.whole(), bench.state());
    let files = bench.files(4);
    for (part, workers) in files.iter().zip(["1", "3", "2", "1"]) {
        bench.series(&[part], &["--state", &state, "--workers", workers]);
    }
    assert_eq!(bench.written(), whole);
    let again: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    assert_eq!(bench.series(&again, &["--state", &state]), whole, "all of it again moves nothing");
}

#[test]
fn a_file_that_has_grown_is_read_on_and_another_one_is_refused() {
    let bench = Bench::new(1_000);
    let (whole, state) = (bench.whole(), bench.state());
    let parts = bench.files(2);
    let grows = bench.path("grows.ndjson");
    fs::copy(&parts[0], &grows).unwrap();
    bench.series(&[&grows], &["--state", &state]);
    let mut file = fs::File::options().append(true).open(&grows).unwrap();
    file.write_all(&fs::read(&parts[1]).unwrap()).unwrap();
    assert_eq!(bench.series(&[&grows], &["--state", &state, "--workers", "2"]), whole);

    fs::copy(&parts[1], &grows).unwrap();
    let refused = bench.replay(&[&grows], &["--state", &state]).output().unwrap();
    assert_eq!(refused.status.code(), Some(4));
    assert!(told(&refused).contains("is not the file that a former replay has read"), "{}", told(&refused));
    assert_eq!(bench.series(&[&parts[0]], &["--state", &state]).len(), whole.len(), "nothing was broken by it");
}

#[test]
fn a_file_whose_last_line_had_no_end_is_read_on_unless_that_line_is_another_now() {
    let bench = Bench::new(1_000);
    let whole = bench.whole();
    let ends: Vec<usize> = (0..bench.log.len()).filter(|at| bench.log[*at] == b'\n').collect();
    let end = ends[ends.len() / 2];
    let grows = bench.path("grows.ndjson");
    let state = bench.state();
    fs::write(&grows, &bench.log[..end]).unwrap();
    let cut = bench.series(&[&grows], &["--state", &state]);
    assert_eq!(bench.series(&[&grows], &["--state", &state]), cut, "nothing is new");
    fs::write(&grows, &bench.log[..=end]).unwrap();
    assert_eq!(bench.series(&[&grows], &["--state", &state]), cut, "nothing but the end of a line is new");
    fs::write(&grows, &bench.log).unwrap();
    assert_eq!(bench.series(&[&grows], &["--state", &state]), whole);

    let state = format!("sqlite:{}", bench.path("in-the-middle.db").display());
    fs::write(&grows, &bench.log[..end - 5]).unwrap();
    bench.series(&[&grows], &["--state", &state]);
    fs::write(&grows, &bench.log).unwrap();
    let refused = bench.replay(&[&grows], &["--state", &state]).output().unwrap();
    assert_eq!(refused.status.code(), Some(4));
    assert!(told(&refused).contains("is not the file that a former replay has read"), "{}", told(&refused));
}

#[test]
fn a_replay_killed_at_any_moment_is_gone_on_with() {
    let bench = Bench::new(6_000);
    let (whole, state) = (bench.whole(), bench.state());
    let files = bench.files(2);
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let more = ["--state", &state, "--dead-letters"];
    let letters = bench.path("letters");
    let mut numbers = ChaCha8Rng::seed_from_u64(5);
    let mut killed = 0;
    for life in 0..5 {
        let mut child = bench.replay(&files, &more).arg(&letters).stderr(Stdio::null()).spawn().unwrap();
        // the lease of one that was killed is waited for
        let waits = if life == 0 { 0 } else { 3_000 };
        std::thread::sleep(Duration::from_millis(waits + numbers.random_range(50..1_000)));
        killed += u32::from(child.try_wait().unwrap().is_none());
        // it may have ended
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(killed > 0, "every one had ended before it was killed");
    let output = bench.replay(&files, &more).arg(&letters).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(bench.written(), whole);
    let rejected = whole.iter().filter(|line| line.starts_with("gocdnext_flow_rejected_total"));
    let rejected: f64 = rejected.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum();
    let kept = fs::read_to_string(letters).unwrap();
    let kept: std::collections::BTreeSet<&str> = kept.lines().collect();
    assert!(kept.len() as f64 >= rejected, "{} letters of {rejected}", kept.len());
}

#[test]
fn a_file_left_in_the_middle_must_be_given_again() {
    let bench = Bench::new(2_000);
    let state = bench.state();
    let damaged = bench.path("damaged.ndjson.zst");
    let packed = zstd::encode_all(bench.log.as_slice(), 1).unwrap();
    fs::write(&damaged, &packed[..packed.len() / 2]).unwrap();
    let cut = bench.replay(&[&damaged], &["--state", &state]).output().unwrap();
    assert_eq!(cut.status.code(), Some(1), "{}", told(&cut));
    let other = bench.path("log.ndjson");
    let refused = bench.replay(&[&other], &["--state", &state]).output().unwrap();
    assert_eq!(refused.status.code(), Some(4));
    assert!(told(&refused).contains("and not to its end by a former replay: give it again"), "{}", told(&refused));
    fs::write(&damaged, packed).unwrap();
    let mended = bench.series(&[&damaged], &["--state", &state]);
    assert_eq!(mended, bench.whole());
}

#[test]
fn a_job_log_is_gone_on_with_and_live_state_is_refused() {
    let bench = Bench::new(100);
    let state = bench.state();
    let header = "job_id,queue,user,agent,submit_s,start_s,end_s,status\n";
    let rows: Vec<String> =
        (0..400).map(|n| format!("{n},q,u{},a,{},{},{},success\n", n % 3, n, n + 5, n + 60)).collect();
    let bad = "x,q,u,a,no,1,2,success\n";
    let log = bench.path("jobs.csv");
    let whole = header.to_owned() + bad + &rows.concat();
    let format = ["--format", "job-log"];
    fs::write(&log, &whole).unwrap();
    let expected = bench.series(&[&log], &format);
    let more = ["--format", "job-log", "--state", &state];
    assert_eq!(bench.series(&[&log], &more), expected);
    assert_eq!(bench.series(&[&log], &more), expected, "rows that were refused are counted once");

    let run = program(&[]).args(["run", "--state", &state, "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(run.status.code(), Some(4));
    let told = String::from_utf8_lossy(&run.stdout).into_owned() + &told(&run);
    assert!(told.contains("the state is of a replay, not of topic"), "{told}");
    // so that the command it names need not wait
    assert_eq!(shown(&state)["lease"]["released"], true);
}

#[test]
fn an_ended_program_leaves_a_file_that_is_whole_by_itself() {
    let bench = Bench::new(50);
    let (state, copy) = (bench.state(), bench.path("copy.db"));
    bench.series(&[&bench.path("log.ndjson")], &["--state", &state]);
    // without the log that SQLite has beside it
    fs::copy(bench.path("state.db"), &copy).unwrap();
    let whole = shown(&state)["epoch"].as_u64().unwrap();
    assert!(whole > 1, "epochs were committed");
    assert_eq!(shown(&format!("sqlite:{}", copy.display()))["epoch"], whole);
}
