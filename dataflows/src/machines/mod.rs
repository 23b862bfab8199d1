//! The machines: plain structs that know the rules of `docs/rules.md` and nothing of timely.
//!
//! A machine *applies* the events of an epoch in any order, then is *closed* at the epoch's stream time. Closing
//! compares what each touched thing should count now with what it has counted, and hands out the difference. So no
//! result depends on the order within an epoch, and a duplicate moves nothing (I1).

mod agents;
mod attempt;
mod deliveries;
mod jobs;
mod run;
mod runs;

pub use agents::AgentsMachine;
pub use attempt::Attempt;
pub use deliveries::DeliveriesMachine;
pub use jobs::JobsMachine;
pub use run::Run;
pub use runs::{RunsCensus, RunsMachine};

use serde::{Deserialize, Serialize};

use crate::{
    graph::JobResult,
    retention::{RetentionInput, RetentionOutput},
    route::Route,
    series::Deltas,
    settings::Settings,
    state::{Reader, Section, Sweep, Table, Unusable, Writer},
    time::StreamTime,
};

/// A state machine as the driver sees it.
pub trait Machine {
    type Event;

    /// Takes in one event of the open epoch.
    fn apply(&mut self, event: &Self::Event);

    /// Ends the epoch: fires timers strictly after their deadlines and hands out what moved.
    fn close(&mut self, at: Close, closed: &mut Closed);

    /// Whose entries [`save`](Self::save) writes.
    const TABLE: Table;

    /// From now on what changes is kept for [`save`](Self::save).
    fn record(&mut self);

    /// Writes what the epoch just closed has changed, and the part of the rest that goes with it.
    fn save(&mut self, sweep: Sweep, out: &mut Writer);

    /// The same, as sections of a blob.
    fn sections(&mut self, sweep: Sweep) -> Vec<Section> {
        let mut entries = Writer::default();
        self.save(sweep, &mut entries);
        Section::of(Self::TABLE, entries).into_iter().collect()
    }

    /// Takes in stored entries, later ones over earlier ones, as far as this worker owns them, which is asked once an entry.
    ///
    /// # Errors
    /// [`Unusable`]
    fn load(&mut self, entries: Reader<'_>, owns: &mut impl FnMut(Route) -> bool) -> Result<(), Unusable>;

    /// All stored entries are taken in; the last of their epochs was closed at `now`.
    ///
    /// # Errors
    /// [`Unusable`] where they do not fit together.
    fn loaded(&mut self, now: StreamTime) -> Result<(), Unusable>;
}

/// What an operator drives: one machine, or several that go together.
pub trait Work {
    type Event;

    /// The operator's name.
    const NAME: &'static str;

    /// As [`Machine::apply`].
    fn apply(&mut self, event: &Self::Event);

    /// As [`Machine::close`], with what holds for retention.
    fn close(&mut self, at: Close, input: Option<&RetentionInput>, closed: &mut Closed);

    /// As [`Machine::sections`].
    fn sections(&mut self, sweep: Sweep) -> Vec<Section>;
}

impl<M: Machine> Work for M {
    type Event = M::Event;

    const NAME: &'static str = M::TABLE.name();

    fn apply(&mut self, event: &M::Event) {
        Machine::apply(self, event);
    }

    fn close(&mut self, at: Close, _: Option<&RetentionInput>, closed: &mut Closed) {
        Machine::close(self, at, closed);
    }

    fn sections(&mut self, sweep: Sweep) -> Vec<Section> {
        Machine::sections(self, sweep)
    }
}

/// When an epoch closes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Close {
    pub now: StreamTime,
    /// The log ends here: report what is still open.
    pub last: bool,
    /// How far the sweep goes with it.
    pub sweep: Sweep,
}

/// What an epoch moved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Closed {
    pub deltas: Deltas,
    pub results: Vec<JobResult>,
    /// Keys whose state changed.
    pub touched: u64,
    /// What is to be stored, by worker.
    pub state: Vec<(usize, Section)>,
    /// Of the runs machine, with retention on.
    pub retention: RetentionOutput,
}

impl Closed {
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            deltas: Deltas::new(settings),
            results: vec![],
            touched: 0,
            state: vec![],
            retention: RetentionOutput::default(),
        }
    }
}

/// Domains of remembered fingerprints; part of what is stored, so never renumbered.
mod domain {
    pub const RUN: u8 = 1;
    pub const ATTEMPT: u8 = 2;
    pub const DELIVERY: u8 = 3;
}
