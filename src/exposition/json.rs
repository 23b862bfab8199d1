//! The snapshot as JSON for programs that do not scrape.
//!
//! `{"epoch": .., "stream_time": "RFC 3339", "series": {"NAME": [{"labels": {..}, "value": ..}, ..], ..}}`;
//! a histogram's value is `{"buckets": {"LE": cumulative count, ..}, "sum": seconds, "count": ..}`.

use super::{Buckets, Label, Value, Writer, text::seconds};
use dataflows::{registry::Snapshot, series::Family, time::Millis};
use serde_json::{Map, Value as Tree, json};

/// JSON being written.
#[derive(Debug, Default)]
pub(super) struct Json {
    series: Map<String, Tree>,
}

impl Json {
    pub(super) fn finish(self, snapshot: Option<&Snapshot>) -> Tree {
        let epoch = snapshot.map(|snapshot| snapshot.epoch.0);
        let time = snapshot.and_then(|snapshot| jiff::Timestamp::from_millisecond(snapshot.stream_time.0).ok());
        json!({ "epoch": epoch, "stream_time": time.map(|time| time.to_string()), "series": self.series })
    }

    fn push(&mut self, family: &Family, labels: &[Label], value: &Tree) {
        let labels: Map<String, Tree> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        if let Some(Tree::Array(samples)) = self.series.get_mut(family.name) {
            samples.push(json!({ "labels": labels, "value": value }));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds below 2^53 are exact")]
fn in_seconds(ms: Millis) -> f64 {
    ms as f64 / 1000.0
}

impl Writer for Json {
    fn family(&mut self, family: &Family) {
        self.series.insert(family.name.to_owned(), Tree::Array(vec![]));
    }

    fn sample(&mut self, family: &Family, labels: &[Label], value: Value) {
        let value: Tree = match value {
            Value::Count(count) => count.into(),
            Value::Level(level) => level.into(),
            Value::Millis(ms) => in_seconds(ms).into(),
            Value::Float(float) => float.into(),
        };
        self.push(family, labels, &value);
    }

    fn histogram(&mut self, family: &Family, labels: &[Label], buckets: &Buckets) {
        let mut count = 0;
        let mut cumulative = Map::new();
        let bounds = buckets.bounds_ms.iter().map(|bound| seconds(*bound)).chain(["+Inf".to_owned()]);
        for (bound, more) in bounds.zip(buckets.counts) {
            count += more;
            cumulative.insert(bound, count.into());
        }
        let value = json!({ "buckets": cumulative, "sum": in_seconds(buckets.sum_ms), "count": count });
        self.push(family, labels, &value);
    }
}
