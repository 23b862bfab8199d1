//! The rules of relabelling that the chart gives to Prometheus, in a real one: the program comes back at another address,
//! and each dataflow series goes on as the same one, without a reset.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

#[path = "support/command.rs"]
mod command;
#[path = "support/http.rs"]
mod http;
mod kafka;
#[allow(dead_code, reason = "other tests kill it, hold it and more")]
#[path = "support/program.rs"]
mod program;
#[path = "support/prometheus.rs"]
mod server;

use kafka::{PATIENCE, producer, send_runs};
use program::{Running, Uptime, program};
use rdkafka::mocking::MockCluster;
use serde_json::{Value, json};
use server::Prometheus;
use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path, sync::Arc};

const TOPIC: &str = "events";
const RELEASE: &str = "ci-server";

/// The chart's rules, in the words of a scrape configuration, with the replacement that the chart's template adds.
fn rules() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/helm/files/metric-relabelings.yaml");
    let rules = fs::read_to_string(file).unwrap();
    let rules: Vec<&str> = rules.lines().filter(|line| !line.starts_with('#')).collect();
    let instance = "targetLabel: instance";
    let rules = rules.join("\n").replace(instance, &format!("{instance}\n  replacement: {RELEASE}"));
    rules.replace("sourceLabels", "source_labels").replace("targetLabel", "target_label")
}

/// What a scrape finds: as Kubernetes' discovery would, by another address and under another pod's name.
fn place(folder: &Path, address: SocketAddr, pod: &str) {
    let targets = json!([{ "targets": [address.to_string()], "labels": { "pod": pod } }]);
    fs::write(folder.join("targets.json.new"), targets.to_string()).unwrap();
    fs::rename(folder.join("targets.json.new"), folder.join("targets.json")).unwrap();
}

fn start(brokers: &str, folder: &Path, pod: &str) -> Running {
    let address = http::free_address();
    let state = format!("sqlite:{}", folder.join("state.db").display());
    let mut command = program(&["run", "--clock", "log", "--epoch-interval", "100ms", "--state", &state]);
    command.args(["--brokers", brokers, "--topic", TOPIC, "--dead-letter-topic", "events.dead-letters"]);
    command.args(["--listen", &address.to_string(), "--instance-id", pod]);
    let running = Running::start(command, &Arc::<Uptime>::default(), folder, pod).unwrap();
    place(folder, address, pod);
    running
}

/// The values of a label over the series of a name; "" where a series lacks it.
fn values(prometheus: &Prometheus, name: &str, label: &str) -> BTreeSet<String> {
    let series = prometheus.wait_for(&format!("series?match[]={name}"), Value::is_array);
    let value = |series: &Value| series[label].as_str().unwrap_or_default().to_owned();
    series.as_array().unwrap().iter().map(value).collect()
}

#[test]
fn dataflow_series_go_on_when_another_pod_shows_them() {
    let cluster = MockCluster::new(1).expect("a broker");
    for topic in [TOPIC, "events.dead-letters"] {
        cluster.create_topic(topic, 1, 1).expect("a topic");
    }
    let brokers = cluster.bootstrap_servers();
    let producer = producer(&brokers, &[]);
    let folder = tempfile::tempdir().unwrap();
    let targets = folder.path().join("targets.json");
    let jobs = format!(
        "- job_name: flow\n  file_sd_configs: [{{files: [{}], refresh_interval: 1s}}]\n  metric_relabel_configs:\n  {}",
        targets.display(),
        rules().replace('\n', "\n  ")
    );
    let Some(prometheus) = Prometheus::with_jobs(&jobs, folder.path()) else {
        eprintln!("SKIPPED: prometheus is not installed");
        return;
    };
    let counter = "gocdnext_flow_events_total{type=\"run.queued\"}";
    let counts = |wanted: &str| {
        prometheus.wait_for(&format!("query?query={}", encoded(counter)), |data| {
            data["result"].as_array().is_some_and(|all| all.iter().any(|one| one["value"][1] == wanted))
        });
    };
    send_runs(&producer, TOPIC, 0, 0..100);
    let first = start(&brokers, folder.path(), "flow-1");
    counts("100");
    first.terminate(PATIENCE).unwrap();
    send_runs(&producer, TOPIC, 0, 100..150);
    let second = start(&brokers, folder.path(), "flow-2");
    counts("150");

    let series = encoded(counter);
    let shown = prometheus.wait_for(&format!("series?match[]={series}"), Value::is_array);
    assert_eq!(shown.as_array().map(Vec::len), Some(1), "one series over both: {shown}");
    assert_eq!((&shown[0]["instance"], &shown[0]["pod"]), (&json!(RELEASE), &Value::Null));
    let resets = format!("query?query={}", encoded(&format!("resets({counter}[1h])")));
    let resets = prometheus.wait_for(&resets, |data| data["result"].as_array().is_some_and(|all| !all.is_empty()));
    assert_eq!(resets["result"][0]["value"][1], "0");
    assert_eq!(values(&prometheus, "gocdnext_job_duration_seconds_bucket", "instance"), [RELEASE.to_owned()].into());
    // what is the process's own stays the process's own
    let pods: BTreeSet<_> = ["flow-1", "flow-2"].map(str::to_owned).into();
    for own in ["process_resident_memory_bytes", "gocdnext_flow_records_total", "up"] {
        assert_eq!(values(&prometheus, own, "pod"), pods, "{own}");
        assert_eq!(values(&prometheus, own, "instance").len(), 2, "{own}");
    }
    second.terminate(PATIENCE).unwrap();
}

/// As a part of a URL.
fn encoded(query: &str) -> String {
    query.bytes().fold(String::new(), |text, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => text + &char::from(byte).to_string(),
        byte => format!("{text}%{byte:02X}"),
    })
}
