//! What promtool says of the files, and that its tests leave no alert out.

use crate::{
    files::{alerts, cases, list, prometheus, root, text, yaml},
    skipped,
};
use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

/// Whether it is content, and what it said. `None`: SKIPPED.
fn promtool(arguments: &[&str], files: &[PathBuf]) -> Option<(bool, String)> {
    match Command::new("promtool").args(arguments).args(files).current_dir(root()).output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skipped("there is no `promtool`; Debian: apt install prometheus");
            None
        }
        Err(error) => panic!("promtool does not start: {error}"),
    }
}

#[test]
fn the_rules_are_valid() {
    let Some((content, said)) =
        promtool(&["check", "rules"], &[prometheus("recording.yml"), prometheus("alerts.yml")])
    else {
        return;
    };
    assert!(content, "{said}");
}

#[test]
fn the_rules_do_what_their_cases_say() {
    let Some((content, said)) = promtool(&["test", "rules"], &cases()) else { return };
    assert!(content, "{said}");
}

#[test]
fn the_static_scrape_configuration_is_valid() {
    let Some((content, said)) = promtool(&["check", "config"], &[prometheus("scrape-static.yml")]) else { return };
    assert!(content, "{said}");
}

#[test]
fn the_scrape_configuration_for_kubernetes_is_valid() {
    let file = prometheus("scrape-kubernetes.yml");
    let job = yaml(&file)["scrape_configs"][0].clone();
    assert_eq!(job["kubernetes_sd_configs"][0]["role"], "service");
    let keeps = |label: &str, value: &str| {
        list(&job["relabel_configs"])
            .iter()
            .any(|rule| rule["source_labels"][0] == label && rule["action"] == "keep" && rule["regex"] == value)
    };
    assert!(keeps("__meta_kubernetes_service_name", "gocdnext-server"));
    assert!(keeps("__meta_kubernetes_service_port_name", "http"));
    let Some((content, said)) = promtool(&["check", "config"], std::slice::from_ref(&file)) else { return };
    if !said.contains("kubernetes_sd_configs not found") {
        assert!(content, "{said}");
        return;
    }
    skipped("this promtool knows no Kubernetes; Debian's does not; all but kubernetes_sd_configs is checked");
    let folder = tempfile::tempdir().unwrap();
    let rest = fs::read_to_string(&file).unwrap().replace("kubernetes_sd_configs:", "file_sd_configs:");
    let rest =
        rest.replace("role: service", "files: [targets.json]").replace("  - recording.yml\n  - alerts.yml\n", "");
    let copy = folder.path().join("prometheus.yml");
    fs::write(&copy, rest).unwrap();
    let (content, said) = promtool(&["check", "config"], &[copy]).unwrap();
    assert!(content, "{said}");
}

/// The alerts that cases expect to fire, and those that cases expect not to.
fn expected() -> [BTreeSet<String>; 2] {
    let mut expected = [BTreeSet::new(), BTreeSet::new()];
    for file in cases() {
        assert!(rule_files_are_ours(&file));
        let cases = yaml(&file);
        for check in list(&cases["tests"]).iter().flat_map(|case| list(&case["alert_rule_test"])) {
            let silent = list(&check["exp_alerts"]).is_empty();
            expected[usize::from(silent)].insert(text(&check["alertname"]));
        }
    }
    expected
}

fn rule_files_are_ours(cases: &Path) -> bool {
    let files: Vec<String> = list(&yaml(cases)["rule_files"]).iter().map(text).collect();
    files == ["../recording.yml", "../alerts.yml"]
}

#[test]
fn every_alert_has_a_case_that_fires_and_one_that_does_not() {
    let names: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    let [firing, silent] = expected();
    assert_eq!(firing, names, "alerts with a case that fires");
    assert_eq!(silent, names, "alerts with a case that does not");
}
