//! What the console shows, taken from the published snapshot: the same figures as `/metrics`.

use dataflows::{event::Status, registry::Snapshot, series::Histogram, settings::Settings, time::Millis};

/// One moment of the demo.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub events: u64,
    pub dispatched: u64,
    pub running: i64,
    pub dispatchable: i64,
    pub oldest_ms: Millis,
    pub agents: i64,
    pub succeeded: u64,
    pub failed: u64,
    pub canceled: u64,
    /// Median and 95th percentile.
    pub wait_ms: [Option<Millis>; 2],
    pub duration_ms: [Option<Millis>; 2],
    pub duplicates: u64,
    pub rejected: u64,
}

impl Figures {
    pub fn of(snapshot: &Snapshot, settings: &Settings) -> Self {
        let totals = &snapshot.totals;
        let ended = |status: Status| totals.job_duration.get(status as usize).map_or(0, Histogram::count);
        let mut durations = Histogram::new(&settings.duration_buckets_ms);
        totals.job_duration.iter().for_each(|histogram| durations.merge(histogram));
        let both = |histogram: &Histogram, bounds: &[Millis]| [0.5, 0.95].map(|q| quantile(histogram, bounds, q));
        Self {
            events: totals.quality.events.iter().sum(),
            dispatched: snapshot.jobs_scheduled.values().sum(),
            running: totals.jobs_running,
            dispatchable: totals.jobs_dispatchable,
            oldest_ms: snapshot.oldest_dispatchable_ms(),
            agents: totals.agents_online,
            succeeded: ended(Status::Success),
            failed: ended(Status::Failed),
            canceled: ended(Status::Canceled),
            wait_ms: both(&totals.job_queue, &settings.queue_buckets_ms),
            duration_ms: both(&durations, &settings.duration_buckets_ms),
            duplicates: totals.quality.duplicates,
            rejected: totals.quality.rejected.iter().sum(),
        }
    }
}

/// As Prometheus's `histogram_quantile` estimates it: evenly spread within its bucket. `None` of nothing; the last
/// bound where it lies beyond.
#[expect(clippy::cast_possible_truncation, reason = "an estimate for people")]
fn quantile(histogram: &Histogram, bounds: &[Millis], q: f64) -> Option<Millis> {
    let rank = histogram.count() as f64 * q;
    let mut below = 0.0;
    let mut low = 0;
    for (bucket, bound) in histogram.buckets.iter().zip(bounds) {
        let inside = *bucket as f64;
        if inside > 0.0 && below + inside >= rank {
            return Some(low + ((bound - low) as f64 * (rank - below) / inside) as Millis);
        }
        below += inside;
        low = *bound;
    }
    (histogram.count() > 0).then_some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_estimated_as_prometheus_does() {
        let bounds = [10, 20, 40];
        let mut histogram = Histogram::new(&bounds);
        assert_eq!(quantile(&histogram, &bounds, 0.5), None);
        for value in [1, 11, 12, 13] {
            histogram.observe(&bounds, value, 0);
        }
        assert_eq!(quantile(&histogram, &bounds, 0.25), Some(10));
        assert_eq!(quantile(&histogram, &bounds, 0.625), Some(15));
        histogram.observe(&bounds, 1_000, 0);
        assert_eq!(quantile(&histogram, &bounds, 1.0), Some(40), "beyond the last bound");
    }
}
