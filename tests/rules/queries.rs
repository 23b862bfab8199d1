//! Every query of the dashboard, of the rules and of the metrics reference, on a real Prometheus that has scraped a running demo.

use crate::{
    dashboard,
    files::{alerts, prometheus as file, recordings, reference},
    process::Demo,
    prometheus::Prometheus,
    promql::bare,
    skipped,
};
use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

/// Until Prometheus has scraped twice and worked its rules off; on a busy machine long.
const PATIENCE: Duration = Duration::from_mins(5);

/// Grafana's variables as it would fill them in.
fn filled(expression: &str) -> String {
    let filled = expression.replace("$__rate_interval", "30s").replace("$__range", "5m").replace("$project", ".*");
    assert!(!filled.contains('$'), "{filled}");
    filled
}

fn all() -> Vec<(String, String)> {
    let alerts = alerts().into_iter().flat_map(|alert| {
        let parts = bare(&alert.expression);
        parts.into_iter().map(move |part| (alert.name.clone(), part))
    });
    let recorded =
        recordings().into_iter().flat_map(|(name, expression)| [(name.clone(), name.clone()), (name, expression)]);
    let panels = dashboard::queries().into_iter().map(|(panel, query)| (format!("panel {panel}"), filled(&query)));
    alerts.chain(recorded).chain(panels).chain(reference()).collect()
}

/// Why a query has no answer yet, if it has none.
fn trouble(prometheus: &Prometheus, query: &str) -> Option<String> {
    match prometheus.query(query) {
        Err(error) => Some(error),
        Ok(found) if found.iter().any(|(_, value)| value != "NaN") => None,
        Ok(found) => Some(format!("{query} gives {found:?}")),
    }
}

#[test]
fn every_query_has_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(&["--speed", "60"]);
    demo.wait_for_series("gocdnext_jobs_scheduled_total{", 1.0);
    let Some(prometheus) = Prometheus::with_rules(&[demo.address], &[&file("recording.yml")], folder.path()) else {
        return skipped("there is no `prometheus`; Debian: apt install prometheus");
    };
    let mut left = all();
    assert!(left.len() > 120, "{}", left.len());
    let until = Instant::now() + PATIENCE;
    while !left.is_empty() {
        let troubles: BTreeMap<String, String> =
            left.iter().filter_map(|(of, query)| Some((of.clone(), trouble(&prometheus, query)?))).collect();
        left.retain(|(of, _)| troubles.contains_key(of));
        assert!(Instant::now() < until, "in error or empty: {troubles:#?}");
        demo.must_live();
        thread::sleep(Duration::from_secs(1));
    }
    demo.terminate();
}
