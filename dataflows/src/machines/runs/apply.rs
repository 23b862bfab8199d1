//! What an event does: merge into what is kept, or be a duplicate, a conflict or late.

use super::{AfterAll, RunsMachine, attempt_print, is_evidence, run_print};
use crate::{
    event::{Kind, RunEvent},
    machines::{
        attempt::{Applied, End, done},
        run::{self, memo},
    },
    memory::Fingerprint,
    series::{Announcement, Pair},
    slab::{NO_SLOT, Slot},
    time::Millis,
};

impl RunsMachine {
    fn tally(&mut self, applied: Applied) {
        match applied {
            Applied::New => {}
            Applied::Duplicate => self.quality.duplicates += 1,
            Applied::Conflict => self.quality.conflicts += 1,
        }
    }

    pub(super) fn apply_run(&mut self, event: &RunEvent, retry: bool) {
        let slot = match self.find_run(event.run) {
            Some(slot) => slot,
            None => match self.memory.get(run_print(event.run), self.before) {
                Some(bits) => return self.apply_retired_run(bits, event),
                None if self.is_late(event.time) => return self.late(event, retry),
                None => match self.keep_run(event) {
                    Some(slot) => slot,
                    None => return,
                },
            },
        };
        self.runs[slot].see(event);
        if event.kind == Kind::RunQueued {
            self.announce(event);
        }
        let finish_before = self.runs[slot].finished;
        let applied = self.runs[slot].merge(event);
        self.tally(applied);
        self.touch_run(slot);
        if self.runs[slot].finished != finish_before && !self.runs[slot].moved {
            self.runs[slot].moved = true;
            self.moved_runs.push(slot);
        }
    }

    fn apply_retired_run(&mut self, bits: u8, event: &RunEvent) {
        if event.kind == Kind::RunQueued {
            self.announce(event);
        }
        self.tally(if run::agrees(bits, event) { Applied::Duplicate } else { Applied::Conflict });
    }

    pub(super) fn apply_job(&mut self, event: &RunEvent, retry: bool) {
        let known_run = self.find_run(event.run);
        let known = known_run.and_then(|run| self.find_attempt(run, event.job, event.attempt));
        if let Some(slot) = known {
            return self.apply_kept(slot, event);
        }
        if let Some(bits) = self.memory.get(attempt_print(event.run, event.job, event.attempt), self.before) {
            return self.apply_retired(bits, event);
        }
        if self.is_late(event.time) {
            return self.late(event, retry);
        }
        let Some(run) = known_run.or_else(|| self.keep_run(event)) else { return self.note_unkept(event) };
        let Some(slot) = self.keep_attempt(run, event.job, event.attempt) else {
            self.note_unkept(event);
            return self.touch_run(run);
        };
        self.apply_kept(slot, event);
    }

    fn apply_kept(&mut self, slot: Slot, event: &RunEvent) {
        let run = self.attempts[slot].run;
        self.runs[run].see(event);
        self.run_changed(run);
        self.touch_attempt(slot);
        let settled = self.attempts[slot].has(done::SETTLED);
        let applied = match event.kind {
            Kind::JobFinished | Kind::JobRequeued => self.apply_end(slot, event, settled),
            _ => self.attempts[slot].merge(event),
        };
        self.tally(applied);
        if event.kind == Kind::JobQueued {
            self.announce(event);
        }
        if self.attempts[slot].has_evidence() && !self.runs[run].dispatched {
            self.runs[run].dispatched = true;
            self.touch_run(run);
        }
    }

    fn apply_end(&mut self, slot: Slot, event: &RunEvent, settled: bool) -> Applied {
        let end = End::of(event);
        if is_evidence(event) {
            self.attempts[slot].done |= done::AGENT_AT_END;
        }
        if settled {
            let agree = self.end_of(slot).is_some_and(|known| known.outcome == end.outcome);
            return if agree { Applied::Duplicate } else { Applied::Conflict };
        }
        self.attempts[slot].see_names(event);
        if event.kind == Kind::JobRequeued {
            self.queue_next(slot, event);
        }
        if self.attempts[slot].ended
            && let Some(known) = self.ends.get_mut(&slot)
        {
            return known.merge(end);
        }
        self.set_end(slot, Some(end));
        Applied::New
    }

    /// The attempt was reclaimed: the next one is queued, even if its own `job.queued` never comes.
    fn queue_next(&mut self, slot: Slot, event: &RunEvent) {
        let run = self.attempts[slot].run;
        let Some(number) = event.attempt.checked_add(1) else { return };
        let kept = self.find_attempt(run, event.job, number);
        if kept.is_none() && self.memory.get(attempt_print(event.run, event.job, number), self.before).is_some() {
            return;
        }
        let Some(next) = kept.or_else(|| self.keep_attempt(run, event.job, number)) else { return };
        if !self.attempts[next].has(done::SETTLED) {
            self.attempts[next].see_names(&RunEvent { agent: 0, ..*event });
            self.attempts[next].merge_reclaimed(event.time);
            self.touch_attempt(next);
        }
    }

    fn apply_retired(&mut self, bits: u8, event: &RunEvent) {
        if event.kind == Kind::JobQueued {
            self.announce(event);
        }
        let ends = matches!(event.kind, Kind::JobFinished | Kind::JobRequeued);
        let agrees = !ends || memo::agrees(bits, &End::of(event));
        let id = attempt_print(event.run, event.job, event.attempt);
        let first = is_evidence(event) && !memo::is_dispatched(bits);
        if first {
            if let Some(run) = self.find_run(event.run) {
                self.runs[run].dispatched = true;
                self.touch_run(run);
            }
            self.memory.insert(id, memo::with_dispatch(bits), Millis::MIN, self.before);
        }
        let tells_more = is_evidence(event)
            && (first || self.dispatched_after_all.contains_key(&id))
            && self.dispatch_after_all(id, event, agrees);
        self.tally(match (agrees, tells_more) {
            (false, _) => Applied::Conflict,
            (true, false) => Applied::Duplicate,
            (true, true) => Applied::New,
        });
    }

    /// Takes in one of the epoch's evidences that a retired attempt was dispatched after all; whether it is the first of
    /// those that agree. Which of them is read first says nothing (I1).
    fn dispatch_after_all(&mut self, id: Fingerprint, event: &RunEvent, agrees: bool) -> bool {
        self.note_dispatch_after_all(event);
        let pair = Pair { project: event.project, pipeline: event.pipeline };
        let seen = self.dispatched_after_all.entry(id).or_insert(AfterAll { pair, agreed: false });
        seen.pair = seen.pair.min(pair);
        agrees && !std::mem::replace(&mut seen.agreed, true)
    }

    /// Puts an event off to the end of the epoch, or, then, gives it up.
    pub(super) fn late(&mut self, event: &RunEvent, retry: bool) {
        if retry {
            self.quality.late += 1;
            self.note_late(event);
        } else {
            self.perhaps_late.push(*event);
        }
    }

    pub(super) fn announce(&mut self, event: &RunEvent) {
        let pair = Pair { project: event.project, pipeline: event.pipeline };
        let seen = Announcement { time: event.time, tie: event.tie, slug: event.slug };
        self.announced.entry(pair).and_modify(|known| *known = seen.max(*known)).or_insert(seen);
    }

    /// A finish that moved says something of every attempt of its run: once an epoch, however often it did.
    pub(super) fn touch_attempts_of_moved(&mut self) {
        for run in std::mem::take(&mut self.moved_runs) {
            self.runs[run].moved = false;
            self.touch_attempts_of(run);
        }
    }

    fn touch_attempts_of(&mut self, run: Slot) {
        let mut slot = self.runs[run].first;
        while slot != NO_SLOT {
            self.touch_attempt(slot);
            slot = self.attempts[slot].next;
        }
    }
}
