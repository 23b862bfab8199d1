//! The ledger: the registry, the names and what was decided about partitions, as one lane of the log of state beside the workers' ([`crate::state`]).

use crate::{
    feed::EpochEnd,
    graph::Lane,
    names::Names,
    rebucket::{Buckets, Carried},
    registry::{Registry, Snapshot},
    retention::partitions::{Decided, Given, Moment},
    route::Share,
    series::Deltas,
    settings::Settings,
    state::{self, Cursor, Section, Sweep, Table, Unusable, Writer},
    time::{Epoch, Millis, StreamTime},
};

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    registry: Registry,
    names: Names,
    /// Names with smaller numbers are stored.
    stored_names: usize,
    swept_names: Cursor,
    given: Given,
    months_ahead: usize,
}

impl Ledger {
    /// An empty one; `names` are those of the graph.
    #[must_use]
    pub fn new(settings: &Settings, names: Names) -> Self {
        let mut registry = Registry::new(settings);
        registry.record();
        let mut given = Given::default();
        given.record();
        let months_ahead = settings.retention.months_ahead;
        Self { registry, names, stored_names: 1, swept_names: Cursor::default(), given, months_ahead }
    }

    /// Adds one epoch, in order, and gives what may be shown once it is stored.
    pub fn fold(&mut self, epoch: Epoch, stream_time: StreamTime, deltas: Deltas) -> Snapshot {
        self.registry.fold(epoch, stream_time, deltas)
    }

    /// What an epoch decides about partitions, each decision once ever; nothing while retention is off.
    pub fn decide(&mut self, end: &EpochEnd, stream_time: StreamTime) -> Decided {
        let Some(input) = &end.retention else { return Decided::default() };
        self.given.decide(input, Moment::of(end, stream_time), self.months_ahead)
    }

    /// What may be shown now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.registry.snapshot()
    }

    /// What is to be stored since the last time, and what goes with the newest epoch's sweep; `None`: nothing.
    pub fn blob(&mut self, sweep: Sweep) -> Option<Lane> {
        let (mut registry, mut names, mut given) = (Writer::default(), Writer::default(), Writer::default());
        self.registry.save(sweep, &mut registry);
        let known = self.names.len();
        self.names.save(self.stored_names..known, &mut names);
        names.sweeps();
        self.names.save(self.swept_names.advance(sweep, known), &mut names);
        self.stored_names = known;
        self.given.save(sweep, &mut given);
        let sections = [(Table::Registry, registry), (Table::Names, names), (Table::Given, given)];
        let sections: Vec<Section> =
            sections.into_iter().filter_map(|(table, entries)| Section::of(table, entries)).collect();
        (!sections.is_empty()).then(|| Lane::of(Share::WHOLE, sections))
    }

    /// All of it, for whoever begins a new log with it.
    pub fn whole(&mut self) -> Lane {
        let empty = || Lane::of(Share::WHOLE, vec![]);
        self.blob(Sweep::ALL).unwrap_or_else(empty)
    }

    /// Gives stored histograms, which have the bounds `old`, the bounds `new`.
    pub fn rebucket(&mut self, buckets: Buckets, old: &[Millis], new: &[Millis]) -> Carried {
        self.registry.rebucket(buckets, old, new)
    }

    /// Takes in one of its blobs; later ones over earlier ones.
    ///
    /// # Errors
    /// [`Unusable`]
    pub fn load(&mut self, blob: &[u8]) -> Result<(), Unusable> {
        for (table, entries) in state::parse(blob)?.sections {
            match table {
                Table::Registry => self.registry.load(entries)?,
                Table::Names => self.names.load(entries)?,
                Table::Given => self.given.load(entries)?,
                Table::Runs | Table::Agents | Table::Deliveries | Table::Archives => {
                    return Err(Unusable::damaged("what belongs to a worker lies with the registry"));
                }
            }
        }
        Ok(())
    }

    /// All blobs are taken in; this was the last of their epochs.
    pub fn loaded(&mut self, epoch: Epoch, stream_time: StreamTime) {
        self.registry.loaded(epoch, stream_time);
        self.stored_names = self.names.len();
    }
}
