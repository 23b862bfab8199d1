//! What lies in `deploy/prometheus` and `docs/grafana`: the rules, their tests, the runbooks, and every query on a real
//! Prometheus.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

mod dashboard;
mod events;
mod files;
mod fires;
#[path = "../kafka/mod.rs"]
mod kafka;
mod life;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "../outages/locks.rs"]
mod locks;
#[path = "../support/demo.rs"]
mod process;
#[path = "../support/prometheus.rs"]
mod prometheus;
mod promql;
mod promtool;
mod queries;
mod runbooks;
#[path = "../support/mod.rs"]
mod support;

use support::http;

/// Past the capture of test output: a test that shows nothing must say so.
fn skipped(why: &str) {
    use std::io::Write;
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    std::io::stderr().write_all(format!("SKIPPED {test}: {why}\n").as_bytes()).expect("standard error");
}
