//! The process around the settings, behind a trait, so that no test needs a real environment.

use super::{fault::Origin, read::Given, table::Setting, value::Raw};
use std::{io, path::Path};

/// Variables that start so are settings.
pub const PREFIX: &str = "GOCDNEXT_FLOW_";
/// The path of the TOML file.
pub const CONFIG_VARIABLE: &str = "GOCDNEXT_FLOW_CONFIG";
/// Read when the program is built, not when it runs.
const BUILD_VARIABLE: &str = "GOCDNEXT_FLOW_REVISION";
/// Where a debug build is to pause; a release knows no such variable.
#[cfg(debug_assertions)]
pub const PAUSE_VARIABLE: &str = "GOCDNEXT_FLOW_PAUSE_AT";

/// What the loader asks the process for.
pub trait Surroundings {
    fn variables(&self) -> Vec<(String, String)>;
    fn read(&self, path: &Path) -> io::Result<String>;
    fn host_name(&self) -> String;
}

/// The real one.
#[derive(Clone, Copy, Debug)]
pub struct Process;

impl Surroundings for Process {
    fn variables(&self) -> Vec<(String, String)> {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect()
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn host_name(&self) -> String {
        let read = |path| std::fs::read_to_string(path).map(|name| name.trim().to_owned()).ok();
        let known = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname"));
        known.filter(|name| !name.is_empty()).unwrap_or_else(|| "gocdnext-flow".to_owned())
    }
}

/// The settings among `variables`, in order of name.
pub(super) fn given(variables: Vec<(String, String)>) -> Vec<Given> {
    let mut given: Vec<_> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX) && !is_no_setting(name))
        .filter(|(name, value)| !is_service_link(&name[PREFIX.len()..], value))
        .map(|(variable, value)| Given {
            name: setting_name(&variable),
            value: Raw::Text(value),
            origin: Origin::Variable(variable),
        })
        .collect();
    given.sort_by(|a, b| a.name.cmp(&b.name));
    given
}

fn is_no_setting(name: &str) -> bool {
    #[cfg(debug_assertions)]
    if name == PAUSE_VARIABLE {
        return true;
    }
    name == CONFIG_VARIABLE || name == BUILD_VARIABLE
}

/// `GOCDNEXT_FLOW_JOB_TTL` is `job_ttl`; `GOCDNEXT_FLOW_KAFKA_A_B` is librdkafka's `a.b`, unless a setting is named so.
fn setting_name(variable: &str) -> String {
    let name = variable[PREFIX.len()..].to_ascii_lowercase();
    match name.strip_prefix("kafka_") {
        Some(property) if Setting::find(&name).is_none() => format!("kafka.{}", property.replace('_', ".")),
        _ => name,
    }
}

/// Kubernetes puts `NAME_SERVICE_HOST`, `NAME_PORT=tcp://…`, `NAME_PORT_8153_TCP_ADDR` and the like into every pod beside
/// a Service; for a Service called gocdnext-flow they look like settings and are none.
fn is_service_link(rest: &str, value: &str) -> bool {
    let service = rest.ends_with("SERVICE_HOST") || rest.contains("SERVICE_PORT");
    let address = (rest == "PORT" || rest.ends_with("_PORT")) && value.contains("://");
    service || address || is_port_of_service(rest)
}

/// `[NAME_]PORT_8153_TCP`, alone or with what is told of it.
fn is_port_of_service(rest: &str) -> bool {
    let bare = ["_ADDR", "_PORT", "_PROTO"].iter().find_map(|what| rest.strip_suffix(what)).unwrap_or(rest);
    let mut words = bare.rsplit('_');
    let (protocol, number, port) = (words.next(), words.next(), words.next());
    let is_number = number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    matches!(protocol, Some("TCP" | "UDP" | "SCTP")) && is_number && port == Some("PORT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::SETTINGS;

    fn names(variables: &[&str]) -> Vec<String> {
        let variables = variables.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        given(variables).into_iter().map(|given| given.name).collect()
    }

    #[test]
    fn variables_name_settings_and_librdkafka_properties() {
        let found = names(&[
            "GOCDNEXT_FLOW_JOB_TTL",
            "GOCDNEXT_FLOW_KAFKA_SASL_PASSWORD",
            "GOCDNEXT_FLOW_KAFKA_QUEUE_BYTES",
            "GOCDNEXT_FLOW_CONFIG",
            "PATH",
        ]);
        assert_eq!(found, ["job_ttl", "kafka.sasl.password", "kafka_queue_bytes"]);
    }

    #[test]
    fn service_links_of_kubernetes_are_no_settings() {
        let links = [
            "GOCDNEXT_FLOW_SERVICE_HOST",
            "GOCDNEXT_FLOW_SERVICE_PORT_HTTP",
            "GOCDNEXT_FLOW_SERVICE_PORT",
            "GOCDNEXT_FLOW_PORT_8153_TCP_ADDR",
            "GOCDNEXT_FLOW_PORT_8153_TCP_PORT",
            "GOCDNEXT_FLOW_KAFKA_SERVICE_HOST",
            "GOCDNEXT_FLOW_KAFKA_PORT_9092_TCP",
        ];
        assert_eq!(names(&links), Vec::<String>::new());
        for link in ["PORT", "KAFKA_PORT"] {
            assert!(is_service_link(link, "tcp://10.0.0.1:8153"), "{link}");
        }
        for setting in SETTINGS {
            assert!(!is_service_link(&setting.name.to_ascii_uppercase(), "tcp://a:1"), "{}", setting.name);
        }
    }

    #[test]
    fn a_port_that_people_give_is_told_of_rather_than_passed_over() {
        assert_eq!(names(&["GOCDNEXT_FLOW_PORT", "GOCDNEXT_FLOW_LISTEN_PORT"]), ["listen_port", "port"]);
    }
}
