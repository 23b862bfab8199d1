//! For how long the holder of the lease was silent, as one newcomer has seen it.

use crate::store::Lease;
use std::time::{Duration, Instant};

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
            self.silent += self.looked_at.map_or(Duration::ZERO, |before| now.saturating_duration_since(before));
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

    #[test]
    fn a_beat_starts_the_silence_anew() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(silence.look(&lease(1), at(0), TTL), Verdict::Wait);
        assert_eq!(silence.look(&lease(1), at(14), TTL), Verdict::Wait);
        assert_eq!(silence.look(&lease(2), at(15), TTL), Verdict::Wait);
        assert_eq!(silence.look(&lease(2), at(29), TTL), Verdict::Wait);
        assert_eq!(silence.look(&lease(2), at(30), TTL), Verdict::Claim);
    }

    #[test]
    fn another_holder_starts_the_silence_anew() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(silence.look(&lease(1), at(0), TTL), Verdict::Wait);
        let other = Lease { generation: 2, instance_id: "c".to_owned(), ..lease(1) };
        assert_eq!(silence.look(&other, at(15), TTL), Verdict::Wait);
        assert_eq!(silence.holder(), "c");
        assert_eq!(silence.look(&other, at(30), TTL), Verdict::Claim);
    }

    #[test]
    fn time_without_an_answer_is_no_silence() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        silence.look(&lease(1), at(0), TTL);
        silence.interrupted();
        assert_eq!(silence.look(&lease(1), at(3_600), TTL), Verdict::Wait);
        assert_eq!(silence.look(&lease(1), at(3_614), TTL), Verdict::Wait);
        assert_eq!(silence.look(&lease(1), at(3_615), TTL), Verdict::Claim);
    }
}
