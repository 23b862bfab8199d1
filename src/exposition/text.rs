//! The text formats: Prometheus 0.0.4 and OpenMetrics 1.0.
//!
//! They differ in the names of counters' families, in how `le` is written, in exemplars, and in the last line.

use super::{Buckets, Format, Label, Value, Writer};
use dataflows::{
    series::{Exemplar, Family, SeriesType},
    time::Millis,
};
use std::fmt::Write;

/// Text being written.
#[derive(Debug)]
pub(super) struct Text {
    out: String,
    format: Format,
}

impl Text {
    pub(super) fn new(format: Format, expected_bytes: usize) -> Self {
        Self { out: String::with_capacity(expected_bytes), format }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    /// `# HELP` and `# TYPE`.
    pub(super) fn header(&mut self, name: &str, kind: SeriesType, help: &str) {
        let counter = kind == SeriesType::Counter && self.format == Format::OpenMetrics;
        let name = if counter { name.strip_suffix("_total").unwrap_or(name) } else { name };
        let kind = match kind {
            SeriesType::Counter => "counter",
            SeriesType::Gauge => "gauge",
            SeriesType::Histogram => "histogram",
        };
        self.put(&["# HELP ", name, " "]);
        escape(&mut self.out, help, self.format == Format::OpenMetrics);
        self.put(&["\n# TYPE ", name, " ", kind, "\n"]);
    }

    pub(super) fn line(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: Value) {
        self.name_and_labels(name, suffix, labels, None);
        self.value(value);
        self.out.push('\n');
    }

    /// One cumulative bucket.
    pub(super) fn bucket(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        bound: &str,
        count: u64,
        exemplar: Option<Exemplar>,
    ) {
        self.name_and_labels(name, "_bucket", labels, Some(bound));
        self.value(Value::Count(count));
        if let Some(exemplar) = exemplar.filter(|_| self.format == Format::OpenMetrics) {
            self.written(format_args!(" # {{trace_id=\"{:032x}\"}} ", exemplar.trace));
            self.value(Value::Millis(exemplar.value_ms));
        }
        self.out.push('\n');
    }

    /// A bucket's bound as it is written in this format: OpenMetrics has floats, text has the shortest form.
    pub(super) fn bound(&self, seconds: &str) -> String {
        let whole = !seconds.contains(['.', 'e', 'I']);
        if whole && self.format == Format::OpenMetrics { format!("{seconds}.0") } else { seconds.to_owned() }
    }

    fn name_and_labels(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>) {
        self.put(&[name, suffix]);
        let bound = bound.map(|bound| ("le", bound));
        let mut before = "{";
        for (label, value) in labels.iter().copied().chain(bound) {
            self.put(&[before, label, "=\""]);
            escape(&mut self.out, value, true);
            self.out.push('"');
            before = ",";
        }
        self.out.push_str(if before == "," { "} " } else { " " });
    }

    fn value(&mut self, value: Value) {
        match value {
            Value::Count(count) => self.out.push_str(itoa::Buffer::new().format(count)),
            Value::Level(level) => self.out.push_str(itoa::Buffer::new().format(level)),
            Value::Millis(ms) => self.out.push_str(&seconds(ms)),
            Value::Float(float) => self.float(float),
        }
    }

    /// Infinities as the formats spell them; Rust's differ.
    fn float(&mut self, float: f64) {
        if float.is_infinite() {
            self.out.push_str(if float > 0.0 { "+Inf" } else { "-Inf" });
        } else {
            self.written(format_args!("{float}"));
        }
    }

    fn put(&mut self, parts: &[&str]) {
        for part in parts {
            self.out.push_str(part);
        }
    }

    fn written(&mut self, arguments: std::fmt::Arguments) {
        // writing to a String cannot fail
        let _ = self.out.write_fmt(arguments);
    }
}

/// Whole milliseconds as seconds, exactly: `1.5`, `0.001`, `-2`.
pub(super) fn seconds(ms: Millis) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    let fraction = format!(".{:03}", ms % 1000);
    format!("{sign}{}{}", ms / 1000, fraction.trim_end_matches('0').trim_end_matches('.'))
}

/// Backslash and line feed, and in label values (and OpenMetrics help) quotes, are escaped.
fn escape(out: &mut String, text: &str, quotes: bool) {
    if !text.contains(['\\', '\n', '"']) {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

impl Writer for Text {
    fn family(&mut self, family: &Family) {
        self.header(family.name, family.kind, family.help);
    }

    fn sample(&mut self, family: &Family, labels: &[Label], value: Value) {
        self.line(family.name, "", labels, value);
    }

    fn histogram(&mut self, family: &Family, labels: &[Label], buckets: &Buckets) {
        let mut count = 0;
        let bounds = buckets.bounds_ms.iter().map(|bound| seconds(*bound)).chain(["+Inf".to_owned()]);
        for ((bound, more), exemplar) in bounds.zip(buckets.counts).zip(buckets.exemplars) {
            count += more;
            let bound = self.bound(&bound);
            self.bucket(family.name, labels, &bound, count, *exemplar);
        }
        self.line(family.name, "_sum", labels, Value::Millis(buckets.sum_ms));
        self.line(family.name, "_count", labels, Value::Count(count));
    }
}
