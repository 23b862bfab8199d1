//! A real Prometheus, and promtool, where they are installed.

#![allow(dead_code, reason = "each test program uses a part of it")]

use super::http::{free_address, get};
use serde_json::{Value, json};
use std::{
    io::{ErrorKind, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What it is asked for comes in seconds; on a busy machine in many.
const PATIENCE: Duration = Duration::from_mins(2);

/// Ends with the test.
pub struct Prometheus {
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
    /// Scrapes one target; `None` where it is not installed.
    pub fn start(target: SocketAddr, folder: &Path) -> Option<Self> {
        Self::with_jobs(&format!("- {{job_name: flow, static_configs: [{{targets: [\"{target}\"]}}]}}"), folder)
    }

    /// With scrape jobs, as a list in YAML; `None` where it is not installed.
    pub fn with_jobs(jobs: &str, folder: &Path) -> Option<Self> {
        let scrape = format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{jobs}\n");
        Self::configured(&scrape, folder)
    }

    /// Scrapes targets as the job of `deploy/prometheus` and works rules off, both every second; `None` where it is not
    /// installed.
    pub fn with_rules(targets: &[SocketAddr], rules: &[&Path], folder: &Path) -> Option<Self> {
        let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
        // JSON is YAML
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": rules,
            "scrape_configs": [{"job_name": "gocdnext-flow", "static_configs": [{"targets": targets}]}],
        });
        Self::configured(&config.to_string(), folder)
    }

    fn configured(text: &str, folder: &Path) -> Option<Self> {
        let config = folder.join("prometheus.yml");
        std::fs::write(&config, text).unwrap();
        let address = free_address();
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--enable-feature=exemplar-storage", "--scrape.discovery-reload-interval=500ms"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(process) => Some(Self { process, address }),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => panic!("prometheus does not start: {error}"),
        }
    }

    /// What an expression gives now: each series with its value. The error is Prometheus's own.
    pub fn query(&self, expression: &str) -> Result<Vec<(Value, String)>, String> {
        let path = format!("/api/v1/query?query={}", encoded(expression));
        let (_, answer) = get(self.address, &path, PATIENCE).map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))?;
        let data = &answer["data"];
        let value = |pair: &Value| pair[1].as_str().unwrap_or_default().to_owned();
        match (answer["status"].as_str(), data["resultType"].as_str(), &data["result"]) {
            (Some("success"), Some("vector"), Value::Array(series)) => {
                Ok(series.iter().map(|one| (one["metric"].clone(), value(&one["value"]))).collect())
            }
            (Some("success"), Some("scalar"), pair) => Ok(vec![(Value::Null, value(pair))]),
            _ => Err(format!("{expression}: {answer}")),
        }
    }

    /// `data` of an API's answer; `None` while there is none.
    fn api(&self, path: &str) -> Option<Value> {
        let (_, answer) = get(self.address, &format!("/api/v1/{path}"), PATIENCE).ok()?;
        let mut answer: Value = serde_json::from_str(&answer).ok()?;
        Some(answer["data"].take())
    }

    /// The first answer that satisfies.
    pub fn wait_for(&self, path: &str, enough: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < until {
            last = self.api(path);
            match last {
                Some(data) if enough(&data) => return data,
                _ => thread::sleep(Duration::from_millis(200)),
            }
        }
        panic!("prometheus has nothing at {path} but {last:?}")
    }
}

/// As it stands in an address.
fn encoded(text: &str) -> String {
    let byte =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

/// `promtool check metrics` must have nothing to say.
pub fn promtool_check(exposition: &str) {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match started {
        Ok(promtool) => promtool,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: promtool is not installed (Debian: apt-get install prometheus)");
            return;
        }
        Err(error) => panic!("promtool does not start: {error}"),
    };
    promtool.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
