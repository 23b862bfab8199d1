//! The program as a shell sees it: exit codes, what goes to which stream, the real environment.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

#[path = "support/command.rs"]
mod command;

use command::program as flow;
use std::{
    fs,
    process::{Output, Stdio},
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The exit code and standard error of a refusal, which leaves standard output empty and shows no stack trace.
fn refusal(output: &Output) -> (Option<i32>, String) {
    let error = text(&output.stderr);
    assert_eq!(text(&output.stdout), "", "{error}");
    assert!(error.starts_with("error: "), "{error}");
    assert!(!error.contains("backtrace") && !error.contains("panicked"), "{error}");
    (output.status.code(), error)
}

#[test]
fn help_and_version_go_to_standard_output_and_succeed() {
    for flag in ["--help", "--version"] {
        let output = flow(&[flag]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("gocdnext-flow"));
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn wrong_settings_are_refused_with_2_and_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.toml");
    let text =
        "workers = 2\njob_tll = \"24h\"\n[kafka]\n\"sasl.mechansim\" = \"PLAIN\"\n\"fetch.max.bytes\" = \"many\"\n";
    fs::write(&file, text).unwrap();
    let output = flow(&["config", "show", "--config"])
        .arg(&file)
        .env("GOCDNEXT_FLOW_LATE_GRACE", "60")
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    let (code, error) = refusal(&output);
    assert_eq!(code, Some(2));
    assert!(error.contains(&format!("{}:2:1: there is no setting `job_tll`", file.display())), "{error}");
    assert!(error.contains("did you mean `job_ttl`?"), "{error}");
    assert!(
        error.contains(&format!("{}:4:1: there is no librdkafka setting `sasl.mechansim`", file.display())),
        "{error}"
    );
    assert!(error.contains("did you mean `kafka.sasl.mechanism`?"), "{error}");
    assert!(error.contains(&format!("{}:5:1: librdkafka refuses", file.display())), "{error}");
    assert!(error.contains("GOCDNEXT_FLOW_LATE_GRACE: `late_grace` is wrong: found `60`"), "{error}");
}

#[test]
fn a_file_that_is_absent_or_a_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (path, why) in [(folder.path().join("absent.toml"), "No such file"), (folder.path().to_owned(), "directory")]
    {
        let (code, error) = refusal(&flow(&["config", "show", "--config"]).arg(path).output().unwrap());
        assert_eq!(code, Some(2));
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn secrets_of_the_environment_are_not_shown() {
    let mut command = flow(&["config", "show"]);
    let output = command.env("GOCDNEXT_FLOW_KAFKA_SASL_PASSWORD", "hunter2").output().unwrap();
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let row = shown.lines().find(|line| line.starts_with("kafka.sasl.password")).unwrap();
    assert!(row.contains("***") && row.ends_with("env GOCDNEXT_FLOW_KAFKA_SASL_PASSWORD"), "{row}");
    assert!(!shown.contains("hunter2"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = flow(&["config", "show"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn files_that_are_absent_or_directories_are_wrong_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.ndjson");
    for verb in ["check", "replay"] {
        for (path, why) in [(absent.as_path(), "does not exist"), (folder.path(), "is a directory")] {
            let (code, error) = refusal(&flow(&[verb]).arg(path).output().unwrap());
            assert_eq!(code, Some(2), "{verb}: {error}");
            assert!(error.contains(why) && error.contains(path.to_str().unwrap()), "{verb}: {error}");
        }
    }
}

#[test]
fn check_ends_with_3_when_it_found_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson");
    fs::write(&file, "no event\n").unwrap();
    let output = flow(&["check"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("events.ndjson"), "{}", text(&output.stdout));
}

#[test]
fn a_made_up_fleet_is_what_check_and_replay_take() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.ndjson");
    let made = flow(&["generate", "--jobs", "20", "--seed", "7", "--out"]).arg(&file).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let checked = flow(&["check"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}{}", text(&checked.stdout), text(&checked.stderr));
    let replayed = flow(&["replay", "--metrics-out", "-"]).arg(&file).output().unwrap();
    let (series, summary) = (text(&replayed.stdout), text(&replayed.stderr));
    assert!(replayed.status.success(), "{summary}");
    assert!(series.lines().any(|line| line == "gocdnext_jobs_running 0"), "{series}");
    let ended = summary.lines().find(|line| line.starts_with("jobs ended"));
    assert!(ended.is_some_and(|line| line.ends_with(" 20")), "{summary}");
}

#[test]
fn a_secret_that_librdkafka_refuses_is_not_shown() {
    let mut command = flow(&["run", "--listen", "127.0.0.1:0", "--set", "kafka.no.such.password=hunter2"]);
    // its state lies where it runs
    let directory = tempfile::tempdir().unwrap();
    let output = command.current_dir(&directory).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("no.such.password"), "{error}");
    assert!(!error.contains("hunter2") && !text(&output.stdout).contains("hunter2"), "{error}");
}

#[test]
fn an_error_that_nobody_reads_changes_no_exit_code() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = flow(&["config", "show", "--set", "no_such_setting=1"]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(2));
}
