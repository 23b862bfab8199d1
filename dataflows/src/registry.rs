//! The registry adds up every epoch's [`Deltas`] and hands out the [`Snapshot`] that may be shown.
//!
//! It also bounds the one open label set, pipeline x project (I6): pairs are admitted in (epoch, project, pipeline)
//! order and stay admitted; what is over a bound is counted under `_other`, so that the sum stays right.

mod store;
mod totals;

use crate::{
    event::Id,
    names::NameId,
    rebucket::{Buckets, Carried, rebucket},
    retention::Shown,
    series::{Announcement, Deltas, Pair},
    settings::{Limits, Settings},
    time::{Epoch, Millis, StreamTime},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The label values of one admitted series; `None` is shown as `_other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairLabels {
    pub project: Option<Id>,
    pub pipeline: Option<Id>,
}

/// Every dataflow series at the end of one epoch (I3): what a scrape shows.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub epoch: Epoch,
    pub stream_time: StreamTime,
    /// Totals of everything but the pairs: `jobs_scheduled` and `announced` are empty here, and the gauges hold
    /// levels instead of differences.
    pub totals: Deltas,
    /// `gocdnext_jobs_scheduled_total`.
    pub jobs_scheduled: Arc<BTreeMap<PairLabels, u64>>,
    /// `gocdnext_flow_pipeline_info`: the newest slug of each admitted pair.
    pub pipelines: Arc<BTreeMap<Pair, NameId>>,
    /// `gocdnext_flow_series_overflow_total`.
    pub series_overflow: u64,
    /// `None` while retention is off. Whoever publishes adds it.
    pub retention: Option<Arc<Shown>>,
}

impl Snapshot {
    /// Age of the oldest dispatchable job at the epoch's stream time, in ms; 0 when there is none.
    #[must_use]
    pub fn oldest_dispatchable_ms(&self) -> i64 {
        let age = |since: i64| self.stream_time.0.saturating_sub(since).max(0);
        self.totals.oldest_dispatchable.map_or(0, age)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Registry {
    limits: Limits,
    current: Snapshot,
    pipelines_by_project: BTreeMap<Id, usize>,
    admitted: BTreeSet<Pair>,
    /// The newest of each admitted pair: an older one that comes late changes nothing.
    announced: BTreeMap<Pair, Announcement>,
    changes: store::Changes,
}

impl Registry {
    /// An empty registry: every closed label at 0.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let current = Snapshot {
            epoch: Epoch(0),
            stream_time: StreamTime::UNKNOWN,
            totals: Deltas::new(settings),
            jobs_scheduled: Arc::default(),
            pipelines: Arc::default(),
            series_overflow: 0,
            retention: None,
        };
        Self {
            limits: settings.limits.clone(),
            current,
            pipelines_by_project: BTreeMap::new(),
            admitted: BTreeSet::new(),
            announced: BTreeMap::new(),
            changes: store::Changes::default(),
        }
    }

    /// What may be shown now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.current.clone()
    }

    /// Adds one epoch, in order, and gives the snapshot at its end.
    ///
    /// # Panics
    /// If epochs do not increase: the graph closes them in order.
    pub fn fold(&mut self, epoch: Epoch, stream_time: StreamTime, mut deltas: Deltas) -> Snapshot {
        assert!(epoch > self.current.epoch, "epochs are folded in order (I3)");
        let scheduled = std::mem::take(&mut deltas.jobs_scheduled);
        let announced = std::mem::take(&mut deltas.announced);
        self.admit_all(announced.keys().chain(scheduled.keys()));
        self.add_pairs(&scheduled, announced.keys());
        self.add_pipelines(&announced);
        self.current.totals.advance(&deltas);
        self.current.epoch = epoch;
        self.current.stream_time = stream_time;
        self.current.clone()
    }

    /// Gives the histograms of a kind, which have the bounds `old`, the bounds `new`.
    pub fn rebucket(&mut self, buckets: Buckets, old: &[Millis], new: &[Millis]) -> Carried {
        let totals = &mut self.current.totals;
        match buckets {
            Buckets::Duration => rebucket(totals.job_duration.iter_mut().chain(&mut totals.run_duration), old, new),
            Buckets::Queue => rebucket([&mut totals.job_queue], old, new),
        }
    }

    fn admit_all<'a>(&mut self, pairs: impl Iterator<Item = &'a Pair>) {
        let mut new: Vec<Pair> = pairs.filter(|pair| !self.admitted.contains(pair)).copied().collect();
        new.sort_unstable();
        new.dedup();
        for pair in new {
            if self.admit(pair) {
                self.admitted.insert(pair);
            }
        }
    }

    fn admit(&mut self, pair: Pair) -> bool {
        let room_in_all = self.admitted.len() < self.limits.max_pipelines;
        let room_for_projects = self.pipelines_by_project.len() < self.limits.max_projects;
        match self.pipelines_by_project.get_mut(&pair.project) {
            Some(count) => {
                let room = room_in_all && *count < self.limits.max_pipelines_per_project;
                *count += usize::from(room);
                room
            }
            None if room_for_projects => {
                let room = room_in_all && self.limits.max_pipelines_per_project > 0;
                self.pipelines_by_project.insert(pair.project, usize::from(room));
                room
            }
            None => false,
        }
    }

    fn labels(&self, pair: Pair) -> PairLabels {
        let known_project = self.pipelines_by_project.contains_key(&pair.project);
        let named = self.admitted.contains(&pair);
        PairLabels { project: known_project.then_some(pair.project), pipeline: named.then_some(pair.pipeline) }
    }

    fn add_pairs<'a>(&mut self, scheduled: &BTreeMap<Pair, u64>, announced: impl Iterator<Item = &'a Pair>) {
        let moved = scheduled.iter().map(|(pair, count)| (*pair, *count));
        let moved: Vec<_> = moved.chain(announced.map(|pair| (*pair, 0))).collect();
        for (pair, count) in moved {
            let labels = self.labels(pair);
            if labels.pipeline.is_none() {
                self.current.series_overflow += count;
            }
            if count > 0 || !self.current.jobs_scheduled.contains_key(&labels) {
                *Arc::make_mut(&mut self.current.jobs_scheduled).entry(labels).or_default() += count;
                self.changes.moved(labels);
            }
        }
    }

    fn add_pipelines(&mut self, announced: &BTreeMap<Pair, Announcement>) {
        for (pair, seen) in announced.iter().filter(|(pair, _)| self.admitted.contains(pair)) {
            if self.announced.get(pair).is_some_and(|known| known >= seen) {
                continue;
            }
            self.announced.insert(*pair, *seen);
            self.changes.announced(*pair);
            if self.current.pipelines.get(pair) != Some(&seen.slug) {
                Arc::make_mut(&mut self.current.pipelines).insert(*pair, seen.slug);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Reader, Sweep, Writer};

    fn settings(max_projects: usize, max_pipelines_per_project: usize) -> Settings {
        let limits = Limits { max_projects, max_pipelines_per_project, ..Limits::default() };
        Settings { limits, ..Settings::default() }
    }

    fn scheduled(settings: &Settings, pairs: &[(Id, Id)]) -> Deltas {
        let mut deltas = Deltas::new(settings);
        for (project, pipeline) in pairs {
            *deltas.jobs_scheduled.entry(Pair { project: *project, pipeline: *pipeline }).or_default() += 1;
        }
        deltas
    }

    fn value(snapshot: &Snapshot, project: Option<Id>, pipeline: Option<Id>) -> Option<u64> {
        snapshot.jobs_scheduled.get(&PairLabels { project, pipeline }).copied()
    }

    #[test]
    fn pairs_beyond_the_bounds_go_to_other_and_the_sum_stays_right() {
        let settings = settings(2, 1);
        let mut registry = Registry::new(&settings);
        let first = scheduled(&settings, &[(1, 12), (1, 11), (2, 21), (3, 31)]);
        registry.fold(Epoch(1), StreamTime(0), first);
        let snapshot = registry.fold(Epoch(2), StreamTime(0), scheduled(&settings, &[(1, 11), (1, 12), (3, 31)]));
        assert_eq!(value(&snapshot, Some(1), Some(11)), Some(2), "admitted in order, remembered");
        assert_eq!(value(&snapshot, Some(1), None), Some(2));
        assert_eq!(value(&snapshot, Some(2), Some(21)), Some(1));
        assert_eq!(value(&snapshot, None, None), Some(2));
        assert_eq!(snapshot.jobs_scheduled.values().sum::<u64>(), 7);
        assert_eq!(snapshot.series_overflow, 4);
    }

    #[test]
    fn pipelines_are_bounded_in_all_too() {
        let mut settings = settings(9, 9);
        settings.limits.max_pipelines = 2;
        let mut registry = Registry::new(&settings);
        let both = [(1, 11), (2, 21), (2, 22), (3, 31)];
        for epoch in 1..=2 {
            registry.fold(Epoch(epoch), StreamTime(0), scheduled(&settings, &both));
        }
        let snapshot = registry.snapshot();
        assert_eq!((value(&snapshot, Some(1), Some(11)), value(&snapshot, Some(2), Some(21))), (Some(2), Some(2)));
        assert_eq!((value(&snapshot, Some(2), None), value(&snapshot, Some(3), None)), (Some(2), Some(2)));
        assert_eq!((snapshot.jobs_scheduled.len(), snapshot.series_overflow), (4, 4));
    }

    #[test]
    fn where_no_pipeline_may_be_named_projects_are() {
        let settings = settings(1, 0);
        let mut registry = Registry::new(&settings);
        let snapshot = registry.fold(Epoch(1), StreamTime(0), scheduled(&settings, &[(1, 11), (2, 21)]));
        assert_eq!((value(&snapshot, Some(1), None), value(&snapshot, None, None)), (Some(1), Some(1)));
        assert_eq!(snapshot.jobs_scheduled.len(), 2);
    }

    #[test]
    fn what_is_announced_beyond_a_bound_shows_other_at_zero_and_names_nothing() {
        let settings = settings(1, 1);
        let mut registry = Registry::new(&settings);
        let mut deltas = scheduled(&settings, &[(1, 11), (1, 11)]);
        let seen = Announcement { time: 5, tie: 0, slug: NameId(2) };
        deltas.announce(Pair { project: 1, pipeline: 12 }, seen);
        let snapshot = registry.fold(Epoch(1), StreamTime(0), deltas);
        assert_eq!((value(&snapshot, Some(1), Some(11)), value(&snapshot, Some(1), None)), (Some(2), Some(0)));
        assert_eq!((snapshot.series_overflow, snapshot.pipelines.len()), (0, 0));
    }

    #[test]
    fn who_was_admitted_stays_so_over_a_restart() {
        let settings = settings(2, 1);
        let mut before = Registry::new(&settings);
        before.record();
        before.fold(Epoch(1), StreamTime(0), scheduled(&settings, &[(1, 12), (2, 21)]));
        let mut stored = Writer::default();
        before.save(Sweep::default(), &mut stored);
        let mut after = Registry::new(&settings);
        after.load(Reader::new(&stored.finish())).unwrap();
        after.loaded(Epoch(1), StreamTime(0));
        // these would be admitted before them
        let deltas = scheduled(&settings, &[(0, 1), (1, 11), (1, 12), (2, 21)]);
        let snapshot = after.fold(Epoch(2), StreamTime(0), deltas);
        assert_eq!((value(&snapshot, Some(1), Some(12)), value(&snapshot, Some(2), Some(21))), (Some(2), Some(2)));
        assert_eq!((value(&snapshot, Some(1), None), value(&snapshot, None, None)), (Some(1), Some(1)));
    }

    #[test]
    #[should_panic(expected = "epochs are folded in order (I3)")]
    fn an_epoch_is_folded_once() {
        let mut registry = Registry::new(&Settings::default());
        for epoch in [2, 2] {
            registry.fold(Epoch(epoch), StreamTime(0), Deltas::new(&Settings::default()));
        }
    }

    #[test]
    fn an_announced_pair_appears_at_zero_with_its_newest_slug() {
        let settings = settings(2, 2);
        let mut registry = Registry::new(&settings);
        let pair = Pair { project: 1, pipeline: 11 };
        let seen = |time, tie, slug| Announcement { time, tie, slug: NameId(slug) };
        let epochs = [
            (vec![seen(5, 0, 1)], 1),
            (vec![seen(9, 2, 3), seen(7, 0, 2)], 3),
            (vec![seen(8, 0, 4)], 3),
            // of two at one time the one with the larger tie
            (vec![seen(9, 1, 5)], 3),
            (vec![seen(9, 3, 4)], 4),
            (vec![seen(12, 0, 4)], 4),
            // older than the newest of the same name
            (vec![seen(11, 0, 6)], 4),
            (vec![seen(13, 0, 1)], 1),
        ];
        for (epoch, (announced, stands)) in (1..).zip(epochs) {
            let mut deltas = Deltas::new(&settings);
            for seen in announced {
                deltas.announce(pair, seen);
            }
            let snapshot = registry.fold(Epoch(epoch), StreamTime(0), deltas);
            assert_eq!(snapshot.pipelines[&pair], NameId(stands), "epoch {epoch}");
            assert_eq!(value(&snapshot, Some(1), Some(11)), Some(0));
        }
    }

    #[test]
    fn a_name_that_was_stored_without_a_tie_is_read() {
        let mut registry = Registry::new(&settings(2, 2));
        let mut stored = Writer::default();
        stored.u8(store::tag::SLUG);
        stored.u128(1);
        stored.u128(11);
        stored.signed(5);
        stored.varint(3);
        registry.load(Reader::new(&stored.finish())).unwrap();
        assert_eq!(registry.snapshot().pipelines[&Pair { project: 1, pipeline: 11 }], NameId(3));
    }

    #[test]
    fn the_oldest_dispatchable_is_the_newest_epochs() {
        let settings = Settings::default();
        let mut registry = Registry::new(&settings);
        let deltas = Deltas { oldest_dispatchable: Some(4_000), ..Deltas::new(&settings) };
        let snapshot = registry.fold(Epoch(1), StreamTime(10_000), deltas);
        assert_eq!(snapshot.oldest_dispatchable_ms(), 6_000);
        let snapshot = registry.fold(Epoch(2), StreamTime(11_000), Deltas::new(&settings));
        assert_eq!(snapshot.oldest_dispatchable_ms(), 0);
    }
}
