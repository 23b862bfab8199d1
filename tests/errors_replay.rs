//! What a replay says to people when something is wrong, through the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

#[path = "support/command.rs"]
mod command;

use command::program;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

const HEADER: &str = "job_id,queue,user,agent,submit_s,start_s,end_s,status\n";

fn replay(arguments: &[&str]) -> Command {
    let mut command = program(&["replay"]);
    command.args(arguments);
    command
}

fn written(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The exit code and the message of a refusal: one error, no result, no stack trace.
fn refusal(output: &Output) -> (Option<i32>, String) {
    let error = text(&output.stderr);
    assert_eq!(text(&output.stdout), "", "no figures of what was not read whole: {error}");
    assert!(error.starts_with("error: "), "{error}");
    assert!(!error.contains("panicked") && !error.contains("stack backtrace"), "{error}");
    (output.status.code(), error)
}

#[test]
fn a_file_that_is_absent_or_a_directory_is_named_at_once() {
    let directory = TempDir::new().unwrap();
    let absent = directory.path().join("absent.ndjson");
    let (code, error) = refusal(&replay(&[]).arg(&absent).output().unwrap());
    assert_eq!(code, Some(2));
    assert!(error.contains(&format!("`{}` does not exist; check the name", absent.display())), "{error}");
    let (code, error) = refusal(&replay(&[]).arg(directory.path()).output().unwrap());
    assert_eq!(code, Some(2));
    assert!(error.contains("is a directory; name the files in it"), "{error}");
}

#[test]
fn a_truncated_gzip_is_told_with_the_last_whole_line_and_a_way_to_save_it() {
    let directory = TempDir::new().unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (0..50_000).for_each(|n| writeln!(encoder, "{{\"n\":{n}}}").unwrap());
    let whole = encoder.finish().unwrap();
    let path = written(&directory, "events.gz", &whole[..whole.len() / 2]);
    let (code, error) = refusal(&replay(&[]).arg(&path).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(error.contains(&format!("`{}` is cut off: its gzip data end in the middle", path.display())), "{error}");
    let line: u64 = error.split("after line ").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    assert!((10_000..40_000).contains(&line), "{error}");
    assert!(error.contains("gzip -dcf"), "{error}");
}

#[test]
fn a_job_log_without_a_column_ends_the_replay_a_bad_row_does_not() {
    let directory = TempDir::new().unwrap();
    let log = |path: &Path| replay(&["--format", "job-log"]).arg(path).output().unwrap();
    let path =
        written(&directory, "jobs.csv", b"job_id,queue,user,agent,submit_s,start_s,status\n1,q,u,,0,1,success\n");
    let (code, error) = refusal(&log(&path));
    assert_eq!(code, Some(1));
    assert!(error.contains("jobs.csv`, line 1: the header has no column end_s (it has: job_id, queue"), "{error}");

    let rows = format!("{HEADER}1,q,u,,0,1,5,success\n2,q,u,,noon,1,5,success\n");
    let output = log(&written(&directory, "jobs2.csv", rows.as_bytes()));
    assert_eq!(output.status.code(), Some(0));
    let (table, error) = (text(&output.stdout), text(&output.stderr));
    assert!(error.contains("1 record rejected; add `--dead-letters FILE`"), "{error}");
    assert!(error.contains("jobs2.csv, line 3: `submit_s` is not a number of seconds: `noon`"), "{error}");
    assert!(table.contains("invalid_field"), "{table}");
}

#[test]
fn a_wrong_time_origin_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "jobs.csv", HEADER.as_bytes());
    let arguments = ["--format", "job-log", "--time-origin", "yesterday"];
    let (code, error) = refusal(&replay(&arguments).arg(&path).output().unwrap());
    assert_eq!(code, Some(2));
    assert!(error.contains("invalid value 'yesterday' for '--time-origin <TIME>'"), "{error}");
}

#[test]
fn an_empty_file_and_the_wrong_format_are_told() {
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "none.ndjson", b"");
    let (code, error) = refusal(&replay(&[]).arg(&path).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(error.contains("none.ndjson: nothing in it to replay"), "{error}");
    let path = written(&directory, "jobs.csv", HEADER.as_bytes());
    let (code, error) = refusal(&replay(&[]).arg(&path).output().unwrap());
    assert_eq!(code, Some(2));
    assert!(error.contains("looks like a job log in CSV, not like events; add `--format job-log`"), "{error}");
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_reading() {
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "jobs.csv", HEADER.as_bytes());
    for flag in ["--metrics-out", "--dead-letters"] {
        let target = directory.path().join("no-such-directory/out");
        let (code, error) = refusal(&replay(&[flag]).arg(target).arg(&path).output().unwrap());
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains("no-such-directory/out`"), "{error}");
    }
    // a directory in which nobody makes files
    let (code, error) = refusal(&replay(&["--metrics-out", "/proc/out"]).arg(&path).output().unwrap());
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("the series cannot be written to `/proc/out`: "), "{error}");
}

/// A refusal of these arguments; whatever is in the directory stays as it is, and nothing comes to it.
fn refused_leaving_all(directory: &TempDir, stdin: Option<&Path>, arguments: &[&str]) -> String {
    let all = || {
        let entries = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (fs::read(&path).unwrap(), path)).collect::<std::collections::BTreeSet<_>>()
    };
    let before = all();
    let mut command = replay(arguments);
    command.current_dir(directory.path());
    if let Some(path) = stdin {
        command.stdin(fs::File::open(path).unwrap());
    }
    let (code, error) = refusal(&command.output().unwrap());
    assert_eq!(code, Some(2), "{arguments:?}: {error}");
    assert!(all() == before, "{arguments:?}: {error}");
    error
}

#[test]
fn what_is_read_is_never_written() {
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "in.ndjson", b"{}\n");
    written(&directory, "other.ndjson", b"{}\n");
    fs::hard_link(&path, directory.path().join("hard")).unwrap();
    std::os::unix::fs::symlink("in.ndjson", directory.path().join("soft")).unwrap();
    for (flag, what) in [("--dead-letters", "the dead letters"), ("--metrics-out", "the series")] {
        for name in ["in.ndjson", "./in.ndjson", "hard", "soft"] {
            let error = refused_leaving_all(&directory, None, &["other.ndjson", "in.ndjson", flag, name]);
            let told = format!("{what} cannot be written to `{name}`: `in.ndjson` is to be read; give another name");
            assert!(error.contains(&told), "{error}");
        }
        // with state, where dead letters are appended
        let kept = ["in.ndjson", "--state", "sqlite:s.db", flag, "in.ndjson"];
        assert!(refused_leaving_all(&directory, None, &kept).contains("`in.ndjson` is to be read"));
        let error = refused_leaving_all(&directory, Some(&path), &["-", flag, "in.ndjson"]);
        assert!(error.contains("`-` is to be read"), "{error}");
    }
}

#[test]
fn what_is_kept_is_never_written_over_nor_one_output_by_the_other() {
    let directory = TempDir::new().unwrap();
    written(&directory, "in.ndjson", b"{}\n");
    for there in [false, true] {
        if there {
            let made =
                replay(&["in.ndjson", "--state", "sqlite:s.db"]).current_dir(directory.path()).output().unwrap();
            assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
        }
        for flag in ["--dead-letters", "--metrics-out"] {
            for name in ["s.db", "s.db-wal", "s.db-shm"] {
                let kept = ["in.ndjson", "--state", "sqlite:s.db", flag, name];
                let error = refused_leaving_all(&directory, None, &kept);
                assert!(error.contains("it is a file of the database sqlite:s.db; give another name"), "{error}");
            }
        }
        let logs = ["in.ndjson", "--set", "log_database=sqlite:logs.db", "--metrics-out", "logs.db"];
        assert!(refused_leaving_all(&directory, None, &logs).contains("a file of the database sqlite:logs.db"));
    }
    for out in ["out", "there"] {
        let both = ["in.ndjson", "--dead-letters", out, "--metrics-out", &format!("./{out}")];
        let error = refused_leaving_all(&directory, None, &both);
        assert!(error.contains("the dead letters go there; give another name"), "{error}");
        written(&directory, "there", b"");
    }
}

#[test]
fn what_is_no_file_may_be_named_for_everything() {
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "in.ndjson", b"{}\n");
    for place in ["/dev/null", "/dev/stderr"] {
        let output = replay(&["--dead-letters", place, "--metrics-out", place]).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
}

#[test]
fn series_go_to_standard_output_alone_and_the_summary_beside_them() {
    let directory = TempDir::new().unwrap();
    let rows = format!("{HEADER}1,q,u,a,0,1,5,success\n2,q,u,,2,3,,\n");
    let path = written(&directory, "jobs.csv", rows.as_bytes());
    let output = replay(&["--format", "job-log", "--metrics-out", "-"]).arg(&path).output().unwrap();
    let (series, summary) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{summary}");
    assert!(series.starts_with("# HELP "), "{series}");
    assert!(series.contains("gocdnext_job_duration_seconds_sum{status=\"success\"} 4\n"), "{series}");
    assert!(series.contains("gocdnext_jobs_running 1\n"), "{series}");
    assert!(summary.starts_with("records read"), "{summary}");
    assert!(summary.contains("jobs open at the end                     1\n"), "{summary}");
}

#[test]
fn job_results_are_logged_on_standard_error_where_asked_for() {
    let directory = TempDir::new().unwrap();
    let rows: String = (0..100).map(|n| format!("{n},q,u,a,0,1,{},success\n", 5 + n)).collect();
    let path = written(&directory, "jobs.csv", format!("{HEADER}{rows}").as_bytes());
    let output = replay(&["--format", "job-log", "--log-jobs"]).arg(&path).output().unwrap();
    let log = text(&output.stderr);
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut durations: Vec<i64> = lines.iter().map(|line| line["duration_ms"].as_i64().unwrap()).collect();
    durations.sort_unstable();
    assert_eq!(durations, (4..104).map(|seconds| seconds * 1_000).collect::<Vec<_>>(), "one a job, none left out");
    assert!(lines.iter().all(|line| line["msg"] == "agent job result" && line["pipeline"] == "q"));
}
