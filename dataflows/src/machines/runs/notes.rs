//! What the archives machine is told of attempts, at the transitions of this machine, each once. Nothing while
//! retention is off.

use super::{RunsMachine, is_evidence};
use crate::{
    event::{Kind, RunEvent},
    machines::{
        attempt::{Losses, done},
        run::LONG_AGO,
    },
    retention::note::{Key, Note},
    slab::Slot,
    time::{Millis, NEVER, SKEW_TOLERANCE_MS, StreamTime},
};

impl RunsMachine {
    /// What was noted since the last time.
    pub fn take_notes(&mut self) -> Vec<Note> {
        self.notes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn note_of(&self, slot: Slot) -> Note {
        let attempt = &self.attempts[slot];
        let run = &self.runs[attempt.run];
        Note::seen(Key { run: run.id, job: attempt.job, attempt: attempt.number }, run.pair.project)
    }

    /// The earliest evidence of dispatch that has a time.
    fn dispatched(&self, slot: Slot) -> Millis {
        let attempt = &self.attempts[slot];
        let at_end = self.end_of(slot).filter(|_| attempt.has(done::AGENT_AT_END));
        attempt.dispatch_evidence().min(at_end.map_or(NEVER, |end| end.time))
    }

    pub(super) fn note_seen(&mut self, slot: Slot) {
        if self.notes.is_some() {
            let note = self.note_of(slot);
            self.notes.iter_mut().for_each(|notes| notes.push(note));
        }
    }

    pub(super) fn note_dispatch(&mut self, slot: Slot) {
        if self.notes.is_some() {
            let note = Note { dispatched: self.dispatched(slot), ..self.note_of(slot) };
            self.notes.iter_mut().for_each(|notes| notes.push(note));
        }
    }

    pub(super) fn note_end(&mut self, slot: Slot, ended: Millis) {
        if self.notes.is_some() {
            let note = Note { dispatched: self.dispatched(slot), ended, ..self.note_of(slot) };
            self.notes.iter_mut().for_each(|notes| notes.push(note));
        }
    }

    /// Ends without an event of the attempt's own: it was lost while it ran, or its run's finish has closed it.
    pub(super) fn note_ends_untold(&mut self, slot: Slot, losses: &Losses, now: StreamTime) {
        if self.notes.is_none() {
            return;
        }
        for (fact, lost_at) in losses.running.into_iter().enumerate() {
            let told = done::TOLD_LOST << fact;
            if lost_at != NEVER && !self.attempts[slot].has(told) {
                self.attempts[slot].done |= told;
                self.note_end(slot, lost_at);
            }
        }
        if now.is_past(self.close_deadline(slot)) {
            self.attempts[slot].done |= done::TOLD_CLOSED;
            let attempt = &self.attempts[slot];
            let finish = self.runs[attempt.run].finished;
            let latest = || attempt.latest().unwrap_or(self.runs[attempt.run].latest);
            let ended = if finish == LONG_AGO { latest() } else { finish };
            self.note_end(slot, ended);
        }
    }

    /// Strictly after this its run's finish has closed it: no own end can come in time any more. [`NEVER`]: it has an
    /// own end, or its run has none, or this was told.
    pub(super) fn close_deadline(&self, slot: Slot) -> Millis {
        if self.notes.is_none() {
            return NEVER;
        }
        let attempt = &self.attempts[slot];
        let finish = self.runs[attempt.run].finished;
        if finish == NEVER || attempt.has(done::TOLD_CLOSED) {
            return NEVER;
        }
        let own = self.end_of(slot).is_some_and(|end| end.time <= finish.saturating_add(SKEW_TOLERANCE_MS));
        if own { NEVER } else { self.retires(finish) }
    }

    /// Up to this an attempt that has ended is kept: facts from before its end may be unread, and each may allow a loss.
    /// [`NEVER`]: it need not be.
    pub(super) fn awaited_for_notes(&self, slot: Slot, now: StreamTime) -> Millis {
        let end = self.end_of(slot).filter(|_| self.notes.is_some());
        let all_read = end.map_or(NEVER, |end| self.retires(end.time));
        if now.is_past(all_read) { NEVER } else { all_read }
    }

    /// A run is kept until its finish has closed its attempts, unread ones too, where it matters when that was: for
    /// retention, and for losses that may fall due before all is read.
    pub(super) fn retires(&self, deadline: Millis) -> Millis {
        let shortest = self.settings.job_ttl_ms.min(self.settings.queue_ttl_ms);
        if self.notes.is_none() && shortest >= self.settings.late_grace_ms {
            return deadline;
        }
        deadline.saturating_add(self.settings.settling_ms())
    }

    /// The first evidence of dispatch came after the attempt was retired. All of the epoch's is told.
    pub(super) fn note_dispatch_after_all(&mut self, event: &RunEvent) {
        if let Some(notes) = &mut self.notes {
            notes.push(Note { dispatched: event.time, ..seen(event) });
        }
    }

    /// A bound keeps the attempt out. An end without evidence is taken for one of a dispatched attempt: that may have
    /// been kept out, too.
    pub(super) fn note_unkept(&mut self, event: &RunEvent) {
        if let Some(notes) = &mut self.notes {
            let ended = end_of(event);
            let dispatched = if is_evidence(event) { event.time } else { ended };
            notes.push(Note { dispatched, ended, ..seen(event) });
        }
    }

    /// Too late to be applied: what it says of the attempt is all that is known.
    pub(super) fn note_late(&mut self, event: &RunEvent) {
        if event.attempt == 0 {
            return;
        }
        if let Some(notes) = &mut self.notes {
            let dispatched = if is_evidence(event) { event.time } else { NEVER };
            notes.push(Note { dispatched, ended: end_of(event), hearsay: true, ..seen(event) });
        }
    }
}

fn seen(event: &RunEvent) -> Note {
    Note::seen(Key { run: event.run, job: event.job, attempt: event.attempt }, event.project)
}

fn end_of(event: &RunEvent) -> Millis {
    if matches!(event.kind, Kind::JobFinished | Kind::JobRequeued) { event.time } else { NEVER }
}
