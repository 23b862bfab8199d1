//! What outlives a process, and what must hold at every moment of one.

use crate::{
    log::{Log, Place},
    plan::{Moment, Plan, Tally, Trouble},
};
use dataflows::{feed::DeadLetter, graph::JobResult, settings::Settings};
use gocdnext_flow::{
    exposition::{Format, render},
    published::Published,
    store::{StateUrl, Step, Store},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A job attempt.
type Attempt = (u128, u128, u32);

pub struct World {
    directory: TempDir,
    pub log: Log,
    /// The records that cannot be read, as far as known.
    garbage: BTreeSet<Place>,
    pub runtime: Runtime,
    kept: Mutex<Kept>,
}

pub struct Kept {
    pub plan: Plan,
    pub tally: Tally,
    /// What the database has committed.
    pub committed: u64,
    /// The records that lie in the dead letters.
    pub letters: BTreeSet<Place>,
    /// Of which jobs a line was written.
    pub lines: BTreeSet<Attempt>,
    /// The newest epoch that was shown, and its counters.
    shown: u64,
    counters: BTreeMap<String, f64>,
    /// The promises that were broken.
    pub broken: Vec<String>,
}

impl World {
    pub fn new(log: Log, garbage: BTreeSet<Place>, plan: Plan) -> Self {
        let kept = Kept {
            plan,
            tally: Tally::default(),
            committed: 0,
            letters: BTreeSet::new(),
            lines: BTreeSet::new(),
            shown: 0,
            counters: BTreeMap::new(),
            broken: Vec::new(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { directory: tempfile::tempdir().unwrap(), log, garbage, runtime, kept: Mutex::new(kept) }
    }

    pub fn url(&self) -> StateUrl {
        StateUrl::sqlite(self.directory.path().join("state.db"))
    }

    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes to a moment: what holds there is checked, and what is to go wrong there is told.
    pub fn at(&self, moment: Moment, published: &Published) -> Option<Trouble> {
        let mut kept = self.kept();
        if moment == Moment::Store(Step::Committed) {
            kept.committed += 1;
            kept.check_letters(&self.log, &self.garbage);
        }
        kept.check_shown(published);
        if moment == Moment::Store(Step::BeforeCommit) {
            kept.check_counters(published);
        }
        let committed = kept.committed;
        let trouble = kept.plan.at(moment, committed)?;
        kept.tally.count(moment, trouble);
        Some(trouble)
    }

    /// Another instance takes the lease, does nothing, and gives it back.
    pub fn supersede(&self) {
        let (handle, url) = (self.runtime.handle().clone(), self.url());
        let other = async move {
            let store = Store::open(&url).await.unwrap();
            let generation = loop {
                let seen = store.lease().await.unwrap();
                // or a renewal came between
                if let Some(generation) = store.claim(&seen, "another", "another").await.unwrap() {
                    break generation;
                }
            };
            store.release(generation).await.unwrap();
        };
        std::thread::spawn(move || handle.block_on(other)).join().unwrap();
    }
}

impl Kept {
    pub fn is_done(&self, log: &Log) -> bool {
        self.committed == log.epochs
    }

    pub fn deliver(&mut self, letters: &[DeadLetter]) {
        self.letters.extend(letters.iter().map(|letter| (letter.partition, letter.offset)));
    }

    /// Lines are written at most once.
    pub fn write_lines(&mut self, results: &[JobResult]) {
        for result in results {
            let line = (result.run, result.job, result.attempt);
            if !self.lines.insert(line) {
                self.broken.push(format!("the line of {line:?} is written twice"));
            }
        }
    }

    /// I5: before an epoch is committed, what it could not read is kept.
    fn check_letters(&mut self, log: &Log, garbage: &BTreeSet<Place>) {
        let read = |place: &&Place| log.epoch_of(**place) <= self.committed;
        let missing: Vec<_> = garbage.difference(&self.letters).filter(read).collect();
        if !missing.is_empty() {
            self.broken.push(format!("epoch {} is committed without the letters {missing:?}", self.committed));
        }
    }

    /// I2, I3: what is shown is committed, and never goes back.
    fn check_shown(&mut self, published: &Published) {
        let Some(epoch) = published.shown().map(|snapshot| snapshot.epoch.0) else { return };
        if epoch > self.committed {
            self.broken.push(format!("epoch {epoch} is shown, and {} is committed", self.committed));
        }
        if epoch < self.shown {
            self.broken.push(format!("epoch {epoch} is shown after {}", self.shown));
        }
        self.shown = self.shown.max(epoch);
    }

    /// No counter goes back or vanishes, over all lives.
    pub fn check_counters(&mut self, published: &Published) {
        if published.shown().is_none() {
            return;
        }
        let text = render(published, &Settings::default(), Format::Text, 0);
        let now: BTreeMap<String, f64> = text.lines().filter_map(counter).collect();
        for (name, before) in std::mem::take(&mut self.counters) {
            match now.get(&name) {
                Some(now) if *now >= before => {}
                now => self.broken.push(format!("{name} was {before} and is {now:?}")),
            }
        }
        self.counters = now;
    }
}

/// A sample of the dataflow that only grows.
fn counter(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.rsplit_once(' ')?;
    let family = name.split('{').next()?;
    let grows = ["_total", "_bucket", "_count", "_sum"].iter().any(|end| family.ends_with(end));
    let of_dataflow = family.starts_with("gocdnext_") && !family.starts_with("gocdnext_flow_");
    (grows && of_dataflow).then_some((name.to_owned(), value.parse().ok()?))
}
