//! Own health: what the pipeline says of itself, the process and the runtime, whether or not dataflow series are shown.

use super::{Value, text::Text};
use crate::{
    published::{CAUGHT_UP_MS, OwnHealth, Published, UNKNOWN},
    version,
};
use dataflows::{registry::Snapshot, series::SeriesType, time::Millis};
use prometheus::proto::{Metric, MetricFamily, MetricType};
use std::sync::{PoisonError, atomic::Ordering::Relaxed};

pub(super) fn write(published: &Published, shown: Option<&Snapshot>, now_ms: Millis, text: &mut Text) {
    let own = &published.own;
    // taken by the caller, once: the figures about an epoch belong to the series shown (I3)
    progress(published, shown, now_ms, text);
    lag(own, text);
    let build = [("version", version::VERSION), ("revision", version::revision())];
    text.header("gocdnext_flow_build_info", SeriesType::Gauge, "1: which build this is.");
    text.line("gocdnext_flow_build_info", "", &build, Value::Count(1));
    runtime(text);
    for family in own.registry.gather() {
        foreign(&family, text);
    }
}

fn progress(published: &Published, shown: Option<&Snapshot>, now_ms: Millis, text: &mut Text) {
    let own = &published.own;
    let mut gauge = |name: &str, help: &str, value: Option<Value>| {
        if let Some(value) = value {
            text.header(name, SeriesType::Gauge, help);
            text.line(name, "", &[], value);
        }
    };
    let epoch = shown.map_or_else(|| own.committed_epoch.load(Relaxed), |snapshot| snapshot.epoch.0);
    let committed = (epoch > 0).then_some(epoch);
    gauge("gocdnext_flow_committed_epoch", "The last committed epoch.", committed.map(Value::Count));
    let age = own.commit_age(now_ms);
    let age = age.map(|age| Value::Millis(Millis::try_from(age.as_millis()).unwrap_or(Millis::MAX)));
    gauge("gocdnext_flow_commit_age_seconds", "Time since the last commit.", age);
    let stream_time = shown.map_or_else(|| own.stream_time_ms.load(Relaxed), |snapshot| snapshot.stream_time.0);
    let known = (stream_time != Millis::MIN).then_some(Value::Millis(stream_time));
    gauge("gocdnext_flow_stream_time_seconds", "Stream time of the last committed epoch.", known);
    // absent where no series are shown: a standby that said 0 would mislead alerts
    let caught_up =
        shown.map(|snapshot| now_ms.saturating_sub(snapshot.stream_time.0).saturating_abs() <= CAUGHT_UP_MS);
    let help = "1 while the published stream time is within 60 s of the wall clock.";
    gauge("gocdnext_flow_caught_up", help, caught_up.map(|yes| Value::Count(u64::from(yes))));
    let in_flight = own.epochs_in_flight.load(Relaxed);
    gauge("gocdnext_flow_epochs_in_flight", "Epochs read and not committed.", Some(Value::Count(in_flight)));
    let waiting = Some(own.outbox.load(Relaxed)).filter(|count| *count != UNKNOWN);
    let help = "Decisions of retention that Kafka has not acknowledged yet; counted up to 1,000,000.";
    gauge("gocdnext_flow_outbox_decisions", help, waiting.map(Value::Count));
    let mut counter = |name: &str, help: &str, count: u64| {
        text.header(name, SeriesType::Counter, help);
        text.line(name, "", &[], Value::Count(count));
    };
    let records = own.records.load(Relaxed);
    counter("gocdnext_flow_records_total", "Records read by this process and committed.", records);
    let bytes = own.checkpoint_bytes.load(Relaxed);
    counter("gocdnext_flow_checkpoint_bytes_total", "Bytes of state written by this process.", bytes);
}

fn lag(own: &OwnHealth, text: &mut Text) {
    let name = "gocdnext_flow_kafka_lag_records";
    let lag = own.lag.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if !lag.is_empty() {
        text.header(name, SeriesType::Gauge, "Records between what was read and the end of each partition.");
    }
    for (partition, records) in lag {
        text.line(name, "", &[("partition", &partition.to_string())], Value::Count(records));
    }
}

/// Figures of the tokio runtime this is called on, if it is.
fn runtime(text: &mut Text) {
    let Ok(handle) = tokio::runtime::Handle::try_current() else { return };
    let metrics = handle.metrics();
    let figures = [
        ("workers", "Threads of the async runtime.", metrics.num_workers()),
        ("alive_tasks", "Tasks alive in the async runtime.", metrics.num_alive_tasks()),
        ("global_queue_tasks", "Tasks waiting in the runtime's global queue.", metrics.global_queue_depth()),
    ];
    for (name, help, value) in figures {
        let name = format!("gocdnext_flow_tokio_{name}");
        text.header(&name, SeriesType::Gauge, help);
        text.line(&name, "", &[], Value::Count(value as u64));
    }
}

/// A family of the `prometheus` crate: `process_*`, and the histograms of own health.
fn foreign(family: &MetricFamily, text: &mut Text) {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => SeriesType::Counter,
        MetricType::HISTOGRAM => SeriesType::Histogram,
        _ => SeriesType::Gauge,
    };
    text.header(family.name(), kind, family.help());
    for metric in family.get_metric() {
        let labels: Vec<(&str, &str)> = metric.get_label().iter().map(|l| (l.name(), l.value())).collect();
        match kind {
            SeriesType::Counter => text.line(family.name(), "", &labels, Value::Float(metric.get_counter().value())),
            SeriesType::Gauge => text.line(family.name(), "", &labels, Value::Float(metric.get_gauge().value())),
            SeriesType::Histogram => foreign_histogram(family.name(), &labels, metric, text),
        }
    }
}

fn foreign_histogram(name: &str, labels: &[(&str, &str)], metric: &Metric, text: &mut Text) {
    let histogram = metric.get_histogram();
    for bucket in histogram.get_bucket() {
        let bound = text.bound(&bucket.upper_bound().to_string());
        text.bucket(name, labels, &bound, bucket.cumulative_count(), None);
    }
    let count = histogram.get_sample_count();
    text.bucket(name, labels, "+Inf", count, None);
    text.line(name, "_sum", labels, Value::Float(histogram.get_sample_sum()));
    text.line(name, "_count", labels, Value::Count(count));
}
