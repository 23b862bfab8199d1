//! The summary of a replay: exact, because it is made of every job's own result rather than of buckets. So it is the one
//! thing that grows with the log: 48 bytes an attempt (twice that while its lists grow), until the end.
//!
//! Quantiles are by nearest rank. Peaks are taken over the attempts' intervals in event time, who ends in a moment being
//! out before anyone who starts in it: not the gauges, which move once an epoch.

use dataflows::{
    event::{Kind, Status},
    feed::Reason,
    graph::JobResult,
    registry::Snapshot,
    time::Millis,
};
use std::{collections::HashSet, fmt};

/// Collects the results of ended attempts, and of those still open at the end.
#[derive(Debug, Default)]
pub struct Tally {
    by_status: [u64; Status::ALL.len()],
    reclaimed: u64,
    open: u64,
    projects: HashSet<u128>,
    waits: Vec<Millis>,
    durations: Vec<Millis>,
    waiting: Intervals,
    running: Intervals,
}

impl Tally {
    pub fn add(&mut self, result: &JobResult) {
        match (result.status, result.ended_at) {
            (Some(status), _) => self.by_status[status as usize] += 1,
            (None, Some(_)) => self.reclaimed += 1,
            (None, None) => self.open += 1,
        }
        self.projects.insert(result.project);
        self.waits.extend(result.wait_ms);
        self.durations.extend(result.duration_ms);
        let ended = result.ended_at;
        if let Some(since) = result.dispatchable_at {
            self.waiting.add(since, result.dispatched_at.or(ended));
        }
        if let Some(since) = result.dispatched_at {
            self.running.add(since, ended);
        }
    }

    /// The summary of what came between two snapshots. `records`: what was read in all.
    #[must_use]
    pub fn finish(self, before: &Snapshot, snapshot: &Snapshot, records: u64) -> Summary {
        let quality = &snapshot.totals.quality.since(&before.totals.quality);
        // sorting them all is what is left to do when the workers are done
        let ((wait, duration), (most_running, most_waiting)) = rayon::join(
            || rayon::join(|| Spread::of(self.waits), || Spread::of(self.durations)),
            || rayon::join(|| self.running.peak(), || self.waiting.peak()),
        );
        Summary {
            records,
            events: quality.events.iter().sum(),
            events_by_kind: quality.events,
            duplicates: quality.duplicates,
            rejected: quality.rejected,
            ignored: quality.ignored,
            late: quality.late,
            conflicts: quality.conflicts,
            skewed: quality.skewed,
            over_limit: quality.over_limit.iter().sum(),
            lost: snapshot.totals.jobs_lost.saturating_sub(before.totals.jobs_lost),
            by_status: self.by_status,
            reclaimed: self.reclaimed,
            open: self.open,
            projects: self.projects.len(),
            wait,
            duration,
            most_running,
            most_waiting,
            stream_time: snapshot.stream_time.0,
        }
    }
}

/// What a replay comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub records: u64,
    pub events: u64,
    pub events_by_kind: [u64; Kind::ALL.len()],
    pub duplicates: u64,
    pub rejected: [u64; Reason::ALL.len()],
    pub ignored: u64,
    pub late: u64,
    pub conflicts: u64,
    pub skewed: u64,
    pub over_limit: u64,
    pub lost: u64,
    pub by_status: [u64; Status::ALL.len()],
    pub reclaimed: u64,
    pub open: u64,
    pub projects: usize,
    pub wait: Spread,
    pub duration: Spread,
    pub most_running: usize,
    pub most_waiting: usize,
    pub stream_time: Millis,
}

/// How spans of time spread, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    pub count: usize,
    pub sum: Millis,
    pub p50: Millis,
    pub p95: Millis,
    pub p99: Millis,
    pub max: Millis,
}

impl Spread {
    fn of(mut spans: Vec<Millis>) -> Self {
        spans.sort_unstable();
        let Some(max) = spans.last().copied() else { return Self::default() };
        let rank = |percent: usize| spans[(spans.len() * percent).div_ceil(100).max(1) - 1];
        let (p50, p95, p99) = (rank(50), rank(95), rank(99));
        Self {
            count: spans.len(),
            sum: spans.iter().fold(0, |sum, span| sum.saturating_add(*span)),
            p50,
            p95,
            p99,
            max,
        }
    }
}

/// Spans of event time.
#[derive(Debug, Default)]
struct Intervals {
    starts: Vec<Millis>,
    ends: Vec<Millis>,
}

impl Intervals {
    /// `until`: `None` where it had not ended. One that ends as it begins holds no moment.
    fn add(&mut self, since: Millis, until: Option<Millis>) {
        if until.is_none_or(|until| until > since) {
            self.starts.push(since);
            self.ends.extend(until);
        }
    }

    /// The most that hold one moment.
    fn peak(mut self) -> usize {
        self.starts.sort_unstable();
        self.ends.sort_unstable();
        let (mut ended, mut most) = (0, 0);
        for (begun, start) in self.starts.iter().enumerate() {
            while self.ends.get(ended).is_some_and(|end| end <= start) {
                ended += 1;
            }
            most = most.max(begun + 1 - ended);
        }
        most
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<28}{value:>14}");
        let count = |value: u64| grouped(value);
        row("records read", count(self.records))?;
        row("  events", count(self.events))?;
        row("    duplicates", count(self.duplicates))?;
        for (name, value) in [("late", self.late), ("conflicts", self.conflicts), ("skewed", self.skewed)] {
            row(&format!("    {name}"), count(value))?;
        }
        row("  of unknown type, ignored", count(self.ignored))?;
        row("  rejected", count(self.rejected.iter().sum()))?;
        for (reason, value) in Reason::ALL.iter().zip(self.rejected).filter(|(_, value)| *value > 0) {
            row(&format!("    {}", reason.name()), count(value))?;
        }
        if self.over_limit > 0 {
            row("bounds met (see the series)", count(self.over_limit))?;
        }
        row("jobs ended", count(self.by_status.iter().sum()))?;
        for (status, value) in Status::ALL.iter().zip(self.by_status).filter(|(_, value)| *value > 0) {
            row(&format!("  {}", status.name()), count(value))?;
        }
        row("  reclaimed from an agent", count(self.reclaimed))?;
        row("jobs open at the end", count(self.open))?;
        row("jobs lost on the way", count(self.lost))?;
        row("projects", count(self.projects as u64))?;
        row("most running at once", count(self.most_running as u64))?;
        row("most waiting at once", count(self.most_waiting as u64))?;
        writeln!(
            f,
            "\n{:<12}{:>12}{:>12}{:>12}{:>12}{:>12}{:>18}",
            "seconds", "count", "p50", "p95", "p99", "max", "sum"
        )?;
        self.wait.row(f, "wait")?;
        self.duration.row(f, "duration")
    }
}

impl Spread {
    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let [p50, p95, p99, max, sum] = [self.p50, self.p95, self.p99, self.max, self.sum].map(seconds);
        let count = grouped(self.count as u64);
        writeln!(f, "{name:<12}{count:>12}{p50:>12}{p95:>12}{p99:>12}{max:>12}{sum:>18}")
    }
}

/// 1234567 as `1,234,567`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Ms as seconds, with a fraction only where there is one.
fn seconds(ms: Millis) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let (whole, rest) = (ms.unsigned_abs() / 1_000, ms.unsigned_abs() % 1_000);
    let whole = grouped(whole);
    if rest == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest:03}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let spread = Spread::of((1..=200).rev().collect());
        assert_eq!((spread.p50, spread.p95, spread.p99, spread.max), (100, 190, 198, 200));
        assert_eq!((spread.count, spread.sum), (200, 20_100));
        assert_eq!(Spread::of(vec![7]).p50, 7);
        assert_eq!(Spread::of(vec![]), Spread::default());
    }

    fn peak(intervals: &[(Millis, Option<Millis>)]) -> usize {
        let mut all = Intervals::default();
        for (since, until) in intervals {
            all.add(*since, *until);
        }
        all.peak()
    }

    #[test]
    fn who_ends_in_a_moment_is_out_before_one_who_starts_in_it() {
        assert_eq!(peak(&[(0, Some(10)), (10, Some(20)), (10, Some(10))]), 1);
        assert_eq!(peak(&[(0, Some(11)), (10, Some(20)), (10, None)]), 3);
        assert_eq!(peak(&[(5, None), (0, Some(4))]), 1);
        assert_eq!(peak(&[(3, Some(1))]), 0, "an interval that runs backwards holds nothing");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!((grouped(0), grouped(999), grouped(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!((seconds(2_500), seconds(-1_000), seconds(60_000)), ("2.500".into(), "-1".into(), "60".into()));
    }
}
