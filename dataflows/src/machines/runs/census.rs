//! What the machine keeps, counted one by one: the gauges say the same by adding up differences.

use super::RunsMachine;
use crate::{
    machines::attempt::done,
    time::{Millis, NEVER},
};

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunsCensus {
    /// Kept in full, those that have ended and may still be told more about included.
    pub jobs: usize,
    pub jobs_running: usize,
    pub jobs_pending: usize,
    pub jobs_dispatchable: usize,
    /// Kept in full, likewise.
    pub runs: usize,
    pub runs_queued: usize,
    /// Things that are over, by fingerprint.
    pub remembered: usize,
    /// The first fact of the job that is queued or running for longest.
    pub oldest_pending: Option<Millis>,
    pub oldest_dispatchable: Option<Millis>,
}

impl RunsMachine {
    /// Looks at everything.
    #[must_use]
    pub fn census(&self) -> RunsCensus {
        let mut census = RunsCensus { jobs: self.attempts.len(), runs: self.runs.len(), ..RunsCensus::default() };
        census.remembered = self.memory.len();
        census.runs_queued = self.runs.iter().filter(|(_, run)| run.shown).count();
        for (_, attempt) in self.attempts.iter() {
            let is = |bit: u16| usize::from(attempt.has(bit));
            census.jobs_running += is(done::RUNNING);
            census.jobs_pending += is(done::PENDING);
            census.jobs_dispatchable += is(done::DISPATCHABLE);
            if attempt.has(done::PENDING) {
                census.oldest_pending = earlier(census.oldest_pending, attempt.first());
            }
            if attempt.has(done::DISPATCHABLE) {
                census.oldest_dispatchable = earlier(census.oldest_dispatchable, attempt.dispatchable_since());
            }
        }
        census
    }
}

fn earlier(known: Option<Millis>, time: Millis) -> Option<Millis> {
    let time = (time != NEVER).then_some(time);
    known.into_iter().chain(time).min()
}
