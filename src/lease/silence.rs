//! For how long the holder of the lease was silent, as one newcomer has seen it.
//!
//! Where holder, newcomer and database were frozen together, the newcomer may wake first: what lies between two of its looks
//! counts for no more than looks take.

use super::LOOK_EVERY;
use crate::store::Lease;
use std::time::{Duration, Instant};

/// What one look can add to the silence.
const LONGEST_LOOK: Duration = LOOK_EVERY.saturating_mul(4);

/// What to do after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Wait,
    Claim,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Silence {
    seen: Option<Lease>,
    /// Time between looks that went well and saw the same.
    silent: Duration,
    looked_at: Option<Instant>,
}

impl Silence {
    /// Counts a look whose answer came now.
    pub fn look(&mut self, lease: &Lease, now: Instant, ttl: Duration) -> Verdict {
        if lease.released {
            return Verdict::Claim;
        }
        let same = |seen: &Lease| (seen.generation, seen.beat) == (lease.generation, lease.beat);
        if self.seen.as_ref().is_some_and(same) {
            let since = self.looked_at.map_or(Duration::ZERO, |before| now.saturating_duration_since(before));
            self.silent += since.min(LONGEST_LOOK);
        } else {
            self.silent = Duration::ZERO;
            self.seen = Some(lease.clone());
        }
        self.looked_at = Some(now);
        if self.silent >= ttl { Verdict::Claim } else { Verdict::Wait }
    }

    /// A look failed: the holder may have failed as well, so this time does not count.
    pub fn interrupted(&mut self) {
        self.looked_at = None;
    }

    /// Who was seen last.
    #[must_use]
    pub fn holder(&self) -> String {
        self.seen.as_ref().map(|lease| lease.instance_id.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::RangeInclusive;

    const TTL: Duration = Duration::from_secs(15);

    fn lease(beat: u64) -> Lease {
        let (instance_id, holder) = ("a".to_owned(), "b".to_owned());
        Lease { generation: 1, beat, instance_id, holder, released: false, renewed_at_ms: 0 }
    }

    #[test]
    fn a_released_lease_is_claimed_at_once() {
        let lease = Lease { released: true, ..lease(3) };
        assert_eq!(Silence::default().look(&lease, Instant::now(), TTL), Verdict::Claim);
    }

    /// Looks once a second, and what the last one says.
    fn looks(silence: &mut Silence, lease: &Lease, start: Instant, seconds: RangeInclusive<u64>) -> Verdict {
        let look = |second| silence.look(lease, start + Duration::from_secs(second), TTL);
        seconds.map(look).last().unwrap()
    }

    #[test]
    fn a_beat_starts_the_silence_anew() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert_eq!(looks(&mut silence, &lease(1), start, 0..=14), Verdict::Wait);
        assert_eq!(looks(&mut silence, &lease(2), start, 15..=29), Verdict::Wait);
        assert_eq!(looks(&mut silence, &lease(2), start, 30..=30), Verdict::Claim);
    }

    #[test]
    fn another_holder_starts_the_silence_anew() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert_eq!(looks(&mut silence, &lease(1), start, 0..=14), Verdict::Wait);
        let other = Lease { generation: 2, instance_id: "c".to_owned(), ..lease(1) };
        assert_eq!(looks(&mut silence, &other, start, 15..=29), Verdict::Wait);
        assert_eq!(silence.holder(), "c");
        assert_eq!(looks(&mut silence, &other, start, 30..=30), Verdict::Claim);
    }

    #[test]
    fn time_without_an_answer_is_no_silence() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        silence.look(&lease(1), start, TTL);
        silence.interrupted();
        assert_eq!(looks(&mut silence, &lease(1), start, 3_600..=3_614), Verdict::Wait);
        assert_eq!(looks(&mut silence, &lease(1), start, 3_615..=3_615), Verdict::Claim);
    }

    #[test]
    fn a_pause_of_our_own_counts_no_more_than_a_look_takes() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert_eq!(looks(&mut silence, &lease(1), start, 0..=5), Verdict::Wait);
        // the holder may have been frozen with us
        assert_eq!(looks(&mut silence, &lease(1), start, 3_600..=3_608), Verdict::Wait);
        assert_eq!(looks(&mut silence, &lease(1), start, 3_609..=3_609), Verdict::Claim);
    }
}
