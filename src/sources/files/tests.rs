//! Reading files: where lines are cut, what a strange file does.

use super::{Files, SourceError, Step, input::Input, lines::Lines};
use crate::wiring::{InputFormat, ReplayOptions};
use dataflows::feed::{CatchUp, Reason};
use std::{fs, io::Write, path::PathBuf, sync::Arc};
use tempfile::TempDir;

fn options(format: InputFormat, files: Vec<PathBuf>) -> ReplayOptions {
    ReplayOptions {
        files,
        format,
        time_origin: None,
        metrics_out: None,
        dead_letters: None,
        log_jobs: false,
        state: None,
    }
}

fn written(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn read(format: InputFormat, files: Vec<PathBuf>) -> Result<Vec<Step>, SourceError> {
    let mut files = Files::open(&options(format, files))?;
    let mut steps = Vec::new();
    while let Some(step) = files.next(Vec::new())? {
        steps.push(step);
    }
    assert!(files.progress().iter().all(|file| file.state == CatchUp::CaughtUp));
    Ok(steps)
}

fn joined(steps: &[Step]) -> Vec<u8> {
    steps.iter().flat_map(|step| step.batch.bytes.clone()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn chunks_are_whole_lines_and_every_line_is_counted_once() {
    let directory = TempDir::new().unwrap();
    // lengths from nothing to over a chunk; the last line has no end
    let lengths = (0..3_000).map(|n| (n * 7_919) % 4_000).chain([300_000, 0, 600_000, 5]);
    let text = lengths.map(|length| "x".repeat(length)).collect::<Vec<_>>().join("\r\n");
    let steps = read(InputFormat::Events, vec![written(&directory, "lines", text.as_bytes())]).unwrap();
    assert!(steps.len() > 10, "several chunks");
    let (last, others) = steps.split_last().unwrap();
    assert!(others.iter().all(|step| step.batch.bytes.ends_with(b"\n")));
    assert!(!last.batch.bytes.ends_with(b"\n"));
    assert!(joined(&steps) == text.as_bytes(), "no byte is lost or doubled");
    assert_eq!(steps.iter().map(|step| step.lines).sum::<u64>(), 3_004);
}

#[test]
fn compression_is_told_by_content_and_may_have_several_members() {
    let directory = TempDir::new().unwrap();
    let two = [gzip(b"{}\n"), gzip(b"[]\n")].concat();
    for (name, bytes) in [
        ("plain-name", two.clone()),
        ("two.gz", two),
        ("x.zst", zstd::encode_all(&b"{}\n[]\n"[..], 1).unwrap()),
        ("bom", b"\xef\xbb\xbf{}\n[]\n".to_vec()),
    ] {
        let steps = read(InputFormat::Events, vec![written(&directory, name, &bytes)]).unwrap();
        assert_eq!(joined(&steps), b"{}\n[]\n", "{name}");
    }
}

#[test]
fn a_line_over_the_hard_cap_costs_bounded_memory_and_the_next_lines_are_read() {
    let directory = TempDir::new().unwrap();
    let long = "y".repeat(900_000);
    let text = format!("a\n{long}\nb\n{long}");
    let path = written(&directory, "long", text.as_bytes());
    let input = Input::open(&path, Arc::default()).unwrap();
    let mut lines = Lines::new(input, 3).with_max_line_bytes(300_000);
    let (mut read, mut letters) = (Vec::new(), Vec::new());
    while let Some(chunk) = lines.next(Vec::new()).unwrap() {
        if !chunk.bytes.is_empty() {
            read.push((chunk.first_line, chunk.bytes));
        }
        letters.extend(chunk.rejected);
    }
    assert_eq!(read, [(1, b"a\n".to_vec()), (3, b"b\n".to_vec())]);
    let places: Vec<_> = letters.iter().map(|letter| (letter.partition, letter.offset, letter.reason)).collect();
    assert_eq!(places, [(3, 2, Reason::TooLarge), (3, 4, Reason::TooLarge)]);
    for letter in &letters {
        assert!((300_000..600_000).contains(&letter.value.len()));
        assert!(letter.detail.starts_with("a line of 900000 bytes"), "{}", letter.detail);
    }
}

fn line(time: &str) -> String {
    format!("{{\"id\": \"1\", \"time\" : \"{time}\", \"pad\": \"{}\"}}\n", "p".repeat(90_000))
}

#[test]
fn the_file_that_is_furthest_behind_is_read_next() {
    let directory = TempDir::new().unwrap();
    let days =
        |days: std::ops::Range<u32>| days.map(|d| line(&format!("2024-01-{d:02}T00:00:00Z"))).collect::<String>();
    let late = written(&directory, "late", days(11..31).as_bytes());
    let early = written(&directory, "early", days(1..11).as_bytes());
    let steps = read(InputFormat::Events, vec![late, early]).unwrap();
    let order: Vec<u32> = steps.iter().map(|step| step.batch.partition).collect();
    let first_late = order.iter().skip(1).position(|partition| *partition == 0).unwrap();
    assert_eq!(order[0], 0, "each is begun");
    assert!(order[1..=first_late].iter().all(|partition| *partition == 1), "{order:?}");
    assert!(order[first_late + 1..].iter().all(|partition| *partition == 0), "{order:?}");
}

#[test]
fn strange_files_are_told_apart() {
    let directory = TempDir::new().unwrap();
    let fault = |format, name: &str, bytes: &[u8]| {
        read(format, vec![written(&directory, name, bytes)]).expect_err(name).to_string()
    };
    let events = |name: &str, bytes: &[u8]| fault(InputFormat::Events, name, bytes);
    let whole = gzip("{\"a\":1}\n".repeat(100_000).as_bytes());
    assert!(events("cut.gz", &whole[..whole.len() / 2]).contains("is cut off"));
    let whole = zstd::encode_all(&b"{}\n"[..], 1).unwrap();
    assert!(events("cut.zst", &whole[..whole.len() - 2]).contains("is cut off"));
    assert!(events("not.gz", b"<html>").contains("does not hold gzip data"));
    assert!(events("zip", b"PK\x03\x04.....").contains("compressed with zip"));
    assert!(events("jobs.csv", b"job_id,queue,submit_s\n1,a,2\n").contains("--format job-log"));
    let log = |name: &str, bytes: &[u8]| fault(InputFormat::JobLog, name, bytes);
    assert!(log("events.ndjson", b"{\"specversion\":\"1.0\"}\n").contains("leave out `--format job-log`"));
    let missing = log("jobs2.csv", b"job_id,queue,user,agent,submit_s,end_s\n");
    assert!(missing.contains("no column start_s, status (it has: job_id, queue, user"), "{missing}");
}

const HEADER: &str = "job_id,queue,user,agent,submit_s,start_s,end_s,status\n";

#[test]
fn bad_rows_become_dead_letters_with_line_and_bytes() {
    let directory = TempDir::new().unwrap();
    let rows = "1,q,u,,0,5,9,success\n2,q,u\n\n3,q,u,,0,x,9,failed\n4,\"two\nlines\",u,,,5,9,failed\n5,q,u,,0,5,1e9,failed\n";
    let path = written(&directory, "jobs.csv", format!("{HEADER}{rows}").as_bytes());
    let steps = read(InputFormat::JobLog, vec![path]).unwrap();
    let letters: Vec<_> = steps.iter().flat_map(|step| &step.rejected).collect();
    let found: Vec<_> = letters.iter().map(|l| (l.offset, String::from_utf8_lossy(&l.value).into_owned())).collect();
    let expected = [
        (3, "2,q,u"),
        (5, "3,q,u,,0,x,9,failed"),
        (6, "4,\"two\nlines\",u,,,5,9,failed"),
        (8, "5,q,u,,0,5,1e9,failed"),
    ];
    assert_eq!(found, expected.map(|(line, value)| (line, value.to_owned())));
    assert_eq!(letters[0].detail, "the row has 3 fields; `agent` is missing");
    assert_eq!(letters[1].detail, "`start_s` is not a number of seconds: `x`");
    assert_eq!(letters[2].detail, "`submit_s` is empty");
    assert_eq!(steps.iter().map(|step| step.lines).sum::<u64>(), 7, "the good row's events");
}

#[test]
fn rows_become_events_in_order_of_time_ends_before_starts() {
    let directory = TempDir::new().unwrap();
    let rows = "c,q,u,,10,20,20,success\nb,\"q \"\"2\"\"\",u,a1,0.5,20,,\na,q,u,a1,0,1,20,failed\nd,q,u,a1,30,,40,canceled\n";
    let path = written(&directory, "jobs.csv", format!("{HEADER}{rows}").as_bytes());
    let steps = read(InputFormat::JobLog, vec![path]).unwrap();
    let events = String::from_utf8(joined(&steps)).unwrap();
    let events: Vec<serde_json::Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let kind = event["type"].as_str().unwrap().strip_prefix("io.gocdnext.").unwrap();
            format!("{} {kind}", &event["time"].as_str().unwrap()[17..])
        })
        .collect();
    let submit = |at: &str| [format!("{at} run.queued"), format!("{at} job.queued")];
    let start = |at: &str| ["job.scheduled", "run.started", "job.started"].map(|kind| format!("{at} {kind}"));
    let end = |at: &str| [format!("{at} job.finished"), format!("{at} run.finished")];
    let mut expected = [submit("00Z"), submit("00.5Z")].concat();
    expected.extend(start("01Z"));
    expected.extend(submit("10Z"));
    // a ends, then c and b start, then c ends as it began
    expected
        .extend([end("20Z").to_vec(), start("20Z").to_vec(), start("20Z").to_vec(), end("20Z").to_vec()].concat());
    expected.extend([submit("30Z"), end("40Z")].concat());
    assert_eq!(told, expected);
    let agents = |kind: &str| events.iter().filter(|e| e["type"] == kind && !e["data"]["agent_id"].is_null()).count();
    assert_eq!(agents("io.gocdnext.job.started"), 2, "none where the column is empty");
    assert_eq!(agents("io.gocdnext.job.finished"), 1, "a job that never started was never dispatched");
    let slugs: Vec<_> = events.iter().filter(|event| event["data"]["pipeline"] == "q \"2\"").collect();
    assert_eq!(slugs.len(), 5);
}
