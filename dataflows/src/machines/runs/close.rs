//! What an epoch's end does: compare what each touched or due thing should count with what it has counted.

use super::{RunsMachine, attempt_print, run_print};
use crate::{
    graph::JobResult,
    machines::{
        Close, Closed,
        attempt::{End, Losses, Outcome, Span, done},
        run::{Taken, memo},
    },
    series::Deltas,
    slab::Slot,
    time::{Millis, NEVER, StreamTime},
};
use std::cmp::Reverse;

impl RunsMachine {
    pub(super) fn close_attempts(&mut self, at: Close, closed: &mut Closed) {
        let touched = std::mem::take(&mut self.touched_attempts);
        closed.touched += touched.len() as u64;
        for slot in &touched {
            self.close_attempt(*slot, at.now, closed);
        }
        self.touched_attempts = touched;
        self.touched_attempts.clear();
        for chunk in self.attempts_due.take_due(at.now.0) {
            let slots: Vec<Slot> = self.attempts.chunk(chunk).map(|(slot, _)| slot).collect();
            for slot in slots {
                self.close_attempt(slot, at.now, closed);
            }
        }
    }

    fn close_attempt(&mut self, slot: Slot, now: StreamTime, closed: &mut Closed) {
        if self.attempts.get(slot).is_none() {
            return;
        }
        self.attempts[slot].done &= !done::TOUCHED;
        let before = self.attempts[slot].done & done::LASTING;
        self.count_dispatch(slot, &mut closed.deltas);
        self.take_wait(slot, now, &mut closed.deltas);
        self.settle(slot, now, closed);
        self.count_loss_and_gauges(slot, now, &mut closed.deltas);
        if self.attempts.get(slot).is_some_and(|attempt| attempt.done & done::LASTING != before) {
            self.attempt_changed(slot);
        }
    }

    fn count_dispatch(&mut self, slot: Slot, deltas: &mut Deltas) {
        let attempt = &mut self.attempts[slot];
        if attempt.has_evidence() && !attempt.has(done::DISPATCH) {
            attempt.done |= done::DISPATCH;
            *deltas.jobs_scheduled.entry(self.runs[attempt.run].pair).or_default() += 1;
            self.note_dispatch(slot);
        }
    }

    fn take_wait(&mut self, slot: Slot, now: StreamTime, deltas: &mut Deltas) {
        let attempt = &self.attempts[slot];
        if attempt.has(done::WAIT) {
            return;
        }
        let in_the_end =
            || now.is_past(attempt.wait_deadline(&self.settings)).then(|| attempt.wait_in_the_end(self.end_of(slot)));
        if let Some(span) = attempt.wait_at_once().or_else(in_the_end) {
            self.observe_wait(slot, span, deltas);
        }
    }

    fn observe_wait(&mut self, slot: Slot, span: Span, deltas: &mut Deltas) {
        self.attempts[slot].done |= done::WAIT;
        self.quality.skewed += u64::from(span.skewed);
        if let Some(ms) = span.ms {
            let trace = self.trace_of(slot);
            deltas.job_queue.observe(&self.settings.queue_buckets_ms, ms, trace);
        }
    }

    fn trace_of(&self, slot: Slot) -> u128 {
        let run = &self.runs[self.attempts[slot].run];
        if run.trace == 0 { run.id } else { run.trace }
    }

    /// Takes the duration, once nothing can change it or its time is up.
    fn settle(&mut self, slot: Slot, now: StreamTime, closed: &mut Closed) {
        let attempt = &self.attempts[slot];
        let Some(end) = self.end_of(slot).copied().filter(|_| !attempt.has(done::SETTLED)) else { return };
        let in_the_end = || {
            now.is_past(end.time.saturating_add(self.settings.settling_ms()))
                .then(|| attempt.duration_in_the_end(&end))
        };
        let Some(span) = attempt.duration_at_once(&end).or_else(in_the_end) else { return };
        if !attempt.has(done::WAIT) {
            let wait = attempt.wait_in_the_end(Some(&end));
            self.observe_wait(slot, wait, &mut closed.deltas);
        }
        self.attempts[slot].done |= done::SETTLED;
        self.note_end(slot, end.time);
        let mut duration = None;
        if let Outcome::Finished(status) = end.outcome {
            duration = span.ms;
            self.quality.skewed += u64::from(span.skewed);
            if let Some(ms) = span.ms {
                let trace = self.trace_of(slot);
                let bounds = &self.settings.duration_buckets_ms;
                closed.deltas.job_duration[status as usize].observe(bounds, ms, trace);
            }
        }
        if self.settings.job_results {
            closed.results.push(self.result(slot, Some(&end), span.from, duration));
        }
    }

    fn result(
        &self,
        slot: Slot,
        end: Option<&End>,
        dispatched_at: Option<Millis>,
        duration_ms: Option<Millis>,
    ) -> JobResult {
        let attempt = &self.attempts[slot];
        let run = &self.runs[attempt.run];
        let known = |time: Millis| (time != NEVER).then_some(time);
        let wait = attempt.wait_at_once().unwrap_or_else(|| attempt.wait_in_the_end(end));
        let status = end.and_then(|end| match end.outcome {
            Outcome::Finished(status) => Some(status),
            Outcome::Reclaimed => None,
        });
        JobResult {
            run: run.id,
            job: attempt.job,
            attempt: attempt.number,
            project: run.pair.project,
            pipeline: run.pair.pipeline,
            slug: run.slug,
            name: attempt.name,
            agent: attempt.agent,
            trace: self.trace_of(slot),
            status,
            exit_code: end.and_then(|end| end.exit_code),
            dispatchable_at: wait.from.or_else(|| known(attempt.dispatchable_since())),
            dispatched_at: dispatched_at.or_else(|| known(attempt.scheduled.min(attempt.started))),
            ended_at: end.map(|end| end.time),
            wait_ms: wait.ms,
            duration_ms,
        }
    }

    fn count_loss_and_gauges(&mut self, slot: Slot, now: StreamTime, deltas: &mut Deltas) {
        let attempt = &self.attempts[slot];
        let end = self.end_of(slot);
        let finish = self.runs[attempt.run].finished;
        let losses = attempt.losses_at(end, finish, &self.settings, now);
        let open = end.is_none() && finish == NEVER && !losses.latest && attempt.latest().is_some();
        let gauges = if open { attempt.gauges_when_open() } else { 0 };
        if losses.ever && !attempt.has(done::LOST) {
            deltas.jobs_lost += 1;
            self.attempts[slot].done |= done::LOST;
        }
        self.show(slot, gauges, deltas);
        self.note_ends_untold(slot, &losses, now);
        self.retire_or_wait(slot, &losses, now);
    }

    fn show(&mut self, slot: Slot, gauges: u16, deltas: &mut Deltas) {
        let attempt = &mut self.attempts[slot];
        let shown = attempt.done & done::GAUGES;
        attempt.done = attempt.done & !done::GAUGES | gauges;
        let change = |bit: u16| i64::from(gauges & bit != 0) - i64::from(shown & bit != 0);
        deltas.jobs_running += change(done::RUNNING);
        deltas.jobs_pending += change(done::PENDING);
        deltas.jobs_dispatchable += change(done::DISPATCHABLE);
        if gauges & done::DISPATCHABLE != 0 {
            let since = attempt.dispatchable_since();
            self.dispatchable.lower(slot, since);
        }
    }

    fn retire_or_wait(&mut self, slot: Slot, losses: &Losses, now: StreamTime) {
        let attempt = &self.attempts[slot];
        let end = self.end_of(slot);
        // for retention each loss is an end of its own
        let decided = attempt.has(done::LOST) && self.notes.is_none();
        let awaited = self.awaited_for_notes(slot, now);
        let undecided = if decided { NEVER } else { losses.next_due.min(awaited) };
        if attempt.has(done::SETTLED) && undecided == NEVER {
            return self.retire(slot, now);
        }
        let finish = self.runs[attempt.run].finished;
        let over = end.is_none() && (losses.latest || finish != NEVER);
        let forget = if over {
            let lost_at = if losses.latest { losses.latest_due } else { Millis::MIN };
            let horizon = attempt.latest().unwrap_or(Millis::MIN).max(lost_at).max(finish_time(finish));
            horizon.saturating_add(self.settings.memory_ms())
        } else {
            NEVER
        };
        if now.is_past(forget) {
            return self.drop_attempt(slot);
        }
        let wait = if attempt.has(done::WAIT) { NEVER } else { attempt.wait_deadline(&self.settings) };
        let unsettled = end.filter(|_| !attempt.has(done::SETTLED));
        let settle = unsettled.map_or(NEVER, |end| end.time.saturating_add(self.settings.settling_ms()));
        let closed = self.close_deadline(slot);
        self.attempts_due.lower(slot, losses.next_due.min(wait).min(settle).min(forget).min(closed).min(awaited));
    }

    fn retire(&mut self, slot: Slot, now: StreamTime) {
        let attempt = &self.attempts[slot];
        let end = self.end_of(slot);
        let id = attempt_print(self.runs[attempt.run].id, attempt.job, attempt.number);
        let bits = memo::bits(end, attempt.has(done::DISPATCH));
        let latest = attempt.latest().unwrap_or(Millis::MIN).max(end.map_or(Millis::MIN, |end| end.time));
        self.remember(id, bits, latest, now);
        self.drop_attempt(slot);
    }

    pub(super) fn close_runs(&mut self, at: Close, closed: &mut Closed) {
        let mut touched = std::mem::take(&mut self.touched_runs);
        closed.touched += touched.len() as u64;
        for chunk in self.runs_due.take_due(at.now.0) {
            touched.extend(self.runs.chunk(chunk).map(|(slot, _)| slot));
        }
        for slot in &touched {
            self.close_run(*slot, at.now, &mut closed.deltas);
        }
        self.touched_runs = touched;
        self.touched_runs.clear();
    }

    fn close_run(&mut self, slot: Slot, now: StreamTime, deltas: &mut Deltas) {
        let Some(run) = self.runs.get_mut(slot) else { return };
        run.touched = false;
        let before = (run.shown, run.settled);
        let queued = run.is_queued(&self.settings, now);
        deltas.runs_queued += i64::from(queued) - i64::from(run.shown);
        run.shown = queued;
        let taken = if run.settled { Taken::NotYet } else { run.duration(&self.settings, now) };
        run.settled |= taken != Taken::NotYet;
        if let Taken::Span(ms) = taken {
            let trace = if run.trace == 0 { run.id } else { run.trace };
            deltas.run_duration[run.status as usize].observe(&self.settings.duration_buckets_ms, ms, trace);
        }
        self.quality.skewed += u64::from(taken == Taken::Nothing && run.started != NEVER);
        if before != (run.shown, run.settled) {
            self.run_changed(slot);
        }
        let run = &self.runs[slot];
        let empty = run.attempts == 0;
        let given_up = run.finished == NEVER && now.is_past(run.forget_deadline(&self.settings));
        // while its finish lies ahead its time matters to the losses of its jobs
        if run.settled && empty && now.is_past(self.retires(run.finished)) {
            let (id, bits, latest) = (run_print(run.id), run.to_bits(), run.latest);
            self.remember(id, bits, latest, now);
            self.drop_run(slot);
        } else if given_up && empty {
            self.drop_run(slot);
        } else {
            // a run that is over but for its attempts is looked at again when the last of them goes
            let over = given_up || (run.settled && now.is_past(self.retires(run.finished)));
            let deadline = match run.settled {
                _ if over => NEVER,
                true => self.retires(run.finished),
                false => run.next_deadline(&self.settings),
            };
            self.runs_due.lower(slot, deadline);
        }
    }

    /// The oldest job that an agent could take. The bounds may be too low: the lowest is made exact until it is.
    pub(super) fn oldest_dispatchable(&mut self) -> Option<Millis> {
        let (mut chunk, mut bound) = self.dispatchable.lowest()?;
        if self.oldest_in(chunk) == bound {
            return Some(bound);
        }
        let mut by_bound = self.dispatchable.by_bound();
        while let Some(lowest) = by_bound.pop() {
            (bound, chunk) = lowest.0;
            let oldest = self.oldest_in(chunk);
            if oldest == bound {
                return Some(bound);
            }
            self.dispatchable.set(chunk, oldest);
            if oldest != NEVER {
                by_bound.push(Reverse((oldest, chunk)));
            }
        }
        None
    }

    fn oldest_in(&self, chunk: usize) -> Millis {
        let shown = self.attempts.chunk(chunk).filter(|(_, attempt)| attempt.has(done::DISPATCHABLE));
        shown.map(|(_, attempt)| attempt.dispatchable_since()).min().unwrap_or(NEVER)
    }

    pub(super) fn report_open(&self, closed: &mut Closed) {
        for (slot, attempt) in self.attempts.iter().filter(|(_, attempt)| !attempt.has(done::SETTLED)) {
            if attempt.latest().is_some() || attempt.ended {
                closed.results.push(self.result(slot, self.end_of(slot), None, None));
            }
        }
    }
}

/// A finish that is known to have a time; otherwise the beginning of time.
const fn finish_time(finish: Millis) -> Millis {
    if finish == NEVER { Millis::MIN } else { finish }
}
