//! How fast the sweep goes, and from where on the log is needed. Pure: bytes and epochs are passed in.
//!
//! In steady life a cycle goes over all that is live while as many bytes of changes are written, so the log stays within a
//! few times what is live. Lives that end before their cycle does would only add to it: one that begins with a log that
//! is too long sweeps everything with its first epoch.

use dataflows::state::Sweep;
use serde::{Deserialize, Serialize};

/// A cycle goes with at least so many bytes of changes; fewer where tests are to see whole ones.
const LEAST_CYCLE_BYTES: u64 = if cfg!(debug_assertions) { 256 << 10 } else { 4 << 20 };
/// A log of more cycles than this is too long; one at its usual longest has two of changes and two of swept entries.
const LONGEST_CYCLES: u64 = 6;

/// How long the log is; kept with the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSize {
    /// What was live in the last whole cycle; 0: there was none yet.
    pub live_bytes: u64,
    /// Written from the horizon on.
    pub log_bytes: u64,
}

impl LogSize {
    fn cycle_bytes(self) -> u64 {
        self.live_bytes.max(LEAST_CYCLE_BYTES)
    }
}

/// Bytes of one epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// They tell something new.
    pub delta: u64,
    /// The sweep wrote them.
    pub swept: u64,
    /// Not written: live, and the sweep could pass over them.
    pub spared: u64,
}

/// The cycle under way.
#[derive(Clone, Copy, Debug)]
struct Cycle {
    begun: u64,
    /// Swept or spared.
    live: u64,
    /// Changes included.
    written: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Sweeping {
    cycle: Option<Cycle>,
    pub size: LogSize,
}

impl Sweeping {
    /// Goes on with a log; a cycle that was under way is lost.
    #[must_use]
    pub const fn resumed(size: LogSize) -> Self {
        Self { cycle: None, size }
    }

    /// The share of a cycle that goes with the first epoch.
    #[must_use]
    pub fn first_share(&self) -> f64 {
        let too_long = self.size.log_bytes > LONGEST_CYCLES * self.size.cycle_bytes();
        if too_long { 1.0 } else { 0.0 }
    }

    /// Takes in an epoch. Gives the horizon, if it moves with this one.
    pub fn epoch(&mut self, epoch: u64, sweep: Sweep, Written { delta, swept, spared }: Written) -> Option<u64> {
        if sweep.begins() {
            self.cycle = Some(Cycle { begun: epoch, live: 0, written: 0 });
        }
        self.size.log_bytes += delta + swept;
        let cycle = self.cycle.as_mut()?;
        cycle.live += swept + spared;
        cycle.written += delta + swept;
        let whole = self.cycle.take_if(|_| sweep.ends())?;
        self.size = LogSize { live_bytes: whole.live, log_bytes: whole.written };
        Some(whole.begun)
    }

    /// The share of a cycle that goes with so many bytes of changes.
    #[must_use]
    pub fn share(&self, delta: u64) -> f64 {
        delta as f64 / self.size.cycle_bytes() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::state::Pace;

    const LIVE: u64 = 100 << 20;
    const DELTA: u64 = 1 << 20;

    /// Lives of so many epochs each; gives the longest log and the bytes written in all.
    fn live(lives: usize, epochs: u64) -> (u64, u64) {
        let (mut size, mut epoch, mut longest, mut written) = (LogSize::default(), 0, 0, 0);
        for _ in 0..lives {
            let (pace, mut position) = (Pace::default(), 0);
            let mut sweeping = Sweeping::resumed(size);
            pace.grant(sweeping.first_share());
            for _ in 0..epochs {
                epoch += 1;
                let sweep = pace.take(&mut position);
                let units = sweep.of(1_000);
                let swept = LIVE / 1_000 * (units.end.min(1_000) - units.start) as u64;
                sweeping.epoch(epoch, sweep, Written { delta: DELTA, swept, spared: 0 });
                pace.grant(sweeping.share(DELTA));
                longest = longest.max(sweeping.size.log_bytes);
                written += DELTA + swept;
            }
            size = sweeping.size;
        }
        (longest, written)
    }

    #[test]
    fn a_long_life_writes_each_change_about_twice_and_keeps_the_log_short() {
        let (longest, written) = live(1, 10_000);
        assert!(longest < 5 * LIVE, "{} times what is live", longest / LIVE);
        assert!(written < 10_000 * DELTA * 21 / 10, "{} times the changes", written / (10_000 * DELTA));
    }

    #[test]
    fn lives_too_short_for_a_cycle_do_not_grow_the_log() {
        for epochs in [1, 2, 10, 60] {
            let (longest, _) = live(2_000, epochs);
            assert!(longest < 9 * LIVE, "lives of {epochs} epochs: {} times what is live", longest / LIVE);
        }
    }

    #[test]
    fn the_log_begins_where_the_last_whole_cycle_began() {
        let pace = Pace::default();
        let (mut sweeping, mut position) = (Sweeping::resumed(LogSize::default()), 0);
        let mut epoch = |number: u64, share: f64, delta: u64| {
            pace.grant(share);
            sweeping.epoch(number, pace.take(&mut position), Written { delta, swept: 60, spared: 40 })
        };
        assert_eq!(epoch(1, 0.0, 5), None);
        assert_eq!(epoch(2, 0.5, 5), None);
        assert_eq!(epoch(3, 0.5, 5), Some(2));
        assert_eq!(epoch(4, 1.0, 5), Some(4), "a whole cycle in one epoch");
        assert_eq!(sweeping.size, LogSize { live_bytes: 100, log_bytes: 65 });
    }
}
