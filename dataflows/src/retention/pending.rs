//! One attempt whose log may want archiving: what is known, and what follows at a stream time. Pure, no storage.
//!
//! Everything happens at *moments* of event time, one after the other: an archive is asked for, an outcome covers an end,
//! a later end takes over. A moment is worked off only when stream time has passed it by [`slack`]: whatever has a say in
//! it is read by then (of a punctual log), so neither order nor cutting matters. docs/rules.md, "Archives".

use super::decision::{Fate, Fates};
use crate::{
    event::Id,
    settings::{Retention, Settings},
    state::{Reader, Unusable, Writer},
    time::{Millis, NEVER, SKEW_TOLERANCE_MS, StreamTime},
};
use smallvec::SmallVec;

/// Ends of one attempt that may wait to be dealt with; there are as many as there are ways to end.
const MOST_ENDS: usize = 8;
/// Outcomes of one attempt that may wait for their moment; beyond it the latest are left out, which at worst asks again.
const MOST_OUTCOMES: usize = 32;

/// What is kept of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub project: Id,
    /// The earliest evidence; [`NEVER`]: none is known, so there is no log to archive.
    pub dispatched: Millis,
    /// Ends not dealt with, in order of time; the first is worked on.
    ends: SmallVec<[Millis; 2]>,
    /// Outcomes whose moment has not passed, in order of time: whether that is the end of it (success or skipped).
    outcomes: SmallVec<[(Millis, bool); 1]>,
    /// How often the archive was asked for, for the first end.
    tries: u32,
    /// When it was asked for last, by the time at which that fell due.
    asked: Millis,
    /// It fell due while its project did not archive.
    held: bool,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for the archive.
    Ask { ended: Millis, try_: u32, due: Millis },
    /// It was asked for as often as may be.
    GiveUp { ended: Millis, tries: u32, due: Millis },
    /// Look again right away: a moment has passed without anything to do.
    Again,
    /// Nothing before stream time has passed this.
    Wait(Millis),
    /// Nothing before its project archives.
    Hold,
    /// There is nothing left to do or to remember.
    Over,
}

/// So long after a moment everything that has a say in it is read: ends are told of up to skew and grace after their
/// time, and what lies within the skew of the moment counts.
#[must_use]
pub const fn slack(settings: &Settings) -> Millis {
    2 * SKEW_TOLERANCE_MS + settings.late_grace_ms
}

impl Pending {
    #[must_use]
    pub fn new(project: Id) -> Self {
        let (ends, outcomes) = (SmallVec::new(), SmallVec::new());
        Self { project, dispatched: NEVER, ends, outcomes, tries: 0, asked: NEVER, held: false }
    }

    /// Since when a log waits for its archive; `None`: none does.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Millis> {
        self.ends.first().copied().filter(|_| self.dispatched != NEVER)
    }

    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// A try gave no archive, and another was made or will be.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.tries > 1 || (self.tries == 1 && self.held)
    }

    /// It has ended at `time`. What is earlier than an end that was worked on already is nothing new.
    pub fn end(&mut self, time: Millis) {
        let Err(place) = self.ends.binary_search(&time) else { return };
        if self.ends.len() >= MOST_ENDS || (place == 0 && self.tries > 0) {
            return;
        }
        self.ends.insert(place, time);
        self.held &= place > 0;
    }

    /// Its archive has ended at `time`, for good or not.
    pub fn outcome(&mut self, time: Millis, done: bool) {
        let Err(place) = self.outcomes.binary_search(&(time, done)) else { return };
        self.outcomes.insert(place, (time, done));
        self.outcomes.truncate(MOST_OUTCOMES);
    }

    /// What there is to do at `now`, and does it; to be asked until the answer is to wait, hold or be over. Each try that
    /// is over by it is told to `fates`, once.
    pub fn step(&mut self, now: StreamTime, settings: &Settings, archives: bool, fates: &mut Fates) -> Step {
        let Some(ended) = self.ends.first().copied() else { return self.remember(now, settings) };
        if self.dispatched == NEVER {
            return self.remember(now, settings);
        }
        let resumes = self.held && archives;
        let due = match (self.held, archives) {
            (true, true) => now.0,
            (true, false) => NEVER,
            (false, _) => self.due(ended, settings),
        };
        let covered = self.covered(ended);
        let taken_over = self.ends.get(1).map_or(NEVER, |next| next - SKEW_TOLERANCE_MS);
        let moment = due.min(covered).min(taken_over);
        if moment == NEVER {
            return Step::Hold;
        }
        let deadline = moment.saturating_add(slack(settings));
        let is_now = resumes && moment == due;
        if !is_now && !now.is_past(deadline) {
            return Step::Wait(deadline);
        }
        let stopped = taken_over == moment || covered == moment;
        // what is held is over already
        if self.tries > 0 && !self.held {
            let fate = if covered == moment {
                Fate::Executed
            } else if stopped {
                Fate::Withdrawn
            } else {
                self.failure(settings).map_or(Fate::Unanswered, |_| Fate::Failed)
            };
            fates[fate as usize] += 1;
        }
        if stopped {
            self.next_end(moment);
            return Step::Again;
        }
        if self.tries as usize >= settings.retention.archive_tries {
            let tries = self.tries;
            self.next_end(moment);
            return Step::GiveUp { ended, tries, due };
        }
        self.held = !archives;
        if self.held {
            return Step::Again;
        }
        (self.tries, self.asked) = (self.tries + 1, due);
        // they are from before this try
        self.outcomes.retain(|(time, _)| *time >= due);
        Step::Ask { ended, try_: self.tries, due }
    }

    /// When the archive is to be asked for next.
    fn due(&self, ended: Millis, settings: &Settings) -> Millis {
        let retention = &settings.retention;
        if self.tries == 0 {
            return ended.max(self.dispatched).saturating_add(retention.archive_grace_ms);
        }
        let pause = || backoff(retention, self.tries, settings);
        self.failure(settings).map_or_else(|| self.silence(settings), |time| time.saturating_add(pause()))
    }

    /// So long an answer to the last try is waited for.
    fn silence(&self, settings: &Settings) -> Millis {
        self.asked.saturating_add(settings.retention.archive_silence_ms)
    }

    /// When the last try failed.
    fn failure(&self, settings: &Settings) -> Option<Millis> {
        let waited = self.asked..=self.silence(settings);
        self.outcomes.iter().find(|(time, done)| !done && waited.contains(time)).map(|(time, _)| *time)
    }

    /// When the earliest outcome came that covers an end at `ended`: an archive from before it is not whole.
    fn covered(&self, ended: Millis) -> Millis {
        let covers = |(time, done): &&(Millis, bool)| *done && *time >= ended - SKEW_TOLERANCE_MS;
        self.outcomes.iter().find(covers).map_or(NEVER, |(time, _)| *time)
    }

    /// The first end is dealt with, at that moment.
    fn next_end(&mut self, moment: Millis) {
        self.ends.remove(0);
        // one that lies on the moment may cover the next end as well
        let last = self.ends.is_empty();
        self.outcomes.retain(|(time, _)| if last { *time > moment } else { *time >= moment });
        (self.tries, self.asked, self.held) = (0, NEVER, false);
    }

    /// Nothing to archive, as far as is known: remembered as long as all else is.
    fn remember(&self, now: StreamTime, settings: &Settings) -> Step {
        let outcome = self.outcomes.last().map(|(time, _)| *time);
        let Some(latest) = self.ends.last().copied().max(outcome) else { return Step::Over };
        let horizon = latest.saturating_add(settings.memory_ms().max(slack(settings)));
        if now.is_past(horizon) { Step::Over } else { Step::Wait(horizon) }
    }
}

/// The pause after a failure of the `tries`th try; never so short that a punctual failure could still be unread.
fn backoff(retention: &Retention, tries: u32, settings: &Settings) -> Millis {
    let doubled = 1_i64.checked_shl(tries.saturating_sub(1)).filter(|factor| *factor > 0);
    let pause = doubled.map_or(Millis::MAX, |factor| retention.archive_backoff_ms.saturating_mul(factor));
    pause.min(retention.archive_backoff_max_ms).max(settings.late_grace_ms)
}

/// Marks of a stored entry.
mod has {
    pub const DISPATCHED: u8 = 1;
    pub const ASKED: u8 = 1 << 1;
    pub const HELD: u8 = 1 << 2;
}

impl Pending {
    pub(super) fn put(&self, out: &mut Writer) {
        let mark = |set: bool, bit: u8| if set { bit } else { 0 };
        let (dispatched, asked) = (self.dispatched != NEVER, self.asked != NEVER);
        out.u128(self.project);
        out.u8(mark(dispatched, has::DISPATCHED) | mark(asked, has::ASKED) | mark(self.held, has::HELD));
        if dispatched {
            out.signed(self.dispatched);
        }
        if asked {
            out.signed(self.asked);
            out.varint(u64::from(self.tries));
        }
        out.varint(self.ends.len() as u64);
        self.ends.iter().for_each(|time| out.signed(*time));
        out.varint(self.outcomes.len() as u64);
        for (time, done) in &self.outcomes {
            out.signed(*time);
            out.u8(u8::from(*done));
        }
    }

    pub(super) fn take(entries: &mut Reader<'_>) -> Result<Self, Unusable> {
        let mut pending = Self::new(entries.u128()?);
        let marks = entries.u8()?;
        if marks & has::DISPATCHED != 0 {
            pending.dispatched = entries.signed()?;
        }
        if marks & has::ASKED != 0 {
            (pending.asked, pending.tries) = (entries.signed()?, entries.small()?);
        }
        pending.held = marks & has::HELD != 0;
        for _ in 0..entries.count()? {
            pending.ends.push(entries.signed()?);
        }
        for _ in 0..entries.count()? {
            pending.outcomes.push((entries.signed()?, entries.u8()? != 0));
        }
        Ok(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;
    const HOUR: Millis = 60 * MINUTE;

    fn ended(time: Millis) -> Pending {
        let mut pending = Pending { dispatched: 0, ..Pending::new(1) };
        pending.end(time);
        pending
    }

    /// Every step up to `now`, but for those without anything to do.
    fn steps(pending: &mut Pending, now: Millis, archives: bool) -> Vec<Step> {
        let settings = Settings::default();
        let all = std::iter::from_fn(|| {
            let step = pending.step(StreamTime(now), &settings, archives, &mut Fates::default());
            (!matches!(step, Step::Wait(_) | Step::Hold | Step::Over)).then_some(step)
        });
        all.filter(|step| *step != Step::Again).collect()
    }

    fn asks(pending: &mut Pending, now: Millis) -> Vec<Millis> {
        let due = |step: Step| if let Step::Ask { due, .. } = step { due } else { panic!("{step:?}") };
        steps(pending, now, true).into_iter().map(due).collect()
    }

    #[test]
    fn an_archive_is_asked_for_strictly_after_grace_and_slack() {
        let mut pending = ended(HOUR);
        let due = HOUR + 5 * MINUTE;
        let moment = due + slack(&Settings::default());
        assert_eq!(asks(&mut pending, moment), Vec::<Millis>::new());
        let step = pending.step(StreamTime(moment + 1), &Settings::default(), true, &mut Fates::default());
        assert_eq!(step, Step::Ask { ended: HOUR, try_: 1, due });
    }

    #[test]
    fn what_was_never_dispatched_is_not_asked_for_and_then_forgotten() {
        let mut pending = Pending::new(1);
        pending.end(HOUR);
        assert_eq!(asks(&mut pending, 72 * HOUR), Vec::<Millis>::new());
        let step =
            pending.step(StreamTime(73 * HOUR + MINUTE + 1), &Settings::default(), true, &mut Fates::default());
        assert_eq!(step, Step::Over);
    }

    #[test]
    fn an_outcome_by_its_time_covers_the_end() {
        for (time, covers) in [(HOUR, true), (HOUR - 2_000, true), (HOUR - 2_001, false), (HOUR + 5 * MINUTE, true)] {
            let mut pending = ended(HOUR);
            pending.outcome(time, true);
            assert_eq!(asks(&mut pending, 3 * HOUR).is_empty(), covers, "{time}");
        }
        let mut late = ended(HOUR);
        late.outcome(HOUR + 5 * MINUTE + 1, true);
        assert_eq!(asks(&mut late, 3 * HOUR), [HOUR + 5 * MINUTE], "it came after the archive was asked for");
    }

    #[test]
    fn pauses_double_after_failures_and_silence_is_asked_again_until_it_is_given_up() {
        let mut pending = ended(0);
        let mut due = 5 * MINUTE;
        for (try_, pause) in (1..10).zip([5, 10, 20, 40, 80, 160, 320, 360, 360]) {
            assert_eq!(asks(&mut pending, due + HOUR / 30), [due], "try {try_}");
            pending.outcome(due + MINUTE, false);
            due += MINUTE + pause * MINUTE;
        }
        assert_eq!(asks(&mut pending, due + 20 * HOUR), [due], "the last try");
        let given_up = Step::GiveUp { ended: 0, tries: 10, due: due + 24 * HOUR };
        assert_eq!(steps(&mut pending, due + 25 * HOUR, true), [given_up]);
        let mut silent = ended(0);
        assert_eq!(asks(&mut silent, 49 * HOUR), [5 * MINUTE, 5 * MINUTE + 24 * HOUR, 5 * MINUTE + 48 * HOUR]);
    }

    #[test]
    fn a_failure_of_before_the_try_says_nothing_of_it() {
        let mut pending = ended(0);
        pending.outcome(MINUTE, false);
        assert_eq!(asks(&mut pending, 23 * HOUR), [5 * MINUTE]);
    }

    #[test]
    fn a_later_end_takes_over() {
        let mut pending = ended(0);
        pending.end(7 * MINUTE);
        assert_eq!(asks(&mut pending, HOUR), [5 * MINUTE, 12 * MINUTE]);
        let mut before_it_was_asked_for = ended(0);
        before_it_was_asked_for.end(5 * MINUTE + 2_000);
        assert_eq!(asks(&mut before_it_was_asked_for, HOUR), [10 * MINUTE + 2_000]);
    }

    #[test]
    fn ends_and_outcomes_that_wait_are_bounded() {
        let mut pending = Pending { dispatched: 0, ..Pending::new(1) };
        for hour in (1..=20).rev() {
            pending.end(hour * HOUR);
        }
        pending.end(20 * HOUR);
        let expected: Vec<Millis> = (13..=20).map(|hour| hour * HOUR + 5 * MINUTE).collect();
        assert_eq!(asks(&mut pending, 21 * HOUR), expected, "those that came first");
        let mut failing = ended(0);
        asks(&mut failing, HOUR / 10 + HOUR / 15);
        for minute in (6..=60).rev() {
            failing.outcome(minute * MINUTE, false);
        }
        assert_eq!(failing.outcomes.len(), MOST_OUTCOMES);
        assert_eq!(asks(&mut failing, 15 * MINUTE), [11 * MINUTE], "the latest are left out");
    }

    #[test]
    fn an_end_from_before_one_that_was_asked_for_is_nothing_new() {
        let mut pending = ended(HOUR);
        assert_eq!(asks(&mut pending, 2 * HOUR), [HOUR + 5 * MINUTE]);
        pending.end(HOUR - 10 * MINUTE);
        pending.outcome(2 * HOUR, true);
        assert_eq!(asks(&mut pending, 50 * HOUR), Vec::<Millis>::new());
        let mut before_it_was_asked_for = ended(HOUR);
        before_it_was_asked_for.end(HOUR - 10 * MINUTE);
        assert_eq!(asks(&mut before_it_was_asked_for, 2 * HOUR), [HOUR - 5 * MINUTE, HOUR + 5 * MINUTE]);
    }

    #[test]
    fn it_fails_from_its_second_try_on_or_while_it_is_held_after_one() {
        let mut pending = ended(0);
        let failing = |pending: &mut Pending, now, archives| {
            steps(pending, now, archives);
            pending.is_failing()
        };
        assert!(!failing(&mut pending, 4 * MINUTE, true));
        assert!(!failing(&mut pending, HOUR, true), "its first try is under way");
        assert!(failing(&mut pending, 25 * HOUR, true));
        let mut held = ended(0);
        assert!(!failing(&mut held, HOUR, false), "nothing was tried");
        assert!(!failing(&mut held, HOUR, true));
        assert!(failing(&mut held, 30 * HOUR, false));
        assert_eq!((held.waiting_since(), Pending::new(1).waiting_since()), (Some(0), None));
    }

    #[test]
    fn while_its_project_does_not_archive_it_is_held_and_then_asked_for_once() {
        let mut pending = ended(0);
        assert_eq!(steps(&mut pending, 100 * HOUR, false), []);
        assert!(pending.is_held());
        assert_eq!(asks(&mut pending, 100 * HOUR), [100 * HOUR], "no burst of what would have been asked meanwhile");
        pending.outcome(101 * HOUR, true);
        assert_eq!(asks(&mut pending, 500 * HOUR), Vec::<Millis>::new());
    }

    #[test]
    fn what_is_stored_comes_back() {
        let mut pending = ended(7);
        pending.end(90);
        pending.outcome(8, false);
        (pending.tries, pending.asked, pending.held) = (3, 55, true);
        for pending in [pending, Pending::new(5)] {
            let mut out = Writer::default();
            pending.put(&mut out);
            let bytes = out.finish();
            assert_eq!(Pending::take(&mut Reader::new(&bytes)), Ok(pending));
        }
    }
}
