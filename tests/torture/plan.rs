//! What is done to each life, from a seed.

use crate::support::load::Flow;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// The windows of a commit, in its order, as the program calls them.
pub const WINDOWS: [&str; 7] = ["letters", "begun", "blobs", "manifest", "committed", "published", "collecting"];
/// The last is passed only while much is written.
const WINDOWS_OF_BACKLOGS: usize = WINDOWS.len() - 1;
/// Commits that each life is given before it may be killed.
pub const LEAST_COMMITS: u64 = 3;
/// The longest that a life goes on after that, where it is killed at a random moment.
const LINGERS_MS: u64 = 1_500;
/// How long the program sleeps in a window.
pub const PAUSE: Duration = Duration::from_millis(300);

/// When a life is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// So long after its least commits.
    After(Duration),
    /// While it is in this window, so far into its sleep.
    In(usize, Duration),
}

/// One life, and what goes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub workers: u32,
    /// Whether the log has grown by a backlog.
    pub backlog: bool,
    /// A start that is killed before it has come anywhere: it counts as no kill.
    pub stillborn: Option<Duration>,
    pub death: Death,
}

/// Whether the log grows by a backlog before this kill; less often in long schedules, which would fill the disk.
const fn after_a_backlog(kill: usize) -> bool {
    kill.is_multiple_of(if kill < 15 { 3 } else { 12 })
}

/// A schedule of so many kills: every second in a window, in rotation, and each life with another number of workers.
pub fn plan(seed: u64, flow: Flow, kills: usize) -> Vec<Turn> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut workers = 0;
    let windows = if flow == Flow::Backlogs { WINDOWS_OF_BACKLOGS } else { WINDOWS.len() };
    let turn = |kill: usize| {
        workers = (workers + random.random_range(0..3)) % 4 + 1;
        let mut up_to = |ms: u64| Duration::from_millis(random.random_range(0..ms));
        let death = match kill % 2 {
            0 => Death::After(up_to(LINGERS_MS)),
            _ => Death::In(kill / 2 % windows, up_to(100)),
        };
        let stillborn = (kill % 6 == 5).then(|| up_to(5_000));
        Turn { workers, backlog: flow == Flow::Backlogs && after_a_backlog(kill), stillborn, death }
    };
    (0..kills).map(turn).collect()
}

/// How many of the kills are to be in a window.
pub fn planned(turns: &[Turn], window: usize) -> usize {
    turns.iter().filter(|turn| matches!(turn.death, Death::In(w, _) if w == window)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_schedule() {
        assert_eq!(plan(7, Flow::Steady, 50), plan(7, Flow::Steady, 50));
        assert_ne!(plan(7, Flow::Steady, 50), plan(8, Flow::Steady, 50));
    }

    #[test]
    fn every_window_has_its_turn_and_workers_change_with_each_life() {
        let plan = plan(7, Flow::Steady, 30);
        for (window, name) in WINDOWS.iter().enumerate() {
            let times = planned(&plan, window);
            assert!((2..=3).contains(&times), "{name}: {times}");
        }
        assert!(plan.windows(2).all(|pair| pair[0].workers != pair[1].workers));
        for workers in 1..=4 {
            assert!(plan.iter().any(|turn| turn.workers == workers), "{workers} workers");
        }
    }
}
