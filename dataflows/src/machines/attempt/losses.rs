//! The losses of an attempt: facts after which nothing came within its time to live.

use super::{Attempt, End};
use crate::{
    settings::Settings,
    time::{Millis, NEVER, StreamTime},
};

/// See [`Attempt::losses_at`].
#[derive(Clone, Copy, Debug)]
pub(in crate::machines) struct Losses {
    /// Some fact was not followed up in time.
    pub ever: bool,
    /// The latest one was not: the attempt is lost now.
    pub latest: bool,
    /// Its deadline, passed or not; [`NEVER`]: it cannot be lost.
    pub latest_due: Millis,
    /// The next deadline that has not passed.
    pub next_due: Millis,
    /// By fact: when the attempt was lost after it while it ran; [`NEVER`]: it was not.
    pub running: [Millis; 4],
}

/// A loss that a fact allows.
struct Loss {
    /// Which fact.
    fact: usize,
    /// It was dispatched by then.
    running: bool,
    /// The fact's time.
    time: Millis,
    lost_at: Millis,
    /// Strictly after this it counts.
    due: Millis,
}

impl Attempt {
    /// The losses that its facts allow: nothing came within its time to live.
    fn losses(&self, end: Option<&End>, run_finish: Millis, settings: &Settings) -> impl Iterator<Item = Loss> {
        let facts = self.facts();
        let end = end.map_or(NEVER, |end| end.time);
        let dispatched = self.dispatch_evidence();
        let (job_ttl, queue_ttl, grace) = (settings.job_ttl_ms, settings.queue_ttl_ms, settings.late_grace_ms);
        (0..).zip(facts).filter(|(_, time)| *time != NEVER).filter_map(move |(fact, time)| {
            let running = dispatched <= time;
            let ttl = if running { job_ttl } else { queue_ttl };
            let due = time.saturating_add(ttl);
            let heard = facts.iter().any(|other| time < *other && *other <= due);
            let over = end <= due || run_finish <= due;
            (!heard && !over).then(|| Loss { fact, running, time, lost_at: due, due: due.saturating_add(grace) })
        })
    }

    /// What is due next, and what is the case, at `now`.
    pub(in crate::machines) fn losses_at(
        &self,
        end: Option<&End>,
        run_finish: Millis,
        settings: &Settings,
        now: StreamTime,
    ) -> Losses {
        let latest = self.latest();
        let mut losses =
            Losses { ever: false, latest: false, latest_due: NEVER, next_due: NEVER, running: [NEVER; 4] };
        for Loss { fact, running, time, lost_at, due } in self.losses(end, run_finish, settings) {
            let passed = now.is_past(due);
            losses.ever |= passed;
            if passed && running {
                losses.running[fact] = lost_at;
            }
            if !passed {
                losses.next_due = losses.next_due.min(due);
            }
            if Some(time) == latest {
                losses.latest = passed;
                losses.latest_due = due;
            }
        }
        losses
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{attempt, end},
        *,
    };

    #[test]
    fn silence_longer_than_the_time_to_live_is_a_loss_whatever_came_later() {
        let settings = Settings::default();
        let day = settings.job_ttl_ms;
        let due = 1_000 + day + settings.late_grace_ms;
        let silent = attempt(0, NEVER, 1_000, NEVER);
        let at = |attempt: &Attempt, end: Option<&End>, finish, now| {
            let losses = attempt.losses_at(end, finish, &settings, StreamTime(now));
            (losses.ever, losses.latest)
        };
        assert_eq!(at(&silent, None, NEVER, due), (false, false));
        assert_eq!(at(&silent, None, NEVER, due + 1), (true, true));
        assert_eq!(at(&silent, None, 5_000, due + 1), (false, false), "the run's finish closed it");
        assert_eq!(at(&silent, Some(&end(2_000)), NEVER, due + 1), (false, false));
        let late_end = end(1_001 + day);
        assert_eq!(at(&silent, Some(&late_end), NEVER, due + 1), (true, true));
        let revived = Attempt { started: 1_001 + day, ..silent };
        assert_eq!(at(&revived, None, NEVER, due + 1), (true, false));
    }
}
