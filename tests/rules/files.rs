//! The files as Prometheus and Grafana read them.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn prometheus(file: &str) -> PathBuf {
    root().join("deploy/prometheus").join(file)
}

pub fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files with cases of the rules.
pub fn cases() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(prometheus("tests")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// An alert of `alerts.yml`.
#[derive(Debug)]
pub struct Alert {
    pub name: String,
    pub expression: String,
    pub severity: String,
    pub annotations: BTreeMap<String, String>,
}

/// The elements of a list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn rules(file: &str) -> Vec<Value> {
    let groups = yaml(&prometheus(file));
    list(&groups["groups"]).iter().flat_map(|group| list(&group["rules"]).to_vec()).collect()
}

pub fn alerts() -> Vec<Alert> {
    let alert = |rule: Value| Alert {
        name: text(&rule["alert"]),
        expression: text(&rule["expr"]),
        severity: text(&rule["labels"]["severity"]),
        annotations: serde_json::from_value(rule["annotations"].clone()).unwrap_or_default(),
    };
    let alerts: Vec<Alert> = rules("alerts.yml").into_iter().map(alert).collect();
    assert!(alerts.len() > 10);
    alerts
}

/// Names and expressions of the recording rules.
pub fn recordings() -> Vec<(String, String)> {
    rules("recording.yml").iter().map(|rule| (text(&rule["record"]), text(&rule["expr"]))).collect()
}

/// The example queries of the metrics reference, each with its series.
pub fn reference() -> Vec<(String, String)> {
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let example = |section: &str| {
        let (name, body) = section.split_once('\n').unwrap();
        let query = body.split("```promql\n").nth(1)?.split("\n```").next()?;
        Some((format!("docs/metrics.md {name}"), query.to_owned()))
    };
    let examples: Vec<(String, String)> = page.split("\n### ").skip(1).filter_map(example).collect();
    assert!(examples.len() > 40, "{}", examples.len());
    examples
}

pub fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(root().join("docs/grafana/gocdnext.json")).unwrap()).unwrap()
}
