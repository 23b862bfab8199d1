//! The spans of an attempt, its wait and its duration: at once when nothing can change them, else in the end.

use super::{Attempt, End};
use crate::{
    settings::Settings,
    time::{Millis, NEVER, SKEW_TOLERANCE_MS},
};

/// A span to observe, if there is one, and whether a fact had to be left out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::machines) struct Span {
    pub from: Option<Millis>,
    pub ms: Option<Millis>,
    pub skewed: bool,
}

impl Attempt {
    /// Since when it can be dispatched, by facts that are known and no guess: a real `queued`, and `ready` if needed.
    fn known_since(&self) -> Option<Millis> {
        let queued = self.queued != NEVER && !self.virtual_queued;
        let since = if self.dispatchable { self.queued } else { self.ready };
        (queued && since != NEVER && self.queued <= since).then_some(since)
    }

    /// The wait when nothing can change it any more.
    pub(in crate::machines) fn wait_at_once(&self) -> Option<Span> {
        let since = self.known_since()?;
        let in_order = self.scheduled != NEVER && since <= self.scheduled;
        in_order.then(|| Span { from: Some(since), ms: Some(self.scheduled - since), skewed: false })
    }

    /// The deadline of the wait's second rule; [`NEVER`] while there is no evidence with a time.
    pub(in crate::machines) fn wait_deadline(&self, settings: &Settings) -> Millis {
        self.dispatch_evidence().saturating_add(settings.settling_ms())
    }

    pub(in crate::machines) fn dispatch_evidence(&self) -> Millis {
        self.scheduled.min(self.started)
    }

    /// The wait by what is known. Facts too far behind the dispatch or the end are as good as unknown: whether they
    /// are read by now depends on how the log was cut.
    pub(in crate::machines) fn wait_in_the_end(&self, end: Option<&End>) -> Span {
        let evidence = self.dispatch_evidence();
        if evidence == NEVER {
            return Span::default();
        }
        let mut spans = Spans::up_to(end.map_or(evidence, |end| end.time.min(evidence)));
        let dispatch = spans.first_of([self.scheduled, self.started]);
        let queued = spans.first_of([self.queued]);
        let ready = spans.first_of([self.ready]);
        let since = match queued {
            Some(queued) if !self.virtual_queued => {
                if self.dispatchable {
                    Some(queued)
                } else {
                    ready
                }
            }
            guess => ready.or(guess),
        };
        spans.between(since, dispatch)
    }

    /// The duration when nothing can change it any more.
    pub(in crate::machines) fn duration_at_once(&self, end: &End) -> Option<Span> {
        let since = self.known_since()?;
        let in_order = self.scheduled != NEVER && since <= self.scheduled && self.scheduled <= end.time;
        in_order.then(|| Span { from: Some(self.scheduled), ms: Some(end.time - self.scheduled), skewed: false })
    }

    /// The duration by what is known, facts too far behind the end left out.
    pub(in crate::machines) fn duration_in_the_end(&self, end: &End) -> Span {
        let mut spans = Spans::up_to(end.time);
        let dispatch = spans.first_of([self.scheduled, self.started]);
        spans.between(dispatch, Some(end.time))
    }
}

/// Picks the ends of a span, leaving out facts more than the tolerance behind `limit`.
struct Spans {
    limit: Millis,
    skewed: bool,
}

impl Spans {
    const fn up_to(terminal: Millis) -> Self {
        Self { limit: terminal.saturating_add(SKEW_TOLERANCE_MS), skewed: false }
    }

    fn first_of<const N: usize>(&mut self, candidates: [Millis; N]) -> Option<Millis> {
        for time in candidates.into_iter().filter(|time| *time != NEVER) {
            if time <= self.limit {
                return Some(time);
            }
            self.skewed = true;
        }
        None
    }

    fn between(&self, from: Option<Millis>, to: Option<Millis>) -> Span {
        let ms = from.zip(to).map(|(from, to)| (to - from).max(0));
        Span { from, ms, skewed: self.skewed }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{attempt, end},
        *,
    };

    #[test]
    fn spans_are_taken_at_once_only_when_all_is_known_and_in_order() {
        let whole = attempt(10, NEVER, 40, NEVER);
        assert_eq!(whole.wait_at_once().and_then(|s| s.ms), Some(30));
        assert_eq!(whole.duration_at_once(&end(100)).and_then(|s| s.ms), Some(60));
        assert_eq!(whole.duration_at_once(&end(39)), None);
        assert_eq!(attempt(50, NEVER, 40, NEVER).wait_at_once(), None);
        let waiting = Attempt { dispatchable: false, ..attempt(10, NEVER, 40, NEVER) };
        assert_eq!(waiting.wait_at_once(), None, "its ready may come");
        let ready = Attempt { ready: 25, ..waiting };
        assert_eq!(ready.wait_at_once().and_then(|s| s.ms), Some(15));
    }

    #[test]
    fn a_fact_up_to_two_seconds_behind_counts_as_zero_one_further_as_absent() {
        let behind = attempt(3_000, NEVER, 1_000, NEVER);
        assert_eq!(behind.wait_in_the_end(None), Span { from: Some(3_000), ms: Some(0), skewed: false });
        let far = attempt(3_001, NEVER, 1_000, NEVER);
        assert_eq!(far.wait_in_the_end(None), Span { from: None, ms: None, skewed: true });
        let from_started = attempt(0, NEVER, 9_000, 500).duration_in_the_end(&end(1_000));
        assert_eq!(from_started, Span { from: Some(500), ms: Some(500), skewed: true });
    }

    #[test]
    fn a_reclaimed_attempts_end_stands_for_the_next_ones_queued_only_in_the_end() {
        let mut next = attempt(NEVER, NEVER, 900, NEVER);
        next.merge_reclaimed(600);
        next.merge_reclaimed(500);
        assert_eq!(next.wait_at_once(), None);
        assert_eq!(next.wait_in_the_end(None).ms, Some(400));
    }
}
