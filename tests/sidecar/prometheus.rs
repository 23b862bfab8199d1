//! A real Prometheus scrapes the sidecar and keeps what it is given, exemplars included.

use crate::support::{Client, PATIENCE, Server, TRACE_HEX};
use dataflows::series::CATALOGUE;
use gocdnext_flow::config::Config;
use serde_json::Value;
use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Ends with the test.
struct Prometheus {
    process: Child,
    address: SocketAddr,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// `None` where it is not installed.
    fn start(target: SocketAddr, directory: &Path) -> Option<Self> {
        let config = directory.join("prometheus.yml");
        let scrape = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs: [{{job_name: flow, static_configs: [{{targets: [\"{target}\"]}}]}}]\n"
        );
        std::fs::write(&config, scrape).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--enable-feature=exemplar-storage", "--scrape.discovery-reload-interval=500ms"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(process) => Some(Self { process, address }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => panic!("prometheus does not start: {error}"),
        }
    }

    /// `data` of an API's answer; `None` while there is none.
    fn api(&self, path: &str) -> Option<Value> {
        std::net::TcpStream::connect(self.address).ok()?;
        // HTTP/1.0: no chunks
        let answer = Client::connect(self.address).ask(&format!("GET /api/v1/{path} HTTP/1.0\r\nhost: x\r\n\r\n"));
        let mut answer: Value = serde_json::from_slice(&answer.body).ok()?;
        Some(answer["data"].take())
    }

    /// The first answer that satisfies.
    fn wait_for(&self, path: &str, enough: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < until {
            last = self.api(path);
            match last {
                Some(data) if enough(&data) => return data,
                _ => thread::sleep(Duration::from_millis(100)),
            }
        }
        panic!("prometheus has nothing at {path} but {last:?}")
    }
}

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
