//! The sweep: writes all live state anew, bit by bit, in step with what is written anyway.
//!
//! A *cycle* goes once over every table. Each epoch is told how far the cycle goes with it ([`Sweep`]), the same for every
//! lane. Once a cycle that began in epoch s is whole, blobs from before s are garbage: what was live at s has been written
//! since, and so has what came or changed after. Nothing is read back, nothing stops, and a crash only means a new cycle.
//! What was written for its own sake since s is passed over ([`Cycle`]).

use serde::{Deserialize, Serialize};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

/// A whole cycle, in the units of [`Sweep`].
const WHOLE: u32 = 1 << 20;

/// The part of a cycle that goes with one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    from: u32,
    to: u32,
}

impl Sweep {
    /// A whole cycle in one epoch.
    pub const ALL: Self = Self { from: 0, to: WHOLE };

    /// Whether a cycle begins with this epoch.
    #[must_use]
    pub const fn begins(self) -> bool {
        self.from == 0 && self.to > 0
    }

    /// Whether a cycle is whole with this epoch.
    #[must_use]
    pub const fn ends(self) -> bool {
        self.to == WHOLE
    }

    /// Which of `units` go with this epoch; the last epoch of a cycle takes whatever is left.
    #[must_use]
    pub fn of(self, units: usize) -> Range<usize> {
        let at = |position: u32| (units as u128 * u128::from(position) / u128::from(WHOLE)) as usize;
        at(self.from)..if self.ends() { usize::MAX } else { at(self.to) }
    }
}

/// One of two cycles that follow each other. What was written in the one under way lies behind its begin: it need not be
/// swept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycle(bool);

impl Cycle {
    /// The cycle that is under way with an epoch that goes so far.
    #[must_use]
    pub const fn with(self, sweep: Sweep) -> Self {
        Self(self.0 ^ sweep.begins())
    }
}

/// How many units a table had when the cycle began: later ones hold only what is newer than that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    units: usize,
}

impl Cursor {
    /// The units that go with this epoch, of a table that has so many now.
    pub fn advance(&mut self, sweep: Sweep, units: usize) -> Range<usize> {
        if sweep.begins() {
            self.units = units;
        }
        let range = sweep.of(self.units);
        range.start.min(units)..range.end.min(units)
    }
}

/// How fast the sweep goes: granted by whoever writes the blobs, taken by the sequencer.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    granted: Arc<AtomicU32>,
}

impl Pace {
    /// Lets the cycle go on by a share of the whole, beside what was granted before.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1")]
    pub fn grant(&self, share: f64) {
        let share = (share.clamp(0.0, 1.0) * f64::from(WHOLE)) as u32;
        let add = |granted: u32| Some(granted.saturating_add(share).min(WHOLE));
        let _ = self.granted.fetch_update(Relaxed, Relaxed, add);
    }

    /// The next epoch's part; `position` says how far the cycle is, from 0, and is moved on.
    pub fn take(&self, position: &mut u32) -> Sweep {
        let granted = self.granted.swap(0, Relaxed);
        let from = *position;
        let to = from.saturating_add(granted).min(WHOLE);
        *position = if to == WHOLE { 0 } else { to };
        Sweep { from, to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_takes_every_unit_once_however_it_is_cut_and_what_came_since() {
        for steps in [vec![1.0], vec![0.5, 0.5], vec![0.3, 0.0, 0.001, 0.2, 0.9]] {
            let (pace, mut position, mut cursor) = (Pace::default(), 0, Cursor::default());
            let mut swept = vec![];
            let mut ended = false;
            for (epoch, step) in steps.iter().enumerate() {
                pace.grant(*step);
                let sweep = pace.take(&mut position);
                assert_eq!(sweep.begins(), epoch == 0);
                swept.extend(cursor.advance(sweep, 7 + epoch));
                ended = sweep.ends();
            }
            assert!(ended);
            assert_eq!(swept, (0..7 + steps.len() - 1).collect::<Vec<_>>());
            assert_eq!(position, 0);
        }
    }

    #[test]
    fn without_a_grant_nothing_is_swept() {
        let sweep = Pace::default().take(&mut 0);
        assert!(!sweep.begins() && !sweep.ends() && sweep.of(100).is_empty());
    }
}
