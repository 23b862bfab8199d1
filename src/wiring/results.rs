//! Who takes the results of ended jobs ([`crate::sinks::results`]), live and in a replay.

use crate::{sinks::results::Results, telemetry};
use dataflows::{graph::JobResult, names::Names};

/// All of them, one after the other.
pub type Takers = Vec<Box<dyn Results>>;

/// The one list. `lines`: jobs are logged.
pub(super) fn takers(lines: bool) -> Takers {
    let mut takers = Takers::new();
    if lines {
        takers.push(Box::new(Lines));
    }
    takers
}

/// The lines `agent job result`.
struct Lines;

impl Results for Lines {
    fn take(&mut self, results: &[JobResult], names: &Names) {
        for result in results {
            telemetry::job_result(result, names);
        }
    }
}
