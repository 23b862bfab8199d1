//! A real Prometheus scrapes the sidecar and keeps what it is given, exemplars included.

#[path = "../support/http.rs"]
mod http;
#[path = "../support/prometheus.rs"]
mod server;

use crate::support::{Server, TRACE_HEX};
use dataflows::series::CATALOGUE;
use gocdnext_flow::config::Config;
use serde_json::Value;
use server::Prometheus;

fn has_result(data: &Value) -> bool {
    data["result"].as_array().is_some_and(|result| !result.is_empty())
}

#[test]
fn a_real_prometheus_keeps_the_series_and_the_exemplars() {
    let server = Server::start(&Config::default());
    let directory = tempfile::tempdir().unwrap();
    let Some(prometheus) = Prometheus::start(server.address, directory.path()) else {
        eprintln!("SKIPPED: prometheus is not installed");
        return;
    };
    let value = |query: &str| prometheus.wait_for(query, has_result)["result"][0]["value"][1].clone();
    assert_eq!(value("query?query=up%3D%3D1"), "1");
    assert_eq!(value("query?query=gocdnext_job_duration_seconds_sum%7Bstatus%3D%22success%22%7D"), "7.25");
    assert_eq!(value("query?query=gocdnext_job_queue_seconds_sum"), "1.234");
    assert_eq!(value("query?query=sum(gocdnext_jobs_scheduled_total)"), "3");

    let exemplars = "query_exemplars?query=gocdnext_job_duration_seconds_bucket&start=0&end=9999999999";
    let exemplars = prometheus.wait_for(exemplars, |data| data.as_array().is_some_and(|list| !list.is_empty()));
    assert_eq!(exemplars[0]["exemplars"][0]["labels"]["trace_id"], TRACE_HEX);
    assert_eq!(exemplars[0]["exemplars"][0]["value"], "7.25");
    assert_eq!(exemplars[0]["seriesLabels"]["le"], "10.0");

    let names = prometheus.wait_for("label/__name__/values", Value::is_array);
    let known = |name: &str| names.as_array().is_some_and(|names| names.iter().any(|n| n == name));
    for family in CATALOGUE {
        assert!(known(family.name) || known(&format!("{}_bucket", family.name)), "{} did not arrive", family.name);
    }
    drop(prometheus);
    server.end().unwrap();
}
