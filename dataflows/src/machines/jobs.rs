//! The runs machine and, with retention on, the archives machine behind it: one operator, for both go by run.
//!
//! What the runs machine notes of attempts at the end of an epoch reaches the archives machine at the same end.

use super::{Close, Closed, Machine, RunsMachine, Work};
use crate::{
    event::{Kind, RunEvent},
    retention::{RetentionInput, archives::ArchivesMachine},
    route::Route,
    settings::Settings,
    state::{Reader, Section, Sweep, Table, Unusable, Writer},
    time::StreamTime,
};
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub struct JobsMachine {
    pub runs: RunsMachine,
    /// `None`: retention is off.
    pub archives: Option<ArchivesMachine>,
}

impl JobsMachine {
    /// The machine of one of `workers` workers.
    #[must_use]
    pub fn new(settings: Arc<Settings>, workers: usize) -> Self {
        let archives = settings.retention.on.then(|| ArchivesMachine::new(Arc::clone(&settings), workers));
        Self { runs: RunsMachine::new(settings, workers), archives }
    }

    /// From now on what changes is kept for [`sections`](Work::sections).
    pub fn record(&mut self) {
        self.runs.record();
        self.archives.iter_mut().for_each(ArchivesMachine::record);
    }

    /// Takes in stored entries of its tables, as [`Machine::load`]. While retention is off those of the archives are
    /// passed over: nobody keeps them up to date.
    ///
    /// # Errors
    /// [`Unusable`]
    pub fn load(
        &mut self,
        table: Table,
        entries: Reader<'_>,
        owns: &mut impl FnMut(Route) -> bool,
    ) -> Result<(), Unusable> {
        match &mut self.archives {
            _ if table == RunsMachine::TABLE => self.runs.load(entries, owns),
            Some(archives) => archives.load(entries, owns),
            None => Ok(()),
        }
    }

    /// As [`Machine::loaded`].
    ///
    /// # Errors
    /// [`Unusable`]
    pub fn loaded(&mut self, now: StreamTime) -> Result<(), Unusable> {
        self.archives.iter_mut().for_each(ArchivesMachine::loaded);
        self.runs.loaded(now)
    }
}

impl Work for JobsMachine {
    type Event = RunEvent;

    const NAME: &'static str = "Jobs";

    fn apply(&mut self, event: &RunEvent) {
        if event.kind != Kind::LogArchived {
            Machine::apply(&mut self.runs, event);
        } else if let Some(archives) = &mut self.archives {
            archives.outcome(event);
        }
    }

    fn close(&mut self, at: Close, input: Option<&RetentionInput>, closed: &mut Closed) {
        Machine::close(&mut self.runs, at, closed);
        if let Some(archives) = &mut self.archives {
            self.runs.take_notes().iter().for_each(|note| archives.note(note));
            archives.close(at, input, closed);
        }
    }

    fn sections(&mut self, sweep: Sweep) -> Vec<Section> {
        let mut sections = Machine::sections(&mut self.runs, sweep);
        if let Some(archives) = &mut self.archives {
            let mut entries = Writer::default();
            archives.save(sweep, &mut entries);
            sections.extend(Section::of(ArchivesMachine::TABLE, entries));
        }
        sections
    }
}
