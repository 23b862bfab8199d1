//! Each alert says how bad it is, in words what is wrong, and where its runbook is; the runbooks are whole.

use crate::{
    files::{alerts, recordings, root},
    promql::names_a_bucket,
};
use std::{collections::BTreeSet, fs};

/// Where the runbooks are published.
pub const BASE: &str = "https://gocdnext.io/flow/runbooks/";

#[test]
fn every_alert_says_what_is_wrong_and_where_its_runbook_is() {
    for alert in alerts() {
        let name = &alert.name;
        assert!(["critical", "warning"].contains(&alert.severity.as_str()), "{name}: {}", alert.severity);
        for annotation in ["summary", "description"] {
            assert!(alert.annotations.get(annotation).is_some_and(|text| text.len() > 10), "{name}: {annotation}");
        }
        assert_eq!(alert.annotations["runbook_url"], format!("{BASE}{name}.md"));
        let page = fs::read_to_string(root().join(format!("docs/runbooks/{name}.md")));
        let page = page.unwrap_or_else(|error| panic!("the runbook of {name}: {error}"));
        assert!(page.starts_with(&format!("# {name}\n\n")), "{name}: its title");
        assert!(page.contains("\n## See why\n") && page.contains("\n## What to do\n"), "{name}: its parts");
    }
}

#[test]
fn the_lists_of_runbooks_and_of_alerts_are_those_of_the_rules() {
    let names: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    let pages = fs::read_dir(root().join("docs/runbooks")).unwrap();
    let pages = pages.map(|page| page.unwrap().file_name().into_string().unwrap().replace(".md", ""));
    assert_eq!(pages.filter(|page| page != "README").collect::<BTreeSet<_>>(), names);
    let index = fs::read_to_string(root().join("docs/runbooks/README.md")).unwrap();
    for alert in alerts() {
        let row = format!("| [{0}]({0}.md) | {1} |", alert.name, alert.severity);
        assert!(index.contains(&row), "{row}");
    }
}

/// Their expressions, word by word; only a guard may follow.
#[test]
fn the_alerts_of_gocdnext_are_what_they_were() {
    let share = "sum(rate(gocdnext_job_duration_seconds_count{status=\"failed\"}[10m])) \
                 / sum(rate(gocdnext_job_duration_seconds_count[10m])) > 0.3";
    let theirs = [
        ("GocdnextHighQueueDepth", "sum(gocdnext_queue_depth{stage_status=\"queued\"}) > 10"),
        ("GocdnextJobFailureSpike", share),
        ("GocdnextNoAgents", "sum(gocdnext_agents_online) == 0"),
        ("GocdnextLogArchiveFailing", "increase(gocdnext_log_archive_jobs_total{result=\"failed\"}[1h]) > 5"),
    ];
    let alerts = alerts();
    for (name, expression) in theirs {
        let alert = alerts.iter().find(|alert| alert.name == name).unwrap();
        let dense = alert.expression.split_whitespace().collect::<Vec<_>>().join(" ");
        let guard = dense.strip_prefix(expression).unwrap_or_else(|| panic!("{name}: {dense}"));
        assert!(guard.starts_with(" unless on() (") && guard.contains("gocdnext_flow_caught_up"), "{name}: {guard}");
    }
}

#[test]
fn rules_ask_for_no_bucket_by_its_bound_and_recordings_are_named_by_what_they_are() {
    for (name, expression) in recordings() {
        assert!(!names_a_bucket(&expression), "{name}: {expression}");
        assert_eq!(name.split(':').filter(|part| !part.is_empty()).count(), 3, "LEVEL:METRIC:OPERATIONS, not {name}");
    }
    for alert in alerts() {
        assert!(!names_a_bucket(&alert.expression), "{}", alert.name);
    }
}
