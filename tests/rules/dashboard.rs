//! The dashboard's JSON: whole, and the same on every Grafana.

use crate::{
    files::{dashboard, list, root, text},
    promql::names_a_bucket,
    runbooks::BASE,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A query, and the panel it is in.
pub fn queries() -> Vec<(String, String)> {
    let queries = panels().into_iter().flat_map(|panel| {
        let title = text(&panel["title"]);
        let expressions: Vec<String> = list(&panel["targets"]).iter().map(|target| text(&target["expr"])).collect();
        expressions.into_iter().map(move |expression| (title.clone(), expression))
    });
    queries.collect()
}

fn panels() -> Vec<Value> {
    let panels = list(&dashboard()["panels"]).to_vec();
    let panels: Vec<Value> = panels.into_iter().filter(|panel| panel["type"] != "row").collect();
    assert!(panels.len() > 20);
    panels
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_from_where() {
    let datasource = json!({"type": "prometheus", "uid": "${datasource}"});
    let mut ids = BTreeSet::new();
    for panel in panels() {
        let title = text(&panel["title"]);
        assert!(!title.is_empty());
        assert!(text(&panel["description"]).len() > 10, "{title}: description");
        assert!(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "{title}: unit");
        assert_eq!(panel["datasource"], datasource, "{title}");
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "{title}: its id is taken");
        assert!(!list(&panel["targets"]).is_empty(), "{title}: queries");
        for target in list(&panel["targets"]) {
            assert_eq!(target["datasource"], datasource, "{title}");
            assert!(!names_a_bucket(&text(&target["expr"])), "{title}: a bucket by its bound");
        }
    }
}

#[test]
fn panels_do_not_overlap() {
    let mut taken = BTreeSet::new();
    for panel in list(&dashboard()["panels"]) {
        let grid = |side: &str| panel["gridPos"][side].as_i64().unwrap();
        assert!(grid("x") + grid("w") <= 24, "{}", panel["title"]);
        for (x, y) in
            (grid("x")..grid("x") + grid("w")).flat_map(|x| (grid("y")..grid("y") + grid("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert((x, y)), "{} lies on another", panel["title"]);
        }
    }
}

#[test]
fn its_variables_are_a_datasource_and_projects() {
    let dashboard = dashboard();
    let variables: Vec<(String, String)> = list(&dashboard["templating"]["list"])
        .iter()
        .map(|variable| (text(&variable["name"]), text(&variable["type"])))
        .collect();
    let wanted = [("datasource", "datasource"), ("project", "query")];
    assert_eq!(variables, wanted.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    assert_eq!(dashboard["id"], Value::Null, "a new one wherever it is imported");
}

#[test]
fn its_links_lead_to_runbooks() {
    let dashboard = dashboard();
    let links = panels().iter().flat_map(|panel| list(&panel["links"]).to_vec()).collect::<Vec<_>>();
    assert!(links.len() > 20);
    for link in links.iter().chain(list(&dashboard["links"])) {
        let url = text(&link["url"]);
        let page = url.strip_prefix(BASE).unwrap_or_else(|| panic!("{url}"));
        assert!(root().join("docs/runbooks").join(page).exists(), "{url}");
    }
}
