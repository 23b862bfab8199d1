//! What is shown, as flat lines, of the model and of a snapshot: equal lines are equal series.

use super::Ms;
use dataflows::{
    event::{ArchiveResult, RunEvent, Status},
    names::NameId,
    registry::Snapshot,
    series::{Deltas, Histogram, Pair},
    settings::Settings,
};
use std::collections::BTreeMap;

/// Series by name and labels, in whole numbers (spans in ms).
pub type Lines = BTreeMap<String, i64>;

/// Every series outside `gocdnext_flow_*`, as the model has it: spans one by one.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Announced pairs stand at 0.
    pub scheduled: BTreeMap<Pair, u64>,
    /// The newest announcement of each pair, by time and tie.
    pub slugs: BTreeMap<Pair, (Ms, u64, NameId)>,
    pub running: i64,
    pub runs_queued: i64,
    pub pending: i64,
    pub dispatchable: i64,
    pub oldest: Option<Ms>,
    pub agents_online: i64,
    pub durations: Vec<(Status, Ms)>,
    pub run_durations: Vec<(Status, Ms)>,
    pub waits: Vec<Ms>,
    pub lost: u64,
    pub archives: BTreeMap<ArchiveResult, u64>,
    pub partitions: u64,
    pub webhooks: BTreeMap<(u16, u16), u64>,
    /// Recorded logs only: records.
    pub late: u64,
}

/// How exactly two outcomes are to be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exactness {
    /// Which pairs are named is compared too, not only their sum.
    pub pairs: bool,
    /// Late records are compared too. (Duplicates and conflicts depend on the order within an epoch.)
    pub quality: bool,
}

impl Shown {
    /// A `run.queued` or `job.queued`: its pair is shown, under the slug of the newest.
    pub fn announce(&mut self, event: &RunEvent) {
        let pair = Pair { project: event.project, pipeline: event.pipeline };
        self.scheduled.entry(pair).or_default();
        let seen = (event.time, event.tie, event.slug);
        let newest = self.slugs.entry(pair).or_insert(seen);
        *newest = seen.max(*newest);
    }

    /// The model's lines at stream time `now`.
    pub fn lines(&self, now: Ms, settings: &Settings, exact: Exactness) -> Lines {
        let mut lines = Lines::new();
        let mut add = |name: String, value: i64| lines.insert(name, value);
        for (pair, count) in self.scheduled.iter().filter(|_| exact.pairs) {
            add(format!("scheduled {}/{}", pair.project, pair.pipeline), number(*count));
        }
        for (pair, (_, _, slug)) in self.slugs.iter().filter(|_| exact.pairs) {
            add(format!("slug {}/{}", pair.project, pair.pipeline), i64::from(slug.0));
        }
        add("scheduled".into(), number(self.scheduled.values().sum()));
        add("running".into(), self.running);
        add("queued".into(), self.runs_queued);
        add("pending".into(), self.pending);
        add("dispatchable".into(), self.dispatchable);
        add("oldest".into(), self.oldest.map_or(0, |since| now.saturating_sub(since).max(0)));
        add("agents".into(), self.agents_online);
        add("lost".into(), number(self.lost));
        add("partitions".into(), number(self.partitions));
        for result in ArchiveResult::ALL {
            let count = self.archives.get(&result).copied().unwrap_or_default();
            add(format!("archives {}", result.name()), number(count));
        }
        for provider in 0..=settings.webhook_providers.len() {
            for outcome in 0..=settings.webhook_outcomes.len() {
                let key = (u16::try_from(provider).unwrap_or(0), u16::try_from(outcome).unwrap_or(0));
                let count = self.webhooks.get(&key).copied().unwrap_or_default();
                add(format!("webhooks {provider} {outcome}"), number(count));
            }
        }
        if exact.quality {
            add("late".into(), number(self.late));
        }
        let of = |list: &[(Status, Ms)], status| -> Vec<Ms> {
            list.iter().filter(|(s, _)| *s == status).map(|(_, ms)| *ms).collect()
        };
        for status in Status::ALL {
            let name = status.name();
            let bounds = &settings.duration_buckets_ms;
            histogram(&mut lines, &format!("duration {name}"), bounds, &of(&self.durations, status));
            histogram(&mut lines, &format!("run {name}"), bounds, &of(&self.run_durations, status));
        }
        histogram(&mut lines, "wait", &settings.queue_buckets_ms, &self.waits);
        lines
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Spans in (previous bound, bound], and their sum.
fn histogram(lines: &mut Lines, name: &str, bounds: &[Ms], spans: &[Ms]) {
    let mut below = Ms::MIN;
    for bound in bounds.iter().copied().chain([Ms::MAX]) {
        let count = spans.iter().filter(|ms| below < **ms && **ms <= bound).count();
        lines.insert(format!("{name} le {bound}"), i64::try_from(count).unwrap_or(i64::MAX));
        below = bound;
    }
    lines.insert(format!("{name} sum"), spans.iter().sum());
}

/// The lines of what the registry shows. A series that is missing here does not compile; the model has it in [`Shown`].
pub fn lines_of(snapshot: &Snapshot, settings: &Settings, exact: Exactness) -> Lines {
    let Deltas {
        jobs_scheduled: _,
        announced: _,
        jobs_running,
        runs_queued,
        jobs_pending,
        jobs_dispatchable,
        agents_online,
        job_duration,
        run_duration,
        job_queue,
        jobs_lost,
        archives,
        partitions_dropped,
        webhooks,
        oldest_dispatchable: _,
        quality,
    } = &snapshot.totals;
    let mut lines = Lines::new();
    let mut add = |name: String, value: i64| lines.insert(name, value);
    for (labels, count) in snapshot.jobs_scheduled.iter().filter(|_| exact.pairs) {
        let id = |id: Option<u128>| id.map_or_else(|| "_other".to_owned(), |id| id.to_string());
        add(format!("scheduled {}/{}", id(labels.project), id(labels.pipeline)), number(*count));
    }
    for (pair, slug) in snapshot.pipelines.iter().filter(|_| exact.pairs) {
        add(format!("slug {}/{}", pair.project, pair.pipeline), i64::from(slug.0));
    }
    add("scheduled".into(), number(snapshot.jobs_scheduled.values().sum()));
    add("running".into(), *jobs_running);
    add("queued".into(), *runs_queued);
    add("pending".into(), *jobs_pending);
    add("dispatchable".into(), *jobs_dispatchable);
    add("oldest".into(), snapshot.oldest_dispatchable_ms());
    add("agents".into(), *agents_online);
    add("lost".into(), number(*jobs_lost));
    add("partitions".into(), number(*partitions_dropped));
    for result in ArchiveResult::ALL {
        add(format!("archives {}", result.name()), number(archives[result as usize]));
    }
    for (provider, outcomes) in webhooks.iter().enumerate() {
        for (outcome, count) in outcomes.iter().enumerate() {
            add(format!("webhooks {provider} {outcome}"), number(*count));
        }
    }
    if exact.quality {
        add("late".into(), number(quality.late));
    }
    for status in Status::ALL {
        let (name, bounds) = (status.name(), &settings.duration_buckets_ms);
        flatten(&mut lines, &format!("duration {name}"), bounds, &job_duration[status as usize]);
        flatten(&mut lines, &format!("run {name}"), bounds, &run_duration[status as usize]);
    }
    flatten(&mut lines, "wait", &settings.queue_buckets_ms, job_queue);
    lines
}

fn flatten(lines: &mut Lines, name: &str, bounds: &[Ms], histogram: &Histogram) {
    for (bound, count) in bounds.iter().copied().chain([Ms::MAX]).zip(&histogram.buckets) {
        lines.insert(format!("{name} le {bound}"), number(*count));
    }
    lines.insert(format!("{name} sum"), histogram.sum_ms);
}

/// `None` if equal; else the lines that differ.
pub fn difference(model: &Lines, seen: &Lines) -> Option<String> {
    let names: std::collections::BTreeSet<&String> = model.keys().chain(seen.keys()).collect();
    let differing = names.into_iter().filter(|name| model.get(*name) != seen.get(*name));
    let told: Vec<String> =
        differing.map(|name| format!("{name}: model {:?}, seen {:?}", model.get(name), seen.get(name))).collect();
    (!told.is_empty()).then(|| told.join("\n"))
}
