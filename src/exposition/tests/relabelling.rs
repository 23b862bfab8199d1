//! deploy/helm/files/metric-relabelings.yaml, written from what the exposition writes: which series are the dataflow's,
//! so that they can be made one series over every process that shows them in turn.

use super::{
    super::{Buckets, Label, Value, Writer, dataflow, own, retention, text::Text},
    Format, published,
};
use crate::published::Published;
use dataflows::{
    registry::Snapshot,
    retention::{Figures, Shown},
    series::Family,
    settings::Settings,
};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering::Relaxed},
};

const FILE: &str = "deploy/helm/files/metric-relabelings.yaml";
const HEAD: &str = "\
# Written from what /metrics shows by `./dev docs`. Do not edit.
#
# Rules for a ServiceMonitor's metricRelabelings: the dataflow series, and only those, belong to the release, whichever
# process shows them. servicemonitor.yaml adds the replacement of `instance`; without one a label becomes what the
# regex has captured, which is nothing: it goes.
";

/// The families that are written, in their order.
#[derive(Default)]
struct Families(Vec<&'static str>);

impl Writer for Families {
    fn family(&mut self, family: &Family) {
        self.0.push(family.name);
    }

    fn sample(&mut self, _: &Family, _: &[Label], _: Value) {}

    fn histogram(&mut self, _: &Family, _: &[Label], _: &Buckets) {}
}

/// A snapshot in which every dataflow series there is can be shown.
pub(super) fn whole(settings: &Settings) -> (Arc<Published>, Snapshot) {
    let published = published(settings);
    published.own.outbox.store(3, Relaxed);
    let mut snapshot = Snapshot::clone(&published.shown().unwrap());
    let figures = Figures { partitions: Some(<_>::default()), ..Figures::default() };
    snapshot.retention = Some(Arc::new(Shown::restored(figures)));
    (published, snapshot)
}

fn write(published: &Published, snapshot: &Snapshot, settings: &Settings, out: &mut impl Writer) {
    dataflow::write(snapshot, settings, &published.names, out);
    retention::write(snapshot, out);
}

fn regex() -> String {
    let settings = Settings::default();
    let (published, snapshot) = whole(&settings);
    let mut families = Families::default();
    write(&published, &snapshot, &settings, &mut families);
    format!("(?:{})(?:_bucket|_sum|_count)?", families.0.join("|"))
}

fn file() -> String {
    let regex = regex();
    ["instance", "pod"].iter().fold(HEAD.to_owned(), |mut text, label| {
        let _ = write!(text, "- sourceLabels: [__name__]\n  regex: {regex}\n  targetLabel: {label}\n");
        text
    })
}

/// The names of the samples in an exposition.
fn samples(text: Text) -> BTreeSet<String> {
    let text = text.finish();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned()).collect()
}

/// The names that the regex takes, as `grep -E` reads it.
fn taken(names: &BTreeSet<String>) -> BTreeSet<String> {
    // POSIX has groups that capture only
    let pattern = regex().replace("(?:", "(");
    let grep = Command::new("grep").args(["-Ex", &pattern]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut grep = grep.unwrap();
    let lines = names.iter().fold(String::new(), |text, name| text + name + "\n");
    grep.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = grep.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn relabelling_takes_the_dataflow_series_and_no_others() {
    let settings = Settings::default();
    let (published, snapshot) = whole(&settings);
    let mut text = Text::new(Format::Text, 0);
    write(&published, &snapshot, &settings, &mut text);
    let dataflow = samples(text);
    assert!(dataflow.len() > dataflows::series::CATALOGUE.len());
    assert_eq!(taken(&dataflow), dataflow);
    let mut text = Text::new(Format::Text, 0);
    own::write(&published, Some(&snapshot), 12_000, &mut text);
    let own = samples(text);
    assert!(own.contains("gocdnext_flow_committed_epoch") && own.contains("process_open_fds"), "{own:?}");
    assert_eq!(taken(&own), BTreeSet::new());
}

/// `UPDATE_DOCS=1` rewrites the file.
#[test]
fn relabelling_of_the_chart_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, file()).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == file(), "{FILE} is old: ./dev docs");
}
