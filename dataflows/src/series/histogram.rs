//! Histograms over spans of whole milliseconds, with a trace to look at behind each bucket.

use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// A trace to look at behind a histogram bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Exemplar {
    pub value_ms: Millis,
    pub trace: u128,
}

/// A histogram, or what an epoch adds to one. Buckets are not cumulative; the last is `+Inf`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    pub buckets: Vec<u64>,
    /// Stops at the largest number: spans from the year 1, where a sender's time is unset, add up fast, and it may not go back.
    pub sum_ms: i64,
    /// Of each bucket the longest span of the newest epoch that had one.
    pub exemplars: Vec<Option<Exemplar>>,
}

impl Histogram {
    /// An empty histogram with these upper bounds.
    #[must_use]
    pub fn new(bounds: &[Millis]) -> Self {
        let len = bounds.len() + 1;
        Self { buckets: vec![0; len], sum_ms: 0, exemplars: vec![None; len] }
    }

    /// Adds one span. `trace` 0: no exemplar.
    pub fn observe(&mut self, bounds: &[Millis], value_ms: Millis, trace: u128) {
        let bucket = bounds.partition_point(|bound| *bound < value_ms);
        self.buckets[bucket] += 1;
        self.sum_ms = self.sum_ms.saturating_add(value_ms);
        let exemplar = (trace != 0).then_some(Exemplar { value_ms, trace });
        self.exemplars[bucket] = self.exemplars[bucket].max(exemplar);
    }

    /// Adds another part of the same epoch.
    pub fn merge(&mut self, other: &Self) {
        self.add(other);
        for (mine, theirs) in self.exemplars.iter_mut().zip(&other.exemplars) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// Adds a later epoch: its exemplars replace the older ones.
    pub fn advance(&mut self, later: &Self) {
        self.add(later);
        for (mine, theirs) in self.exemplars.iter_mut().zip(&later.exemplars) {
            *mine = theirs.or(*mine);
        }
    }

    /// Number of spans.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The zero of Go's `time.Time`, as it comes from a sender that never set it.
    const YEAR_1_MS: Millis = -62_135_596_800_000;

    #[test]
    fn a_sum_never_goes_back_whatever_times_senders_give() {
        let bounds = [1_000];
        let span = 1_790_000_000_000 - YEAR_1_MS;
        let mut epoch = Histogram::new(&bounds);
        for _ in 0..1_000 {
            epoch.observe(&bounds, span, 0);
        }
        let (mut total, mut before) = (Histogram::new(&bounds), 0);
        for _ in 0..200 {
            total.advance(&epoch);
            assert!(total.sum_ms >= before, "{} after {before}", total.sum_ms);
            before = total.sum_ms;
        }
        assert_eq!((total.count(), total.sum_ms), (200_000, i64::MAX));
    }
}
