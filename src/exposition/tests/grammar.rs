//! Reads an exposition back, line by line, by the rules of its format, and holds it against them.

use super::{Format, published, render};
use dataflows::settings::Settings;
use std::collections::BTreeMap;

/// One sample line, read.
#[derive(Debug)]
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
    exemplar: Option<f64>,
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A quoted, escaped value and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.strip_prefix('"').expect("a quote opens a value").char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 2..]),
            '\\' => value.push(match chars.next().expect("an escape has a second character").1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                other => panic!("there is no escape \\{other}"),
            }),
            c => value.push(c),
        }
    }
    panic!("a quote closes a value: {text}")
}

/// `{a="x",b="y"}` and what follows it.
fn labels(mut text: &str) -> (Vec<(&str, String)>, &str) {
    let mut labels = Vec::new();
    while let Some(rest) = text.strip_prefix('{').or_else(|| text.strip_prefix(',')) {
        let (name, rest) = rest.split_once('=').expect("a label has a value");
        assert!(is_name(name), "{name}");
        let (value, rest) = quoted(rest);
        labels.push((name, value));
        text = rest;
    }
    (labels, text.strip_prefix('}').unwrap_or(text))
}

fn number(text: &str) -> f64 {
    assert!(!text.contains("inf"), "infinity is +Inf: {text}");
    text.parse().unwrap_or_else(|_| panic!("{text:?} is a number"))
}

fn sample(line: &str) -> Sample<'_> {
    let end = line.find(['{', ' ']).expect("a name ends");
    let (name, rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let (labels, rest) = labels(rest);
    let rest = rest.strip_prefix(' ').expect("a space before the value");
    let (value, exemplar) = match rest.split_once(" # ") {
        Some((value, exemplar)) => {
            let (trace, value_of) = self::labels(exemplar);
            let [("trace_id", id)] = &trace[..] else { panic!("{line}") };
            assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "{line}");
            (value, Some(number(value_of.trim_start())))
        }
        None => (rest, None),
    };
    Sample { name, labels, value: number(value), exemplar }
}

/// Buckets rise, exemplars lie in theirs, `+Inf` is the count.
fn check_histogram(name: &str, samples: &[Sample]) {
    let mut series: BTreeMap<Vec<(&str, String)>, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let plain = sample.labels.iter().filter(|(label, _)| *label != "le").cloned().collect();
        series.entry(plain).or_default().push(sample);
    }
    for samples in series.values() {
        let (mut below, mut count) = (f64::NEG_INFINITY, 0.0);
        for bucket in samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
            let bound = number(&bucket.labels.iter().find(|(label, _)| *label == "le").expect("le").1);
            assert!(bound > below && bucket.value >= count, "{bucket:?}");
            assert!(bucket.exemplar.is_none_or(|value| value > below && value <= bound), "{bucket:?}");
            (below, count) = (bound, bucket.value);
        }
        assert!(below.is_infinite(), "{name} ends with +Inf");
        let total = samples.iter().find(|sample| sample.name.ends_with("_count")).expect("_count");
        assert!((total.value - count).abs() < f64::EPSILON, "{name}: +Inf is the count");
        assert_eq!(samples.iter().filter(|sample| sample.name.ends_with("_sum")).count(), 1, "{name}");
    }
}

fn check_family(format: Format, name: &str, kind: &str, samples: &[Sample]) {
    let suffixes: &[&str] = match (kind, format) {
        ("counter", Format::OpenMetrics) => &["_total"],
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    for sample in samples {
        assert!(suffixes.iter().any(|suffix| sample.name.strip_suffix(suffix) == Some(name)), "{name}: {sample:?}");
        assert!(kind == "gauge" || sample.value >= 0.0, "{sample:?}");
    }
    if kind == "histogram" {
        check_histogram(name, samples);
    }
}

/// Every line by the rules; families whole, each once.
fn check(format: Format, text: &str) -> usize {
    let text = text.strip_suffix("# EOF\n").filter(|_| format == Format::OpenMetrics).unwrap_or(text);
    assert!(text.ends_with('\n') && !text.contains("\n\n") && !text.contains("EOF"));
    let mut families: BTreeMap<&str, (&str, Vec<Sample>)> = BTreeMap::new();
    let (mut current, mut seen) = ("", Vec::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            current = help.split_once(' ').expect("a help text").0;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let kind = kind.strip_prefix(current).expect("HELP and TYPE of one family").trim_start();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(current, (kind, Vec::new())).is_none(), "{current} comes once");
        } else {
            let sample = sample(line);
            let key = format!("{}{:?}", sample.name, sample.labels);
            seen.push(key);
            families.get_mut(current).expect("a family before its samples").1.push(sample);
        }
    }
    for (name, (kind, samples)) in &families {
        check_family(format, name, kind, samples);
    }
    let samples = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), samples, "no series comes twice");
    samples
}

#[test]
fn every_line_is_well_formed_in_both_formats() {
    let settings = Settings::default();
    let published = published(&settings);
    for format in [Format::Text, Format::OpenMetrics] {
        let text = render(&published, &settings, format, 12_000);
        assert!(check(format, &text) > 300, "the samples are there");
    }
}

#[test]
fn what_was_escaped_reads_back() {
    let settings = Settings::default();
    let text = render(&published(&settings), &settings, Format::Text, 0);
    let line = text.lines().find(|line| line.starts_with("gocdnext_flow_pipeline_info{")).unwrap();
    assert_eq!(sample(line).labels[2], ("slug", "deploy \"prod\"\\eu".to_owned()));
}

#[test]
#[should_panic(expected = "infinity is +Inf")]
fn the_check_finds_a_fault() {
    check(Format::Text, "# HELP a b\n# TYPE a gauge\na inf\n");
}
