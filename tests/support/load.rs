//! The log that a test lives on: a made-up fleet's events with disorder, duplicates, garbage, and stretches that are
//! sent again, as a sender does that has not seen its acknowledgement.
//!
//! It must be *punctual* (I1), or the reference would be no reference:
//! - Disorder is [`DISORDER_MS`] at most. Stretches sent again hold only what was sent before.
//! - A partition counts as caught up for 5 s after its end was listed, while others are read on; what is sent in this
//!   time may be read after stream time has passed it. At [`EVENTS_A_SECOND`] (the fleet lives some 80 s in one) that
//!   is below 7 minutes, and the grace of a steady log is half an hour. Whoever sends never makes up for lost time.
//! - The times to live are short against the log's length, so that jobs are lost and what is over is forgotten; both are
//!   functions of a punctual log's events and its last time. The memory ([`DEDUP_WINDOW`]) is longer than any run, and
//!   longer than whatever is sent again lies back.
//! - Record timestamps are those of delivery, never before the event's own: nothing is clamped.

use gocdnext_flow::fleet::{Disorder, Fleet, FleetOptions, Noise, NoiseOptions, Record};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

pub const EVENTS_A_SECOND: u32 = 1_000;
const DISORDER_MS: i64 = 30_000;
pub const DEDUP_WINDOW: &str = "3h";
pub const JOB_TTL: &str = "5m";
pub const QUEUE_TTL: &str = "20m";

/// How the log comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// At [`EVENTS_A_SECOND`], also while it is read.
    Steady,
    /// At a tenth of that, for hours.
    Trickle,
    /// In bursts, while nobody reads. Nothing can then be read too late, however little grace there is: a stream time that
    /// does not wait for the slowest partition shows.
    Backlogs,
}

impl Flow {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Trickle => "trickle",
            Self::Backlogs => "backlogs",
        }
    }

    /// `None`: only as it is asked for.
    pub const fn events_a_second(self) -> Option<u32> {
        match self {
            Self::Steady => Some(EVENTS_A_SECOND),
            Self::Trickle => Some(EVENTS_A_SECOND / 10),
            Self::Backlogs => None,
        }
    }

    /// Settings of the rules, the same for the program and for the reference.
    pub const fn rules(self) -> [&'static str; 8] {
        let grace = match self {
            Self::Steady | Self::Trickle => "30m",
            Self::Backlogs => "1m",
        };
        ["--late-grace", grace, "--dedup-window", DEDUP_WINDOW, "--job-ttl", JOB_TTL, "--queue-ttl", QUEUE_TTL]
    }
}

/// Records of the longest stretch that is sent again.
const STRETCH: usize = 300;
/// One record in so many is followed by such a stretch.
const STRETCH_AFTER: u32 = 4_000;

/// An endless iterator of records. See the module.
pub struct Load {
    records: Noise<Fleet>,
    random: ChaCha8Rng,
    sent: VecDeque<Record>,
    again: VecDeque<Record>,
}

impl Load {
    pub fn new(seed: u64) -> Self {
        let fleet = FleetOptions { seed, tenants: 6, speed: 5.0, ..FleetOptions::default() };
        let noise = NoiseOptions { seed, disorder: Disorder::Time(DISORDER_MS), duplicates: 0.03, garbage: 0.005 };
        Self {
            records: Noise::new(Fleet::new(fleet), noise),
            random: ChaCha8Rng::seed_from_u64(seed),
            sent: VecDeque::with_capacity(STRETCH),
            again: VecDeque::new(),
        }
    }
}

impl Iterator for Load {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if let Some(record) = self.again.pop_front() {
            return Some(record);
        }
        let record = self.records.next()?;
        if self.sent.len() == STRETCH {
            self.sent.pop_front();
        }
        self.sent.push_back(record.clone());
        if self.random.random_ratio(1, STRETCH_AFTER) {
            let stretch = self.random.random_range(1..=self.sent.len());
            self.again.extend(self.sent.iter().rev().take(stretch).rev().cloned());
        }
        Some(record)
    }
}
