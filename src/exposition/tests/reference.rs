//! docs/metrics.md against what is written: every family, its type and its labels, and nothing else; and the other places in
//! which every series has to have its say.

use super::{Format, relabelling::whole, render};
use dataflows::settings::Settings;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

const FILE: &str = "docs/metrics.md";

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// Those of event quality are ruled where their events are.
#[test]
fn every_series_of_the_dataflow_has_its_rule() {
    let rules = read("docs/rules.md");
    for family in dataflows::series::CATALOGUE {
        let name = family.name.strip_prefix("gocdnext_").unwrap();
        assert!(name.starts_with("flow_") || rules.contains(name), "docs/rules.md has no rule for {}", family.name);
    }
}

#[test]
fn every_series_of_the_dataflow_is_on_the_dashboard() {
    let dashboard = read("docs/grafana/gocdnext.json");
    for family in dataflows::series::CATALOGUE {
        assert!(dashboard.contains(family.name), "docs/grafana/gocdnext.json has no panel for {}", family.name);
    }
}

/// A family's type and labels.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    kind: String,
    labels: BTreeSet<String>,
}

/// The families of an exposition; `le` belongs to every histogram and is no label of its own.
fn written() -> BTreeMap<String, Shape> {
    let settings = Settings::default();
    let (published, snapshot) = whole(&settings);
    published.snapshot.store(Some(Arc::new(snapshot)));
    let text = render(&published, &settings, Format::Text, 12_000);
    let mut families = BTreeMap::<String, Shape>::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix("# TYPE ") {
            let (name, kind) = header.split_once(' ').unwrap();
            family = name.to_owned();
            families.insert(family.clone(), Shape { kind: kind.to_owned(), ..Shape::default() });
        } else if !line.starts_with('#') {
            let shape = families.get_mut(&family).unwrap();
            let sample = line.strip_prefix(&family).unwrap();
            let labels = sample.split_once('{').map_or("", |(_, labels)| labels);
            let names = labels.split("=\"").map(|part| part.rsplit(['{', ',', '"']).next().unwrap());
            let names = names.filter(|name| !name.contains(['}', ' ']) && *name != "le" && !name.is_empty());
            shape.labels.extend(names.map(str::to_owned));
        }
    }
    families
}

/// What the page says: a heading with the name, then type and labels up to the first full stop.
fn documented(page: &str) -> BTreeMap<String, Shape> {
    let mut families = BTreeMap::new();
    for section in page.split("\n### ").skip(1) {
        let (heading, body) = section.split_once('\n').unwrap();
        let name = heading.trim_matches('`').to_owned();
        let shape = body.trim_start().split('.').next().unwrap();
        let (kind, labels) = shape.split_once(" by ").unwrap_or((shape, ""));
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let shape = Shape { kind: kind.to_lowercase(), labels: labels.filter(|label| !label.is_empty()).collect() };
        assert!(body.contains("\n**Moves** "), "{name}: when does it move?");
        let query = body.split("```promql\n").nth(1).unwrap_or_else(|| panic!("{name}: an example query"));
        assert!(query.contains(&name), "{name}: its query asks for something else");
        assert!(families.insert(name.clone(), shape).is_none(), "{name} is there twice");
    }
    families
}

/// On a runtime, since its figures are part of the exposition.
#[tokio::test]
async fn the_metrics_reference_is_what_is_written() {
    let (written, documented) = (written(), documented(&read(FILE)));
    assert!(written.contains_key("process_open_fds") && written.contains_key("gocdnext_flow_tokio_workers"));
    for (name, shape) in &written {
        assert_eq!(documented.get(name), Some(shape), "{FILE}: {name} (left) is not what is written (right)");
    }
    for name in documented.keys() {
        assert!(written.contains_key(name), "{FILE}: {name} does not exist");
    }
}
