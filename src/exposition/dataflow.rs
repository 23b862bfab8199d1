//! The dataflow series of a snapshot, in the order of the catalogue; closed label lists whole, from the start at 0.

use super::{Buckets, Label, Value, Writer};
use dataflows::{
    event::{ArchiveResult, Id, Kind, Status},
    feed::Reason,
    names::Names,
    registry::Snapshot,
    series::{Family, Histogram, Limit, family},
    settings::Settings,
    time::Millis,
};
use uuid::Uuid;

/// What is over a bound is shown under this label value.
const OTHER: &str = "_other";

/// The label values of a closed list from the settings, in the order of their indices.
fn with_other(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().map(String::as_str).chain(["other"])
}

/// Writes every family of the catalogue.
pub(super) fn write(snapshot: &Snapshot, settings: &Settings, names: &Names, out: &mut impl Writer) {
    jobs(snapshot, settings, out);
    agents_and_deliveries(snapshot, settings, out);
    waits_and_runs(snapshot, settings, out);
    pipelines(snapshot, names, out);
    quality(snapshot, out);
}

fn single(out: &mut impl Writer, family: &Family, value: Value) {
    out.family(family);
    out.sample(family, &[], value);
}

fn jobs(snapshot: &Snapshot, settings: &Settings, out: &mut impl Writer) {
    let totals = &snapshot.totals;
    out.family(&family::JOBS_SCHEDULED);
    let mut project = IdText::default();
    let mut pipeline = IdText::default();
    for (pair, count) in snapshot.jobs_scheduled.iter() {
        let labels = [("pipeline", pipeline.of(pair.pipeline)), ("project", project.of(pair.project))];
        out.sample(&family::JOBS_SCHEDULED, &labels, Value::Count(*count));
    }
    single(out, &family::JOBS_RUNNING, Value::Level(totals.jobs_running));
    by_status(out, &family::JOB_DURATION, &settings.duration_buckets_ms, &totals.job_duration);
    out.family(&family::QUEUE_DEPTH);
    let depths = [
        ("queued", totals.runs_queued),
        ("pending", totals.jobs_pending),
        ("dispatchable", totals.jobs_dispatchable),
    ];
    for (what, depth) in depths {
        out.sample(&family::QUEUE_DEPTH, &[("stage_status", what)], Value::Level(depth));
    }
}

fn agents_and_deliveries(snapshot: &Snapshot, settings: &Settings, out: &mut impl Writer) {
    let totals = &snapshot.totals;
    single(out, &family::AGENTS_ONLINE, Value::Level(totals.agents_online));
    let results = ArchiveResult::ALL.map(ArchiveResult::name);
    counts(out, &family::LOG_ARCHIVE_JOBS, &results, &totals.archives);
    single(out, &family::RETENTION_DROPPED, Value::Count(totals.partitions_dropped));
    out.family(&family::WEBHOOK_DELIVERIES);
    for (provider, outcomes) in with_other(&settings.webhook_providers).zip(&totals.webhooks) {
        for (outcome, count) in with_other(&settings.webhook_outcomes).zip(outcomes) {
            let labels = [("provider", provider), ("outcome", outcome)];
            out.sample(&family::WEBHOOK_DELIVERIES, &labels, Value::Count(*count));
        }
    }
}

fn waits_and_runs(snapshot: &Snapshot, settings: &Settings, out: &mut impl Writer) {
    let totals = &snapshot.totals;
    out.family(&family::JOB_QUEUE);
    let waits = buckets(&settings.queue_buckets_ms, &totals.job_queue);
    out.histogram(&family::JOB_QUEUE, &[], &waits);
    single(out, &family::QUEUE_OLDEST, Value::Millis(snapshot.oldest_dispatchable_ms()));
    by_status(out, &family::RUN_DURATION, &settings.duration_buckets_ms, &totals.run_duration);
    single(out, &family::JOBS_LOST, Value::Count(totals.jobs_lost));
}

fn pipelines(snapshot: &Snapshot, names: &Names, out: &mut impl Writer) {
    out.family(&family::PIPELINE_INFO);
    let mut project = IdText::default();
    let mut pipeline = IdText::default();
    for (pair, slug) in snapshot.pipelines.iter() {
        let slug = names.name(*slug);
        let labels: [Label; 3] = [
            ("pipeline", pipeline.of(Some(pair.pipeline))),
            ("project", project.of(Some(pair.project))),
            ("slug", &slug),
        ];
        out.sample(&family::PIPELINE_INFO, &labels, Value::Count(1));
    }
}

fn quality(snapshot: &Snapshot, out: &mut impl Writer) {
    let quality = &snapshot.totals.quality;
    counts(out, &family::EVENTS, &Kind::ALL.map(Kind::name), &quality.events);
    single(out, &family::DUPLICATES, Value::Count(quality.duplicates));
    counts(out, &family::REJECTED, &Reason::ALL.map(Reason::name), &quality.rejected);
    single(out, &family::IGNORED, Value::Count(quality.ignored));
    single(out, &family::LATE, Value::Count(quality.late));
    single(out, &family::CONFLICTS, Value::Count(quality.conflicts));
    single(out, &family::SKEWED, Value::Count(quality.skewed));
    single(out, &family::SERIES_OVERFLOW, Value::Count(snapshot.series_overflow));
    counts(out, &family::OVER_LIMIT, &Limit::ALL.map(Limit::name), &quality.over_limit);
}

/// A family with one label whose values are a closed list.
fn counts(out: &mut impl Writer, family: &Family, values: &[&str], counts: &[u64]) {
    out.family(family);
    for (value, count) in values.iter().zip(counts) {
        out.sample(family, &[(family.labels[0], value)], Value::Count(*count));
    }
}

fn by_status(out: &mut impl Writer, family: &Family, bounds_ms: &[Millis], histograms: &[Histogram]) {
    out.family(family);
    for (status, histogram) in Status::ALL.iter().zip(histograms) {
        out.histogram(family, &[("status", status.name())], &buckets(bounds_ms, histogram));
    }
}

fn buckets<'a>(bounds_ms: &'a [Millis], histogram: &'a Histogram) -> Buckets<'a> {
    let Histogram { buckets, sum_ms, exemplars } = histogram;
    Buckets { bounds_ms, counts: buckets, sum_ms: *sum_ms, exemplars }
}

/// An id as label text, kept as long as it repeats: pairs come sorted by project.
#[derive(Debug, Default)]
struct IdText {
    id: Option<Id>,
    text: String,
}

impl IdText {
    fn of(&mut self, id: Option<Id>) -> &str {
        if id.is_none() {
            return OTHER;
        }
        if self.id != id {
            let mut buffer = Uuid::encode_buffer();
            let id = Uuid::from_u128(id.unwrap_or_default());
            self.text.clear();
            self.text.push_str(id.hyphenated().encode_lower(&mut buffer));
        }
        self.id = id;
        &self.text
    }
}
