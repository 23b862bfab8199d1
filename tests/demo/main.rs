//! The demo as a newcomer meets it: the real program, its port, a real Prometheus, and Ctrl-C.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

#[path = "../support/http.rs"]
mod http;
#[path = "../support/demo.rs"]
mod process;
#[path = "../support/prometheus.rs"]
mod prometheus;

use http::free_address;
use process::{Demo, demo, sum};
use prometheus::{Prometheus, promtool_check};
use std::{collections::BTreeMap, net::TcpListener};

/// Values of all counters' series.
fn counters(exposition: &str) -> BTreeMap<String, f64> {
    let counter = |line: &&str| {
        let name = line.split(['{', ' ']).next().unwrap();
        ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end))
    };
    let parse = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    };
    exposition.lines().filter(|line| line.starts_with("gocdnext_")).filter(counter).map(parse).collect()
}

#[test]
fn series_move_from_the_first_scrape_and_counters_never_go_down() {
    let demo = Demo::start(&["--seed", "3"]);
    // I2: what is behind the fleet at the start is in the first scrape that shows anything
    let mut last = demo.wait_for_series("gocdnext_jobs_scheduled_total{", 1.0);
    let first = sum(&last, "gocdnext_jobs_scheduled_total{");
    assert!(first > 100.0, "{first} jobs of history");
    for series in [
        "gocdnext_jobs_running",
        "gocdnext_agents_online",
        "gocdnext_queue_depth{stage_status=\"pending\"}",
        "gocdnext_job_duration_seconds_count{status=\"success\"}",
        "gocdnext_job_duration_seconds_count{status=\"failed\"}",
        "gocdnext_job_queue_seconds_count",
        "gocdnext_log_archive_jobs_total{result=\"success\"}",
        "gocdnext_webhook_deliveries_total{provider=\"github\",outcome=\"accepted\"}",
        "gocdnext_flow_duplicates_total",
        "gocdnext_flow_rejected_total{",
    ] {
        assert!(sum(&last, series) > 0.0, "{series} is 0 in {last}");
    }
    demo.wait_for("/readyz", |_| true);
    while sum(&last, "gocdnext_jobs_scheduled_total{") < first + 20.0 {
        let next = demo.metrics();
        let (before, after) = (counters(&last), counters(&next));
        for (series, value) in &before {
            assert!(after.get(series).is_some_and(|now| now >= value), "I2: {series} went down from {value}");
        }
        last = next;
        demo.must_live();
    }
    promtool_check(&last);
    // months of job logs pass: one falls due, is archived, and goes; another stays
    demo.wait_for_series("gocdnext_retention_dropped_log_partitions_total", 1.0);
    demo.wait_for_series("gocdnext_retention_blocked_partitions{reason=\"incomplete_history\"}", 1.0);
    demo.wait_for_series("gocdnext_retention_decisions_total{kind=\"archive_logs\",outcome=\"executed\"}", 1.0);
    demo.wait_for("/api/v1/retention", |told| told.contains("\"verdict\":\"kept\""));
    let said = demo.terminate();
    assert!(said.contains("monthly partitions dropped") && said.contains("incomplete_history"), "{said}");
    assert!(said.contains("The demo has ended: "), "{said}");
}

#[test]
fn a_real_prometheus_scrapes_it_and_keeps_exemplars() {
    let demo = Demo::start(&[]);
    demo.wait_for_series("gocdnext_jobs_scheduled_total{", 1.0);
    let folder = tempfile::tempdir().unwrap();
    let Some(prometheus) = Prometheus::start(demo.address, folder.path()) else {
        eprintln!("SKIPPED: prometheus is not installed (Debian: apt-get install prometheus)");
        return;
    };
    prometheus.wait_for("query?query=sum(rate(gocdnext_jobs_scheduled_total%5B1m%5D))%3E0", |data| {
        data["result"].as_array().is_some_and(|result| !result.is_empty())
    });
    let exemplars = "query_exemplars?query=gocdnext_job_duration_seconds_bucket&start=0&end=9999999999";
    let found = prometheus.wait_for(exemplars, |data| data.as_array().is_some_and(|list| !list.is_empty()));
    let trace = found[0]["exemplars"][0]["labels"]["trace_id"].as_str().unwrap();
    assert!(trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()), "{trace}");
    demo.terminate();
}

#[test]
fn it_ends_by_itself_after_the_time_given() {
    let output = demo(&["--listen", &free_address().to_string(), "--for", "1s"]).output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert!(said.contains("/metrics") && said.contains("The demo has ended"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = demo(&["--listen", &address]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: cannot listen on ") && error.contains(&address), "{error}");
    assert!(error.contains("--listen"), "{error}");
    assert!(output.stdout.is_empty(), "nothing is promised before");
}

#[test]
fn a_pipelines_state_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (mine, theirs) = (folder.path().join("mine.db"), folder.path().join("theirs.db"));
    let run = |arguments: &[&str]| {
        let mut command = demo(arguments);
        command.args(["--for", "8s", "--listen", &free_address().to_string()]);
        command.env("GOCDNEXT_FLOW_STATE", format!("sqlite:{}", theirs.display())).output().unwrap()
    };
    assert!(run(&[]).status.success());
    assert!(!theirs.exists(), "the state that a variable names");
    let state = format!("sqlite:{}", mine.display());
    assert!(run(&["--state", &state]).status.success());
    let kept = std::fs::read(&mine).unwrap();
    let again = run(&["--state", &state]);
    let told = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(4), "{told}");
    assert!(told.contains("counted from another broker") && told.contains("give a new `--state`"), "{told}");
    assert!(std::fs::read(&mine).unwrap() == kept, "what is there is left as it is");
}
