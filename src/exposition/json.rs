//! The snapshot as JSON for programs that do not scrape.
//!
//! `{"epoch": .., "stream_time": "RFC 3339", "series": {"NAME": [{"labels": {..}, "value": ..}, ..], ..}}`;
//! a histogram's value is `{"buckets": {"LE": cumulative count, ..}, "sum": seconds, "count": ..}`.
//! Written as text straight away: a tree of 100,000 series would hold many times the memory of its text.

use super::{Buckets, Label, Value, Writer, text::seconds};
use dataflows::{registry::Snapshot, series::Family};
use serde_json::Value as Tree;
use std::fmt::Write;

/// JSON being written; between families and samples it ends where a comma or a bracket is due.
#[derive(Debug)]
pub(super) struct Json {
    out: String,
    families: usize,
    samples: usize,
}

impl Json {
    pub(super) fn new(snapshot: Option<&Snapshot>) -> Self {
        let epoch = Tree::from(snapshot.map(|snapshot| snapshot.epoch.0));
        let time = snapshot.and_then(|snapshot| jiff::Timestamp::from_millisecond(snapshot.stream_time.0).ok());
        let time = Tree::from(time.map(|time| time.to_string()));
        Self { out: format!(r#"{{"epoch":{epoch},"stream_time":{time},"series":{{"#), families: 0, samples: 0 }
    }

    pub(super) fn finish(mut self) -> String {
        self.out.push_str(if self.families > 0 { "]}}" } else { "}}" });
        self.out
    }

    /// A sample up to its value.
    fn start(&mut self, labels: &[Label]) {
        self.out.push_str(if self.samples > 0 { r#",{"labels":{"# } else { r#"{"labels":{"# });
        self.samples += 1;
        for (index, (name, value)) in labels.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            self.written(format_args!("{comma}\"{name}\":{}", Tree::from(*value)));
        }
        self.out.push_str(r#"},"value":"#);
    }

    fn written(&mut self, arguments: std::fmt::Arguments) {
        // writing to a String cannot fail
        let _ = self.out.write_fmt(arguments);
    }
}

impl Writer for Json {
    fn family(&mut self, family: &Family) {
        let before = if self.families > 0 { "]," } else { "" };
        self.written(format_args!("{before}\"{}\":[", family.name));
        self.families += 1;
        self.samples = 0;
    }

    fn sample(&mut self, _family: &Family, labels: &[Label], value: Value) {
        self.start(labels);
        match value {
            Value::Count(count) => self.written(format_args!("{count}}}")),
            Value::Level(level) => self.written(format_args!("{level}}}")),
            Value::Millis(ms) => self.written(format_args!("{}}}", seconds(ms))),
            // what is no number is null
            Value::Float(float) => self.written(format_args!("{}}}", Tree::from(float))),
        }
    }

    fn histogram(&mut self, _family: &Family, labels: &[Label], buckets: &Buckets) {
        self.start(labels);
        let mut count = 0;
        let mut before = r#"{"buckets":{"#;
        let bounds = buckets.bounds_ms.iter().map(|bound| seconds(*bound)).chain(["+Inf".to_owned()]);
        for (bound, more) in bounds.zip(buckets.counts) {
            count += more;
            self.written(format_args!("{before}\"{bound}\":{count}"));
            before = ",";
        }
        self.written(format_args!(r#"}},"sum":{},"count":{count}}}}}"#, seconds(buckets.sum_ms)));
    }
}
