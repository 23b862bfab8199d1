//! Who is kept: finding, keeping, linking, dropping, and marking as touched.

use super::{RunsMachine, run_print};
use crate::{
    event::{Id, RunEvent, Status},
    machines::{
        attempt::{Attempt, End, done},
        run::{LONG_AGO, Run},
    },
    memory::Fingerprint,
    series::Limit,
    slab::{NO_SLOT, Slot},
    time::{Millis, StreamTime},
};
use hashbrown::DefaultHashBuilder;
use std::hash::BuildHasher;

impl RunsMachine {
    pub(super) fn find_run(&self, id: Id) -> Option<Slot> {
        let hash = self.hasher.hash_one(id);
        self.run_index.find(hash, |slot| self.runs[*slot].id == id).copied()
    }

    fn attempt_hash(hasher: &DefaultHashBuilder, run: Slot, job: Id, number: u32) -> u64 {
        hasher.hash_one((job, run, number))
    }

    pub(super) fn find_attempt(&self, run: Slot, job: Id, number: u32) -> Option<Slot> {
        let hash = Self::attempt_hash(&self.hasher, run, job, number);
        let is = |slot: &Slot| {
            let attempt = &self.attempts[*slot];
            attempt.job == job && attempt.number == number && attempt.run == run
        };
        self.attempt_index.find(hash, is).copied()
    }

    /// Keeps a new run, or one that was retired and is needed again.
    pub(super) fn keep_run(&mut self, event: &RunEvent) -> Option<Slot> {
        if self.runs.len() >= self.bounds.runs {
            self.quality.over(Limit::OpenRuns);
            return None;
        }
        let mut run = Run::new(event);
        if let Some(bits) = self.memory.get(run_print(event.run), self.before) {
            run.finished = LONG_AGO;
            run.settled = true;
            run.status = Status::ALL[usize::from(bits) % Status::ALL.len()];
        }
        Some(self.insert_run(run))
    }

    pub(super) fn insert_run(&mut self, run: Run) -> Slot {
        let hash = self.hasher.hash_one(run.id);
        let slot = self.runs.insert(run);
        let (hasher, runs) = (&self.hasher, &self.runs);
        self.run_index.insert_unique(hash, slot, |slot| hasher.hash_one(runs[*slot].id));
        slot
    }

    pub(super) fn keep_attempt(&mut self, run: Slot, job: Id, number: u32) -> Option<Slot> {
        if self.attempts.len() >= self.bounds.attempts {
            self.quality.over(Limit::OpenJobs);
            return None;
        }
        if self.runs[run].attempts as usize >= self.bounds.jobs_per_run {
            self.quality.over(Limit::JobsPerRun);
            return None;
        }
        let slot = self.insert_attempt(run, Attempt::new(run, job, number));
        self.note_seen(slot);
        Some(slot)
    }

    pub(super) fn insert_attempt(&mut self, run: Slot, attempt: Attempt) -> Slot {
        let slot = self.attempts.insert(attempt);
        let (hasher, attempts) = (&self.hasher, &self.attempts);
        let hash_of = |attempt: &Attempt| Self::attempt_hash(hasher, attempt.run, attempt.job, attempt.number);
        self.attempt_index.insert_unique(hash_of(&attempts[slot]), slot, |slot| hash_of(&attempts[*slot]));
        self.link(run, slot);
        slot
    }

    pub(super) fn end_of(&self, slot: Slot) -> Option<&End> {
        if self.attempts[slot].ended { self.ends.get(&slot) } else { None }
    }

    pub(super) fn set_end(&mut self, slot: Slot, end: Option<End>) {
        let ended = std::mem::replace(&mut self.attempts[slot].ended, end.is_some());
        match end {
            Some(end) => drop(self.ends.insert(slot, end)),
            None if ended => drop(self.ends.remove(&slot)),
            None => {}
        }
    }

    fn link(&mut self, run: Slot, slot: Slot) {
        let first = std::mem::replace(&mut self.runs[run].first, slot);
        self.runs[run].attempts += 1;
        self.attempts[slot].next = first;
        if first != NO_SLOT {
            self.attempts[first].previous = slot;
        }
    }

    pub(super) fn drop_attempt(&mut self, slot: Slot) {
        let Some(attempt) = self.attempts.remove(slot) else { return };
        self.attempt_gone(&attempt);
        let hash = Self::attempt_hash(&self.hasher, attempt.run, attempt.job, attempt.number);
        if let Ok(entry) = self.attempt_index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        if attempt.ended {
            self.ends.remove(&slot);
        }
        match attempt.previous {
            NO_SLOT => self.runs[attempt.run].first = attempt.next,
            previous => self.attempts[previous].next = attempt.next,
        }
        if attempt.next != NO_SLOT {
            self.attempts[attempt.next].previous = attempt.previous;
        }
        self.runs[attempt.run].attempts -= 1;
        self.touch_run(attempt.run);
    }

    pub(super) fn drop_run(&mut self, slot: Slot) {
        let Some(run) = self.runs.remove(slot) else { return };
        self.run_gone(&run);
        let hash = self.hasher.hash_one(run.id);
        if let Ok(entry) = self.run_index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
    }

    pub(super) fn touch_run(&mut self, slot: Slot) {
        let run = &mut self.runs[slot];
        if !run.touched {
            run.touched = true;
            self.touched_runs.push(slot);
        }
        self.run_changed(slot);
    }

    pub(super) fn touch_attempt(&mut self, slot: Slot) {
        let attempt = &mut self.attempts[slot];
        if !attempt.has(done::TOUCHED) {
            attempt.done |= done::TOUCHED;
            self.touched_attempts.push(slot);
        }
        self.attempt_changed(slot);
    }

    pub(super) fn remember(&mut self, id: Fingerprint, bits: u8, latest: Millis, now: StreamTime) {
        let evicted = self.memory.insert(id, bits, latest.max(now.0), now);
        self.quality.over_limit[Limit::RememberedIds as usize] += evicted;
    }
}
