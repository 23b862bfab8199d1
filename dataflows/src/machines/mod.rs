//! The machines: plain structs that know the rules of `docs/rules.md` and nothing of timely.
//!
//! A machine *applies* the events of an epoch in any order, then is *closed* at the epoch's stream time. Closing
//! compares what each touched thing should count now with what it has counted, and hands out the difference. So no
//! result depends on the order within an epoch, and a duplicate moves nothing (I1).

mod agents;
mod attempt;
mod deliveries;
mod run;
mod runs;

pub use agents::AgentsMachine;
pub use attempt::Attempt;
pub use deliveries::DeliveriesMachine;
pub use run::Run;
pub use runs::RunsMachine;

use serde::{Deserialize, Serialize};

use crate::{graph::JobResult, series::Deltas, settings::Settings, time::StreamTime};

/// A state machine as the driver sees it.
pub trait Machine {
    type Event;

    /// Takes in one event of the open epoch.
    fn apply(&mut self, event: &Self::Event);

    /// Ends the epoch: fires timers strictly after their deadlines and hands out what moved.
    fn close(&mut self, at: Close, closed: &mut Closed);
}

/// When an epoch closes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Close {
    pub now: StreamTime,
    /// The log ends here: report what is still open.
    pub last: bool,
}

/// What an epoch moved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Closed {
    pub deltas: Deltas,
    pub results: Vec<JobResult>,
    /// Keys whose state changed.
    pub touched: u64,
}

impl Closed {
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { deltas: Deltas::new(settings), results: vec![], touched: 0 }
    }
}

/// Domains of remembered fingerprints; part of what is stored, so never renumbered.
mod domain {
    pub const RUN: u8 = 1;
    pub const ATTEMPT: u8 = 2;
    pub const DELIVERY: u8 = 3;
}
