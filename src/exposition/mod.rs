//! What `/metrics` and `/api/v1/snapshot` say: one walk over the published snapshot, written as text or as JSON; and what
//! `/api/v1/retention` says of the same.
//!
//! The `prometheus` crate writes neither OpenMetrics nor exemplars, so the text is ours (`docs/adr/0001-*.md`); it
//! serves for own health and `process_*`. Everything here is a function of what is [`Published`]: a scrape never
//! touches live state (I2), and all dataflow series in it are of one epoch (I3).

mod dataflow;
mod json;
mod own;
mod retention;
mod retention_json;
mod text;

use crate::published::Published;
use dataflows::{
    series::{Exemplar, Family},
    settings::Settings,
    time::Millis,
};

/// The two formats of `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
}

impl Format {
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A label's name and value.
type Label<'a> = (&'static str, &'a str);

/// A sample's value.
#[derive(Clone, Copy, Debug)]
enum Value {
    Count(u64),
    Level(i64),
    /// Shown in seconds.
    Millis(Millis),
    Float(f64),
}

/// One histogram, ready to be written.
#[derive(Clone, Copy, Debug)]
struct Buckets<'a> {
    /// Upper bounds, ascending, without `+Inf`.
    bounds_ms: &'a [Millis],
    /// Not cumulative; one more than bounds.
    counts: &'a [u64],
    sum_ms: i64,
    exemplars: &'a [Option<Exemplar>],
}

/// Where series are written to.
trait Writer {
    fn family(&mut self, family: &Family);
    fn sample(&mut self, family: &Family, labels: &[Label], value: Value);
    fn histogram(&mut self, family: &Family, labels: &[Label], buckets: &Buckets);
}

/// The whole exposition at `now_ms` (Unix ms; for ages only): dataflow series if any may be shown, and own health.
#[must_use]
pub fn render(published: &Published, settings: &Settings, format: Format, now_ms: Millis) -> String {
    let snapshot = published.shown();
    let expected_bytes = snapshot.as_ref().map_or(0, |s| s.jobs_scheduled.len() * 256) + 32_768;
    let mut text = text::Text::new(format, expected_bytes);
    if let Some(snapshot) = &snapshot {
        dataflow::write(snapshot, settings, &published.names, &mut text);
        retention::write(snapshot, &mut text);
    }
    own::write(published, snapshot.as_deref(), now_ms, &mut text);
    text.finish()
}

/// The dataflow series as JSON; `epoch` null while nothing may be shown.
#[must_use]
pub fn snapshot_json(published: &Published, settings: &Settings) -> String {
    let snapshot = published.shown();
    let mut json = json::Json::new(snapshot.as_deref());
    if let Some(snapshot) = &snapshot {
        dataflow::write(snapshot, settings, &published.names, &mut json);
        retention::write(snapshot, &mut json);
    }
    json.finish()
}

/// Retention as JSON; `epoch` null while nothing may be shown.
#[must_use]
pub fn retention_json(published: &Published) -> String {
    retention_json::of(published.shown().as_deref()).to_string()
}

#[cfg(test)]
mod tests;
