//! The sequencer: from what was read of each partition to stream time.
//!
//! One for the whole pipeline, in a replay too. Per partition it keeps the largest min(event time, record timestamp) of what
//! had happened by then: what was from later than it was read by the reader's wall clock (live, unless the log alone drives
//! timers) is left out.
//! Stream time is the smallest of these over the partitions not yet caught up; once all have reached an end that was
//! fetched after the wall clock read w, it is w. It never goes back, and holds while an end is unconfirmed.

use crate::{
    feed::{CatchUp, EpochEnd, Partition},
    time::{Millis, StreamTime},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What stream time follows once everything is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The wall clock, through [`EpochEnd::wall`].
    Wall,
    /// The log alone: replays, backfills, tests.
    Log,
}

/// The largest time seen in each partition, as decode reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maxima(pub BTreeMap<Partition, Millis>);

impl Maxima {
    pub fn see(&mut self, partition: Partition, time: Millis) {
        self.0.entry(partition).and_modify(|max| *max = time.max(*max)).or_insert(time);
    }

    pub fn merge(&mut self, other: &Self) {
        for (partition, time) in &other.0 {
            self.see(*partition, *time);
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Sequencer {
    clock: Clock,
    maxima: Maxima,
    now: StreamTime,
}

impl Sequencer {
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self { clock, maxima: Maxima(BTreeMap::new()), now: StreamTime::UNKNOWN }
    }

    /// One that goes on from where a former one was.
    #[must_use]
    pub const fn resumed(clock: Clock, maxima: Maxima, now: StreamTime) -> Self {
        Self { clock, maxima, now }
    }

    /// The largest time seen in each partition so far.
    #[must_use]
    pub const fn maxima(&self) -> &Maxima {
        &self.maxima
    }

    /// Stream time at the end of an epoch in which `read` was seen.
    pub fn close(&mut self, end: &EpochEnd, read: &Maxima) -> StreamTime {
        self.maxima.merge(read);
        if let Some(time) = self.candidate(end) {
            self.now = self.now.max(StreamTime(time));
        }
        self.now
    }

    /// Whether a partition that was read is absent, as after a restart before the broker's first answer: nothing is
    /// known then of how far it is behind.
    fn unlisted(&self, end: &EpochEnd) -> bool {
        let listed = |partition: &Partition| end.partitions.iter().any(|p| p.partition == *partition);
        !self.maxima.0.keys().all(listed)
    }

    /// Where stream time would be if it could go back; `None`: it holds.
    fn candidate(&self, end: &EpochEnd) -> Option<Millis> {
        let is = |state| move |p: &&crate::feed::PartitionProgress| p.state == state;
        if self.unlisted(end) || end.partitions.iter().any(|p| p.state == CatchUp::Unconfirmed) {
            return None;
        }
        let mut behind = end.partitions.iter().filter(is(CatchUp::Behind)).peekable();
        if behind.peek().is_some() {
            // a partition of which nothing was read yet holds time back: it may hold the oldest event
            let maxima: Option<Vec<Millis>> = behind.map(|p| self.maxima.0.get(&p.partition).copied()).collect();
            return maxima?.into_iter().min();
        }
        match self.clock {
            Clock::Wall => end.wall,
            Clock::Log => self.maxima.0.values().max().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        feed::PartitionProgress,
        time::{Epoch, NextOffset},
    };
    use CatchUp::{Behind, CaughtUp, Unconfirmed};

    fn end(states: &[CatchUp], wall: Option<Millis>) -> EpochEnd {
        let partitions = (0..).zip(states);
        let partitions = partitions
            .map(|(partition, state)| PartitionProgress { partition, next_offset: NextOffset(0), state: *state })
            .collect();
        EpochEnd { epoch: Epoch(1), next_epoch: Epoch(2), partitions, wall, last: false, retention: None }
    }

    fn read(times: &[(Partition, Millis)]) -> Maxima {
        Maxima(times.iter().copied().collect())
    }

    #[test]
    fn the_slowest_partition_behind_leads_until_all_are_caught_up() {
        let mut sequencer = Sequencer::new(Clock::Wall);
        assert_eq!(sequencer.close(&end(&[Behind, Behind], None), &read(&[(0, 50)])), StreamTime::UNKNOWN);
        assert_eq!(sequencer.close(&end(&[Behind, Behind], None), &read(&[(1, 30)])), StreamTime(30));
        assert_eq!(sequencer.close(&end(&[Behind, CaughtUp], None), &read(&[])), StreamTime(50));
        assert_eq!(sequencer.close(&end(&[CaughtUp, CaughtUp], Some(90)), &read(&[])), StreamTime(90));
    }

    #[test]
    fn it_never_goes_back_and_holds_while_an_end_is_unconfirmed() {
        let mut sequencer = Sequencer::new(Clock::Wall);
        sequencer.close(&end(&[CaughtUp], Some(90)), &read(&[]));
        assert_eq!(sequencer.close(&end(&[Behind], None), &read(&[(0, 40)])), StreamTime(90));
        assert_eq!(sequencer.close(&end(&[Unconfirmed], Some(200)), &read(&[(0, 200)])), StreamTime(90));
        assert_eq!(sequencer.close(&end(&[CaughtUp], None), &read(&[])), StreamTime(90), "no wall reading: holds");
    }

    #[test]
    fn after_a_restart_it_holds_until_every_partition_is_listed() {
        for clock in [Clock::Log, Clock::Wall] {
            let mut sequencer = Sequencer::resumed(clock, read(&[(0, 50), (1, 400)]), StreamTime(50));
            assert_eq!(sequencer.close(&end(&[], Some(900)), &read(&[])), StreamTime(50));
            assert_eq!(sequencer.close(&end(&[CaughtUp], Some(900)), &read(&[])), StreamTime(50));
            assert_eq!(sequencer.close(&end(&[Behind, CaughtUp], Some(900)), &read(&[(0, 60)])), StreamTime(60));
        }
    }

    #[test]
    fn by_the_log_alone_it_ends_at_the_last_events_time() {
        let mut sequencer = Sequencer::new(Clock::Log);
        let now = sequencer.close(&end(&[CaughtUp, CaughtUp], Some(1_000_000)), &read(&[(0, 5), (1, 70)]));
        assert_eq!(now, StreamTime(70));
    }
}
