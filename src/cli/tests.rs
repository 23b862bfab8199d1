//! What people read (`--help`, errors) and what scripts rely on (exit codes).

use super::{Cli, Failure, start};
use crate::{config::environment::Surroundings, wiring::RunError};
use clap::CommandFactory;
use std::{ffi::OsString, fmt::Write as _, io, path::Path};

struct Nothing;

impl Surroundings for Nothing {
    fn variables(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn read(&self, _path: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn host_name(&self) -> String {
        "ci-host".to_owned()
    }
}

fn started(line: &str) -> (Result<(), Failure>, String) {
    let arguments = std::iter::once("gocdnext-flow").chain(line.split_whitespace()).map(OsString::from);
    let mut out = Vec::new();
    let ended = start(arguments.collect::<Vec<_>>(), &Nothing, &mut out);
    (ended, String::from_utf8(out).unwrap())
}

fn refused(line: &str) -> (u8, String) {
    let failure = started(line).0.expect_err(line);
    let message = match &failure {
        Failure::Arguments(error) => error.to_string(),
        other => other.message(),
    };
    (failure.code(), message)
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

/// As on a terminal of 100 columns, whatever this one has.
fn help(line: &str) -> String {
    let arguments = std::iter::once("gocdnext-flow").chain(line.split_whitespace());
    Cli::command().term_width(100).try_get_matches_from(arguments).expect_err(line).to_string()
}

#[test]
fn help_teaches() {
    let verbs = [
        "run",
        "demo",
        "replay",
        "generate",
        "check",
        "config show",
        "state",
        "state show",
        "state verify",
        "state reset",
        "state export",
        "state import",
        "state rebucket",
        "retention",
        "retention policy",
        "retention policy set",
        "retention policy list",
        "retention policy remove",
        "retention plan",
        "retention explain",
        "retention run",
        "retention adopt",
    ];
    for verb in verbs {
        let name = format!("help_{}", verb.replace(' ', "_"));
        insta::assert_snapshot!(name, help(&format!("{verb} --help")));
    }
    insta::assert_snapshot!("help", help("--help"));
    insta::assert_snapshot!("help_run_short", help("run -h"));
}

#[test]
fn help_and_version_are_no_errors() {
    for line in ["--help", "--version", "run --help", "run --version"] {
        assert_eq!(refused(line).0, 0, "{line}");
    }
    assert!(refused("--version").1.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_arguments_exit_with_2_and_say_what_to_write() {
    let lines = [
        "",
        "rum",
        "run --job-tll 24h",
        "run --workers 0",
        "run --job-ttl 24",
        "run --config absent.toml",
        "run --set job_ttl",
        "run --set job-tll=24h",
        "run --set kafka.sasl.mechansim=PLAIN",
        "run --set kafka.fetch.max.bytes=many",
        "run --set kafka.sasl.pasword=hunter2",
        "run --set kafka.sasl.password hunter2",
        "run --set kafka.sasl.password:hunter2",
        "run --set postgres://flow:hunter2@db/flow?sslmode=require",
        "run postgres://flow:hunter2@db/flow",
        "run --brokers postgres://flow:hunter2@db/flow",
        "replay x --state postgres://flow:hunter2@db/flow?sslmod=require",
        "replay x --rate postgres://flow:hunter2@db/flow",
        "replay",
        "replay - -",
        "replay x --format csv",
        "replay x --time-origin 2024-01-01T00:00:00Z",
        "generate --jobs 0",
        "generate --out x --brokers y:9092",
        "generate --garbage 5",
        "generate --rate 0",
        "state reset",
        "state reset --to yesterday",
    ];
    let mut all = String::new();
    for line in lines {
        let (code, message) = refused(line);
        assert_eq!(code, 2, "{line}");
        assert!(!message.contains("hunter2"), "{message}");
        if !line.is_empty() {
            let _ = writeln!(all, "$ gocdnext-flow {line}\n{message}");
        }
    }
    insta::assert_snapshot!("wrong_arguments", all);
}

#[test]
fn set_outweighs_the_flag_and_names_its_origin() {
    let (ended, shown) = started("config show --workers 2 --set workers=3 --set kafka.security.protocol=SSL");
    ended.unwrap();
    let row = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row("workers").contains(" 3 ") && row("workers").ends_with("flag --set workers"), "{shown}");
    assert!(row("kafka.security.protocol").contains("SSL"), "{shown}");
}

#[test]
fn a_flag_that_is_on_needs_no_value() {
    for (line, value) in [("--force-text-format", "true"), ("--force-text-format=false", "false")] {
        let (ended, shown) = started(&format!("config show {line}"));
        ended.unwrap();
        let row = shown.lines().find(|line| line.starts_with("force_text_format")).unwrap();
        assert!(row.contains(value), "{row}");
    }
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let because = || anyhow::anyhow!("because");
    let failures = [
        (Failure::Other(because()), 1),
        (Failure::Run(RunError::Runtime(because())), 1),
        (Failure::Run(RunError::Settings(because())), 2),
        (Failure::CheckFound { errors: 1, events: 2 }, 3),
        (Failure::Damaged { damages: 1 }, 3),
        (Failure::Run(RunError::Refused(because())), 4),
        (Failure::Run(RunError::Fenced), 5),
    ];
    for (failure, code) in failures {
        assert_eq!(failure.code(), code, "{failure}");
    }
}

/// As `head` is, once it has its lines.
struct Closed;

impl io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn a_reader_that_has_seen_enough_changes_no_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson");
    std::fs::write(&file, "no JSON\n".repeat(3)).unwrap();
    let start = |line: &[&str]| {
        let arguments = std::iter::once("gocdnext-flow").chain(line.iter().copied()).map(OsString::from);
        start(arguments.collect::<Vec<_>>(), &Nothing, &mut Closed)
    };
    start(&["config", "show"]).unwrap();
    let found = start(&["check", file.to_str().unwrap()]).unwrap_err();
    assert!(matches!(found, Failure::CheckFound { errors: 3, events: 3 }), "{found}");
}

#[test]
fn an_error_is_told_with_its_causes() {
    let error =
        anyhow::Error::from(io::Error::from(io::ErrorKind::AddrInUse)).context("cannot listen on 0.0.0.0:8153");
    let failure = Failure::Run(RunError::Runtime(error));
    assert_eq!(failure.message(), "error: cannot listen on 0.0.0.0:8153\n  caused by: address in use\n");
}
