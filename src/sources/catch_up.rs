//! Whether each partition has been read to its end: the facts that stream time rests on.
//!
//! Pure: offsets, listings and moments are passed in. What must stay true:
//! - An end E is *reached* when the next offset is at least E: behind the last record that was read, or where the client
//!   signals the end of the partition. Records are never counted: transactions leave offsets that carry no record (control
//!   records, aborted ones). A signal proves nothing of what lies behind it: the broker that is read from may not have yet
//!   what another one has listed (a follower, a leader that was replaced and does not know).
//! - A partition is caught up only while an end that it has reached was listed within [`CONFIRMED_FOR`]; so an outage
//!   of the broker holds stream time, and expires nobody.

use dataflows::{
    feed::{CatchUp, Partition, PartitionProgress},
    time::{Millis, NextOffset},
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long a listed end counts as the broker's word.
pub const CONFIRMED_FOR: Duration = Duration::from_secs(5);
/// How long a partition may stand still before a listed end before it is asked for its end again.
const PROBE_AFTER: Duration = Duration::from_millis(500);
/// A probe without an answer is made again after this.
const PROBE_AGAIN: Duration = Duration::from_secs(10);
/// Listed ends that are not reached yet; older ones are of no use once they are past [`CONFIRMED_FOR`].
const MAX_PENDING: usize = 16;

/// When a listing was asked for, by both clocks, each read before the question.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub wall: Millis,
    pub at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct End {
    next: NextOffset,
    asked: Asked,
}

/// A question to the broker whether `end` is the end; its answer is a signal of the end there.
#[derive(Clone, Copy, Debug)]
struct Probe {
    end: NextOffset,
    at: Instant,
}

#[derive(Debug)]
struct Reading {
    next: NextOffset,
    /// Not reached yet, oldest first.
    pending: VecDeque<End>,
    /// The newest that was reached.
    reached: Option<End>,
    probe: Option<Probe>,
    /// The newest listed end, for the lag.
    newest: NextOffset,
    /// Records have come since the newest end was listed.
    moved: bool,
}

impl Reading {
    fn settle(&mut self) {
        while let Some(end) = self.pending.front().filter(|end| end.next <= self.next) {
            self.reached = Some(*end);
            self.pending.pop_front();
        }
    }

    fn state(&self, now: Instant) -> CatchUp {
        let confirmed = |end: &End| now.saturating_duration_since(end.asked.at) <= CONFIRMED_FOR;
        match &self.reached {
            Some(end) if confirmed(end) => CatchUp::CaughtUp,
            Some(_) if self.pending.is_empty() => CatchUp::Unconfirmed,
            _ => CatchUp::Behind,
        }
    }

    /// The end to ask for, if the partition stands still before one.
    fn wants_probe(&self, now: Instant, drained_at: Option<Instant>) -> Option<NextOffset> {
        let end = self.pending.back()?;
        let waited = now.saturating_duration_since(end.asked.at) >= PROBE_AFTER;
        // nothing may be left in the client's queue: a seek would throw it away
        let drained = drained_at.is_some_and(|at| at > end.asked.at);
        let open = |probe: &Probe| probe.end > self.next && now.saturating_duration_since(probe.at) < PROBE_AGAIN;
        let asked = self.probe.as_ref().is_some_and(open);
        (waited && drained && !self.moved && !asked).then_some(end.next)
    }
}

/// See the module. Partitions are dense numbers from 0.
#[derive(Debug, Default)]
pub struct Tracker {
    partitions: Vec<Option<Reading>>,
    drained_at: Option<Instant>,
}

impl Tracker {
    /// Reading of `partition` starts at `next`; `end` was listed before, and will be signalled without being asked for.
    pub fn assign(&mut self, partition: Partition, next: NextOffset, end: NextOffset, now: Instant) {
        let index = usize::try_from(partition).unwrap_or(usize::MAX);
        if self.partitions.len() <= index {
            self.partitions.resize_with(index + 1, || None);
        }
        let probe = Some(Probe { end, at: now });
        let reading = Reading { next, pending: VecDeque::new(), reached: None, probe, newest: end, moved: false };
        self.partitions[index] = Some(reading);
    }

    fn get(&mut self, partition: Partition) -> Option<&mut Reading> {
        self.partitions.get_mut(usize::try_from(partition).ok()?)?.as_mut()
    }

    /// A record was read.
    pub fn record(&mut self, partition: Partition, offset: i64) {
        if let Some(reading) = self.get(partition) {
            reading.next = reading.next.max(NextOffset(offset + 1));
            reading.moved = true;
        }
    }

    /// The broker lists `end` as the partition's end.
    pub fn listed(&mut self, partition: Partition, end: NextOffset, asked: Asked) {
        if let Some(reading) = self.get(partition) {
            if reading.pending.len() == MAX_PENDING {
                reading.pending.pop_front();
            }
            reading.pending.push_back(End { next: end, asked });
            reading.newest = end;
            reading.moved = false;
            reading.settle();
        }
    }

    /// The client signals the end of the partition at this offset: all before it was handed out.
    pub fn end_signalled(&mut self, partition: Partition, at: NextOffset) {
        if let Some(reading) = self.get(partition) {
            reading.next = reading.next.max(at);
            reading.probe.take_if(|probe| probe.end <= at);
        }
    }

    /// The client's queue was empty.
    pub fn drained(&mut self, now: Instant) {
        self.drained_at = Some(now);
    }

    /// Partitions that stand still before a listed end: seek each to the offset given, which makes the client ask the
    /// broker, and signal the end again.
    pub fn probes(&mut self, now: Instant) -> Vec<(Partition, NextOffset)> {
        let mut due = Vec::new();
        for (partition, reading) in (0..).zip(&mut self.partitions) {
            let Some(reading) = reading else { continue };
            if let Some(end) = reading.wants_probe(now, self.drained_at) {
                reading.probe = Some(Probe { end, at: now });
                due.push((partition, reading.next));
            }
        }
        due
    }

    /// How far every partition is.
    pub fn progress(&mut self, now: Instant) -> Vec<PartitionProgress> {
        let mut progress = Vec::with_capacity(self.partitions.len());
        for (partition, reading) in (0..).zip(&mut self.partitions) {
            let Some(reading) = reading else { continue };
            reading.settle();
            progress.push(PartitionProgress { partition, next_offset: reading.next, state: reading.state(now) });
        }
        progress
    }

    /// The wall clock up to which everything has been read: the earliest of the partitions' newest reached ends.
    #[must_use]
    pub fn wall(&self, now: Instant) -> Option<Millis> {
        let readings = || self.partitions.iter().flatten();
        let all = readings().all(|reading| reading.state(now) == CatchUp::CaughtUp);
        let walls = readings().filter_map(|reading| Some(reading.reached?.asked.wall));
        if all { walls.min() } else { None }
    }

    /// Records (or other offsets) between what was read and the newest listed end.
    pub fn lag(&self) -> impl Iterator<Item = (Partition, u64)> {
        let behind = |r: &Reading| u64::try_from(r.newest.0.saturating_sub(r.next.0)).unwrap_or(0);
        (0..).zip(&self.partitions).filter_map(move |(partition, r)| Some((partition, behind(r.as_ref()?))))
    }

    /// Whether the partition is being read.
    #[must_use]
    pub fn knows(&self, partition: Partition) -> bool {
        usize::try_from(partition).is_ok_and(|index| self.partitions.get(index).is_some_and(Option::is_some))
    }

    /// The next offset of a partition.
    #[must_use]
    pub fn next_offset(&self, partition: Partition) -> Option<NextOffset> {
        Some(self.partitions.get(usize::try_from(partition).ok()?)?.as_ref()?.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CatchUp::{Behind, CaughtUp, Unconfirmed};

    /// A tracker and a clock that only moves when told to.
    struct Bench {
        tracker: Tracker,
        start: Instant,
        now_ms: u64,
    }

    impl Bench {
        fn new(ends: &[i64]) -> Self {
            let mut bench = Self { tracker: Tracker::default(), start: Instant::now(), now_ms: 0 };
            for (partition, end) in (0..).zip(ends) {
                let now = bench.now();
                bench.tracker.assign(partition, NextOffset(0), NextOffset(*end), now);
            }
            bench.list(ends);
            bench
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_millis(self.now_ms)
        }

        fn wait(&mut self, ms: u64) -> &mut Self {
            self.now_ms += ms;
            self
        }

        fn list(&mut self, ends: &[i64]) -> &mut Self {
            let asked = Asked { wall: i64::try_from(self.now_ms).unwrap() + 1_000_000, at: self.now() };
            for (partition, end) in (0..).zip(ends) {
                self.tracker.listed(partition, NextOffset(*end), asked);
            }
            self
        }

        fn read_up_to(&mut self, partition: Partition, last: i64) -> &mut Self {
            self.tracker.record(partition, last);
            self
        }

        fn states(&mut self) -> Vec<CatchUp> {
            let now = self.now();
            self.tracker.progress(now).into_iter().map(|p| p.state).collect()
        }

        fn wall(&mut self) -> Option<Millis> {
            self.states();
            self.tracker.wall(self.now()).map(|wall| wall - 1_000_000)
        }

        fn probes(&mut self) -> Vec<(Partition, NextOffset)> {
            self.tracker.drained(self.now());
            let now = self.now();
            self.tracker.probes(now)
        }
    }

    #[test]
    fn an_end_is_reached_by_the_next_offset() {
        let mut bench = Bench::new(&[3, 0]);
        assert_eq!(bench.states(), [Behind, CaughtUp], "an empty partition has nothing to read");
        assert_eq!(bench.wall(), None);
        assert_eq!(bench.read_up_to(0, 1).states(), [Behind, CaughtUp]);
        assert_eq!(bench.read_up_to(0, 2).states(), [CaughtUp, CaughtUp]);
        assert_eq!(bench.wall(), Some(0));
    }

    #[test]
    fn the_wall_clock_is_that_of_the_newest_reached_end_of_the_slowest_partition() {
        let mut bench = Bench::new(&[1, 1]);
        bench.read_up_to(0, 0).read_up_to(1, 0);
        bench.wait(1_000).list(&[5, 5]);
        assert_eq!(bench.wall(), Some(0), "read on, not there yet: the older end still counts");
        assert_eq!(bench.read_up_to(0, 4).wall(), Some(0));
        assert_eq!(bench.read_up_to(1, 4).wall(), Some(1_000));
    }

    #[test]
    fn without_the_brokers_word_for_5_s_it_is_unconfirmed_and_the_wall_clock_is_gone() {
        let mut bench = Bench::new(&[1]);
        bench.read_up_to(0, 0);
        assert_eq!(bench.wait(5_000).states(), [CaughtUp]);
        assert_eq!(bench.wait(1).states(), [Unconfirmed]);
        assert_eq!(bench.wall(), None);
        assert_eq!(bench.list(&[1]).states(), [CaughtUp]);
        assert_eq!(bench.wait(5_001).list(&[9]).states(), [Behind], "there is more to read: behind, not unconfirmed");
    }

    #[test]
    fn a_steady_stream_is_caught_up_between_listings() {
        let mut bench = Bench::new(&[0]);
        for second in 1..60 {
            bench.wait(1_000).list(&[second * 10]).wait(1);
            assert_eq!(bench.states(), [CaughtUp], "second {second}");
            bench.read_up_to(0, second * 10 + 3);
        }
        assert_eq!(bench.wall(), Some(59_000 + 58));
    }

    #[test]
    fn the_signal_of_the_end_counts_as_far_as_it_says() {
        let mut bench = Bench::new(&[10]);
        bench.read_up_to(0, 4);
        bench.tracker.end_signalled(0, NextOffset(5));
        assert_eq!(bench.states(), [Behind], "who is read from does not have yet what another has listed");
        assert_eq!(bench.tracker.next_offset(0), Some(NextOffset(5)));
        bench.read_up_to(0, 7);
        bench.tracker.end_signalled(0, NextOffset(10));
        assert_eq!(bench.states(), [CaughtUp], "8 and 9 carry no record");
        assert_eq!(bench.tracker.next_offset(0), Some(NextOffset(10)));
        bench.wait(6_000).list(&[12]);
        bench.tracker.end_signalled(0, NextOffset(10));
        assert_eq!(bench.states(), [Behind], "that signal may be older than the listing");
        assert_eq!(bench.tracker.next_offset(0), Some(NextOffset(10)));
    }

    #[test]
    fn an_answer_that_falls_short_is_asked_for_again_in_a_while() {
        let mut bench = Bench::new(&[0]);
        bench.tracker.end_signalled(0, NextOffset(0));
        bench.wait(6_000).list(&[2]);
        assert_eq!(bench.wait(500).probes(), [(0, NextOffset(0))]);
        bench.tracker.end_signalled(0, NextOffset(1));
        bench.list(&[2]).wait(1_000);
        assert_eq!(bench.probes(), [], "it has just been asked");
        assert_eq!(bench.wait(9_000).probes(), [(0, NextOffset(1))]);
    }

    #[test]
    fn a_partition_that_stands_still_before_its_end_is_probed_once() {
        let mut bench = Bench::new(&[0, 0]);
        bench.tracker.end_signalled(0, NextOffset(0));
        bench.wait(6_000).list(&[2, 2]).read_up_to(1, 0);
        assert_eq!(bench.probes(), [], "the records may be on their way");
        assert_eq!(bench.wait(500).probes(), [(0, NextOffset(0))], "partition 1 moves");
        assert_eq!(bench.wait(500).probes(), [], "the answer is on its way");
        bench.tracker.end_signalled(0, NextOffset(2));
        assert_eq!(bench.states(), [CaughtUp, Behind]);
        bench.wait(1_000).list(&[2, 2]);
        assert_eq!(bench.wait(500).probes(), [(1, NextOffset(1))], "reached ends are not probed");
        assert_eq!(bench.wait(10_000).probes(), [(1, NextOffset(1))], "a lost answer is asked for again");
    }

    #[test]
    fn nothing_is_probed_while_the_clients_queue_holds_records() {
        let mut bench = Bench::new(&[5]);
        bench.tracker.end_signalled(0, NextOffset(5));
        bench.tracker.drained(bench.now());
        bench.wait(10).list(&[9]).wait(20_000);
        let now = bench.now();
        assert_eq!(bench.tracker.probes(now), []);
        assert_eq!(bench.probes(), [(0, NextOffset(5))]);
    }

    #[test]
    fn a_queue_that_was_empty_when_the_end_was_asked_for_may_have_been_filled_since() {
        let mut bench = Bench::new(&[5]);
        bench.tracker.end_signalled(0, NextOffset(5));
        bench.wait(10).list(&[9]);
        bench.tracker.drained(bench.now());
        bench.wait(20_000);
        let now = bench.now();
        assert_eq!(bench.tracker.probes(now), [], "in the same moment: nobody knows which came first");
    }

    #[test]
    fn an_end_that_was_reached_without_its_signal_keeps_nobody_from_asking_for_the_next() {
        let mut bench = Bench::new(&[0]);
        bench.wait(1_000).list(&[2]);
        assert_eq!(bench.wait(500).probes(), [(0, NextOffset(0))]);
    }

    #[test]
    fn the_list_of_pending_ends_is_bounded() {
        let mut bench = Bench::new(&[1_000]);
        for second in 1..100 {
            bench.wait(1_000).list(&[1_000 + second]);
        }
        assert_eq!(bench.tracker.partitions[0].as_ref().unwrap().pending.len(), MAX_PENDING);
        assert_eq!(bench.read_up_to(0, 1_097).wall(), Some(98_000), "the oldest are left out");
        assert_eq!(bench.read_up_to(0, 1_098).wall(), Some(99_000));
    }

    #[test]
    fn lag_is_the_distance_to_the_newest_end() {
        let mut bench = Bench::new(&[10, 4]);
        bench.read_up_to(0, 2).read_up_to(1, 8);
        assert_eq!(bench.tracker.lag().collect::<Vec<_>>(), [(0, 7), (1, 0)]);
        bench.list(&[30, 12]);
        assert_eq!(bench.tracker.lag().collect::<Vec<_>>(), [(0, 27), (1, 3)]);
    }

    #[test]
    fn only_partitions_that_are_read_are_known() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        tracker.assign(2, NextOffset(4), NextOffset(4), now);
        assert_eq!([0, 1, 2, 3].map(|partition| tracker.knows(partition)), [false, false, true, false]);
        assert_eq!([1, 2].map(|partition| tracker.next_offset(partition)), [None, Some(NextOffset(4))]);
        let read = tracker.progress(now).into_iter().map(|p| (p.partition, p.next_offset, p.state));
        assert_eq!(read.collect::<Vec<_>>(), [(2, NextOffset(4), Behind)], "nothing was listed yet");
        assert_eq!(tracker.wall(now), None);
    }
}
