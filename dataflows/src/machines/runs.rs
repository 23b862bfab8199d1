//! The job and run machine: keeps attempts and runs, and counts what follows from their facts.
//!
//! The rules are in [`super::attempt`] and [`super::run`]; here is who is kept, touched, due, retired and remembered.
//! An attempt goes: unknown, kept (facts merge), settled (its samples are taken), retired (a fingerprint remains),
//! forgotten. Kept things are looked at when touched in an epoch or when their chunk's deadline has passed.

use super::{
    Close, Closed, Machine,
    attempt::{Applied, Attempt, End, Outcome, Span, done},
    domain,
    run::{self, LONG_AGO, Run, retired},
};
use crate::{
    event::{Id, Kind, RunEvent},
    graph::JobResult,
    memory::{Fingerprint, Memory},
    series::{Announcement, Deltas, Limit, Pair, Quality},
    settings::Settings,
    slab::{ChunkBounds, NO_SLOT, Slab, Slot},
    time::{Millis, NEVER, StreamTime},
};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::{cmp::Reverse, hash::BuildHasher, sync::Arc};

/// See the module.
#[derive(Debug)]
pub struct RunsMachine {
    settings: Arc<Settings>,
    bounds: Bounds,
    hasher: DefaultHashBuilder,
    attempts: Slab<Attempt>,
    attempt_index: HashTable<Slot>,
    ends: HashMap<Slot, End>,
    runs: Slab<Run>,
    run_index: HashTable<Slot>,
    memory: Memory,
    /// Stream time of the last closed epoch.
    before: StreamTime,
    attempts_due: ChunkBounds,
    runs_due: ChunkBounds,
    dispatchable: ChunkBounds,
    touched_attempts: Vec<Slot>,
    touched_runs: Vec<Slot>,
    /// Events that are late unless another event of this epoch makes their attempt or run known.
    perhaps_late: Vec<RunEvent>,
    announced: HashMap<Pair, Announcement>,
    /// Dispatches of attempts that had been retired without one.
    dispatched_after_all: HashMap<Pair, u64>,
    quality: Quality,
}

/// This worker's share of the bounds on state.
#[derive(Debug)]
struct Bounds {
    attempts: usize,
    runs: usize,
    jobs_per_run: usize,
}

impl RunsMachine {
    /// The machine of one of `workers` workers.
    #[must_use]
    pub fn new(settings: Arc<Settings>, workers: usize) -> Self {
        let limits = &settings.limits;
        let bounds = Bounds {
            attempts: limits.max_open_jobs.div_ceil(workers),
            runs: limits.max_open_runs.div_ceil(workers),
            jobs_per_run: limits.max_jobs_per_run,
        };
        let memory = Memory::new(settings.dedup_window_ms, limits.max_remembered_ids.div_ceil(workers));
        Self {
            settings,
            bounds,
            hasher: DefaultHashBuilder::default(),
            attempts: Slab::default(),
            attempt_index: HashTable::new(),
            ends: HashMap::new(),
            runs: Slab::default(),
            run_index: HashTable::new(),
            memory,
            before: StreamTime::UNKNOWN,
            attempts_due: ChunkBounds::default(),
            runs_due: ChunkBounds::default(),
            dispatchable: ChunkBounds::default(),
            touched_attempts: vec![],
            touched_runs: vec![],
            perhaps_late: vec![],
            announced: HashMap::new(),
            dispatched_after_all: HashMap::new(),
            quality: Quality::default(),
        }
    }

    /// Attempts kept in full.
    #[must_use]
    pub const fn open_jobs(&self) -> usize {
        self.attempts.len()
    }

    /// Things remembered by fingerprint.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.memory.len()
    }

    fn is_late(&self, time: Millis) -> bool {
        self.before.is_past(time.saturating_add(self.settings.dedup_window_ms))
    }

    fn note(&mut self, applied: Applied) {
        match applied {
            Applied::New => {}
            Applied::Duplicate => self.quality.duplicates += 1,
            Applied::Conflict => self.quality.conflicts += 1,
        }
    }
}

/// Finding and keeping.
impl RunsMachine {
    fn find_run(&self, id: Id) -> Option<Slot> {
        let hash = self.hasher.hash_one(id);
        self.run_index.find(hash, |slot| self.runs[*slot].id == id).copied()
    }

    fn attempt_hash(hasher: &DefaultHashBuilder, run: Slot, job: Id, number: u32) -> u64 {
        hasher.hash_one((job, run, number))
    }

    fn find_attempt(&self, run: Slot, job: Id, number: u32) -> Option<Slot> {
        let hash = Self::attempt_hash(&self.hasher, run, job, number);
        let is = |slot: &Slot| {
            let attempt = &self.attempts[*slot];
            attempt.job == job && attempt.number == number && attempt.run == run
        };
        self.attempt_index.find(hash, is).copied()
    }

    /// Keeps a new run, or one that was retired and is needed again.
    fn keep_run(&mut self, event: &RunEvent) -> Option<Slot> {
        if self.runs.len() >= self.bounds.runs {
            self.quality.over(Limit::OpenRuns);
            return None;
        }
        let mut run = Run::new(event);
        if let Some(bits) = self.memory.get(run_print(event.run), self.before) {
            run.finished = LONG_AGO;
            run.settled = true;
            run.status = crate::event::Status::ALL[usize::from(bits) % crate::event::Status::ALL.len()];
        }
        let hash = self.hasher.hash_one(run.id);
        let slot = self.runs.insert(run);
        let (hasher, runs) = (&self.hasher, &self.runs);
        self.run_index.insert_unique(hash, slot, |slot| hasher.hash_one(runs[*slot].id));
        Some(slot)
    }

    fn keep_attempt(&mut self, run: Slot, job: Id, number: u32) -> Option<Slot> {
        if self.attempts.len() >= self.bounds.attempts {
            self.quality.over(Limit::OpenJobs);
            return None;
        }
        if self.runs[run].attempts as usize >= self.bounds.jobs_per_run {
            self.quality.over(Limit::JobsPerRun);
            return None;
        }
        let slot = self.attempts.insert(Attempt::new(run, job, number));
        let (hasher, attempts) = (&self.hasher, &self.attempts);
        let hash_of = |attempt: &Attempt| Self::attempt_hash(hasher, attempt.run, attempt.job, attempt.number);
        self.attempt_index.insert_unique(hash_of(&attempts[slot]), slot, |slot| hash_of(&attempts[*slot]));
        self.link(run, slot);
        Some(slot)
    }

    fn link(&mut self, run: Slot, slot: Slot) {
        let first = std::mem::replace(&mut self.runs[run].first, slot);
        self.runs[run].attempts += 1;
        self.attempts[slot].next = first;
        if first != NO_SLOT {
            self.attempts[first].previous = slot;
        }
    }

    fn drop_attempt(&mut self, slot: Slot) {
        let Some(attempt) = self.attempts.remove(slot) else { return };
        let hash = Self::attempt_hash(&self.hasher, attempt.run, attempt.job, attempt.number);
        if let Ok(entry) = self.attempt_index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        self.ends.remove(&slot);
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

    fn drop_run(&mut self, slot: Slot) {
        let Some(run) = self.runs.remove(slot) else { return };
        let hash = self.hasher.hash_one(run.id);
        if let Ok(entry) = self.run_index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
    }

    fn touch_run(&mut self, slot: Slot) {
        let run = &mut self.runs[slot];
        if !run.touched {
            run.touched = true;
            self.touched_runs.push(slot);
        }
    }

    fn touch_attempt(&mut self, slot: Slot) {
        let attempt = &mut self.attempts[slot];
        if !attempt.has(done::TOUCHED) {
            attempt.done |= done::TOUCHED;
            self.touched_attempts.push(slot);
        }
    }

    fn remember(&mut self, id: Fingerprint, bits: u8, latest: Millis, now: StreamTime) {
        let evicted = self.memory.insert(id, bits, latest.max(now.0), now);
        self.quality.over_limit[Limit::RememberedIds as usize] += evicted;
    }
}

/// Applying events.
impl RunsMachine {
    fn apply_run(&mut self, event: &RunEvent, retry: bool) {
        let slot = match self.find_run(event.run) {
            Some(slot) => slot,
            None => match self.memory.get(run_print(event.run), self.before) {
                Some(bits) if run::agrees(bits, event) => return self.note(Applied::Duplicate),
                Some(_) => return self.note(Applied::Conflict),
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
        self.note(applied);
        self.touch_run(slot);
        if self.runs[slot].finished != finish_before {
            self.touch_attempts_of(slot);
        }
    }

    fn apply_job(&mut self, event: &RunEvent, retry: bool) {
        let known_run = self.find_run(event.run);
        let known = known_run.and_then(|run| self.find_attempt(run, event.job, event.attempt));
        if let Some(slot) = known {
            return self.apply_kept(slot, event);
        }
        if let Some(bits) = self.memory.get(attempt_print(event, event.attempt), self.before) {
            return self.apply_retired(bits, event);
        }
        if self.is_late(event.time) {
            return self.late(event, retry);
        }
        let Some(run) = known_run.or_else(|| self.keep_run(event)) else { return };
        match self.keep_attempt(run, event.job, event.attempt) {
            Some(slot) => self.apply_kept(slot, event),
            None => self.touch_run(run),
        }
    }

    fn apply_kept(&mut self, slot: Slot, event: &RunEvent) {
        let run = self.attempts[slot].run;
        self.runs[run].see(event);
        self.touch_attempt(slot);
        let settled = self.attempts[slot].has(done::SETTLED);
        let applied = match event.kind {
            Kind::JobFinished | Kind::JobRequeued => self.apply_end(slot, event, settled),
            _ if settled => self.apply_after_settling(slot, event),
            _ => self.attempts[slot].merge(event),
        };
        self.note(applied);
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
            let agree = self.ends.get(&slot).is_some_and(|known| known.outcome == end.outcome);
            return if agree { Applied::Duplicate } else { Applied::Conflict };
        }
        self.attempts[slot].see_names(event);
        if event.kind == Kind::JobRequeued {
            self.queue_next(slot, event);
        }
        match self.ends.get_mut(&slot) {
            Some(known) => known.merge(end),
            None => {
                self.ends.insert(slot, end);
                Applied::New
            }
        }
    }

    /// A settled attempt takes no more facts; only that it was dispatched still counts.
    fn apply_after_settling(&mut self, slot: Slot, event: &RunEvent) -> Applied {
        let attempt = &mut self.attempts[slot];
        let known = attempt.has_evidence();
        if !is_evidence(event) || known {
            return Applied::Duplicate;
        }
        attempt.done |= done::AGENT_AT_END;
        Applied::New
    }

    /// The attempt was reclaimed: the next one is queued, even if its own `job.queued` never comes.
    fn queue_next(&mut self, slot: Slot, event: &RunEvent) {
        let run = self.attempts[slot].run;
        let number = event.attempt.saturating_add(1);
        let kept = self.find_attempt(run, event.job, number);
        if kept.is_none() && self.memory.get(attempt_print(event, number), self.before).is_some() {
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
        let ends = matches!(event.kind, Kind::JobFinished | Kind::JobRequeued);
        let agrees = !ends || retired::agrees(bits, &End::of(event));
        if is_evidence(event) && !retired::is_dispatched(bits) {
            let id = attempt_print(event, event.attempt);
            let pair = Pair { project: event.project, pipeline: event.pipeline };
            *self.dispatched_after_all.entry(pair).or_default() += 1;
            self.memory.insert(id, retired::with_dispatch(bits), Millis::MIN, self.before);
            if agrees {
                return;
            }
        }
        self.note(if agrees { Applied::Duplicate } else { Applied::Conflict });
    }

    /// Puts an event off to the end of the epoch, or, then, gives it up.
    fn late(&mut self, event: &RunEvent, retry: bool) {
        if retry {
            self.quality.late += 1;
        } else {
            self.perhaps_late.push(*event);
        }
    }

    fn announce(&mut self, event: &RunEvent) {
        let pair = Pair { project: event.project, pipeline: event.pipeline };
        let seen = Announcement { time: event.time, slug: event.slug };
        self.announced.entry(pair).and_modify(|known| *known = seen.max(*known)).or_insert(seen);
    }

    fn touch_attempts_of(&mut self, run: Slot) {
        let mut slot = self.runs[run].first;
        while slot != NO_SLOT {
            self.touch_attempt(slot);
            slot = self.attempts[slot].next;
        }
    }
}

/// Closing an epoch.
impl RunsMachine {
    fn close_attempts(&mut self, at: Close, closed: &mut Closed) {
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
        self.count_dispatch(slot, &mut closed.deltas);
        self.take_wait(slot, now, &mut closed.deltas);
        self.settle(slot, now, closed);
        self.count_loss_and_gauges(slot, now, &mut closed.deltas);
    }

    fn count_dispatch(&mut self, slot: Slot, deltas: &mut Deltas) {
        let attempt = &mut self.attempts[slot];
        if attempt.has_evidence() && !attempt.has(done::DISPATCH) {
            attempt.done |= done::DISPATCH;
            *deltas.jobs_scheduled.entry(self.runs[attempt.run].pair).or_default() += 1;
        }
    }

    fn take_wait(&mut self, slot: Slot, now: StreamTime, deltas: &mut Deltas) {
        let attempt = &self.attempts[slot];
        if attempt.has(done::WAIT) {
            return;
        }
        let in_the_end = || now.is_past(attempt.wait_deadline(&self.settings)).then(|| attempt.wait_in_the_end());
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
        let Some(end) = self.ends.get(&slot).copied().filter(|_| !attempt.has(done::SETTLED)) else { return };
        let in_the_end = || {
            let deadline = crate::time::SKEW_TOLERANCE_MS + self.settings.late_grace_ms;
            now.is_past(end.time.saturating_add(deadline)).then(|| attempt.duration_in_the_end(&end))
        };
        let Some(span) = attempt.duration_at_once(&end).or_else(in_the_end) else { return };
        if !attempt.has(done::WAIT) {
            let wait = attempt.wait_in_the_end();
            self.observe_wait(slot, wait, &mut closed.deltas);
        }
        self.attempts[slot].done |= done::SETTLED;
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
        let wait = attempt.wait_at_once().unwrap_or_else(|| attempt.wait_in_the_end());
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
        let end = self.ends.get(&slot);
        let finish = self.runs[attempt.run].finished;
        let losses = attempt.losses_at(end, finish, &self.settings, now);
        let open = end.is_none() && finish == NEVER && !losses.latest && attempt.latest().is_some();
        let gauges = if open { attempt.gauges_when_open() } else { 0 };
        if losses.ever && !attempt.has(done::LOST) {
            deltas.jobs_lost += 1;
            self.attempts[slot].done |= done::LOST;
        }
        self.show(slot, gauges, deltas);
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

    fn retire_or_wait(&mut self, slot: Slot, losses: &super::attempt::Losses, now: StreamTime) {
        let attempt = &self.attempts[slot];
        let end = self.ends.get(&slot);
        let undecided = if attempt.has(done::LOST) { NEVER } else { losses.next_due };
        if attempt.has(done::SETTLED) && undecided == NEVER {
            return self.retire(slot, now);
        }
        let finish = self.runs[attempt.run].finished;
        let over = end.is_none() && (losses.latest || finish != NEVER);
        let forget = if over {
            let lost_at = if losses.latest { losses.latest_due } else { Millis::MIN };
            let horizon = attempt.latest().unwrap_or(Millis::MIN).max(lost_at).max(finish_time(finish));
            horizon.saturating_add(self.settings.dedup_window_ms)
        } else {
            NEVER
        };
        if now.is_past(forget) {
            return self.drop_attempt(slot);
        }
        let wait = if attempt.has(done::WAIT) { NEVER } else { attempt.wait_deadline(&self.settings) };
        let grace = crate::time::SKEW_TOLERANCE_MS + self.settings.late_grace_ms;
        let settle = end.filter(|_| !attempt.has(done::SETTLED)).map_or(NEVER, |end| end.time.saturating_add(grace));
        self.attempts_due.lower(slot, losses.next_due.min(wait).min(settle).min(forget));
    }

    fn retire(&mut self, slot: Slot, now: StreamTime) {
        let attempt = &self.attempts[slot];
        let end = self.ends.get(&slot);
        let run = self.runs[attempt.run].id;
        let id = Fingerprint::of(domain::ATTEMPT, &[run, attempt.job, u128::from(attempt.number)]);
        let bits = retired::bits(end, attempt.has(done::DISPATCH));
        let latest = attempt.latest().unwrap_or(Millis::MIN).max(end.map_or(Millis::MIN, |end| end.time));
        self.remember(id, bits, latest, now);
        self.drop_attempt(slot);
    }

    fn close_runs(&mut self, at: Close, closed: &mut Closed) {
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
        let queued = run.is_queued(&self.settings, now);
        deltas.runs_queued += i64::from(queued) - i64::from(run.shown);
        run.shown = queued;
        if !run.settled
            && let Some(sample) = run.duration(&self.settings, now)
        {
            run.settled = true;
            let trace = if run.trace == 0 { run.id } else { run.trace };
            if let Some(ms) = sample {
                let bounds = &self.settings.duration_buckets_ms;
                deltas.run_duration[run.status as usize].observe(bounds, ms, trace);
            }
            self.quality.skewed += u64::from(sample.is_none() && run.started != NEVER);
        }
        let empty = run.attempts == 0;
        let given_up = run.finished == NEVER && now.is_past(run.forget_deadline(&self.settings));
        if run.settled && empty {
            let (id, bits, latest) = (run_print(run.id), run.to_bits(), run.latest);
            self.remember(id, bits, latest, now);
            self.drop_run(slot);
        } else if given_up && empty {
            self.drop_run(slot);
        } else {
            // a run given up but for its attempts is looked at again when the last of them goes
            let deadline = if given_up { NEVER } else { run.next_deadline(&self.settings) };
            self.runs_due.lower(slot, deadline);
        }
    }

    /// The oldest job that an agent could take. The bounds may be too low: the lowest is made exact until it is.
    fn oldest_dispatchable(&mut self) -> Option<Millis> {
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

    fn report_open(&self, closed: &mut Closed) {
        for (slot, attempt) in self.attempts.iter().filter(|(_, attempt)| !attempt.has(done::SETTLED)) {
            if attempt.latest().is_some() || self.ends.contains_key(&slot) {
                closed.results.push(self.result(slot, self.ends.get(&slot), None, None));
            }
        }
    }
}

impl Machine for RunsMachine {
    type Event = RunEvent;

    fn apply(&mut self, event: &RunEvent) {
        if event.job == 0 && event.attempt == 0 {
            self.apply_run(event, false);
        } else {
            self.apply_job(event, false);
        }
    }

    fn close(&mut self, at: Close, closed: &mut Closed) {
        for event in std::mem::take(&mut self.perhaps_late) {
            if event.attempt == 0 {
                self.apply_run(&event, true);
            } else {
                self.apply_job(&event, true);
            }
        }
        self.close_attempts(at, closed);
        self.close_runs(at, closed);
        closed.deltas.oldest_dispatchable = self.oldest_dispatchable();
        for (pair, seen) in self.announced.drain() {
            closed.deltas.announce(pair, seen.time, seen.slug);
        }
        for (pair, count) in self.dispatched_after_all.drain() {
            *closed.deltas.jobs_scheduled.entry(pair).or_default() += count;
        }
        if at.last && self.settings.job_results {
            self.report_open(closed);
        }
        closed.deltas.quality.merge(&std::mem::take(&mut self.quality));
        self.memory.sweep(at.now);
        self.before = at.now;
    }
}

/// A finish that is known to have a time; otherwise the beginning of time.
const fn finish_time(finish: Millis) -> Millis {
    if finish == NEVER { Millis::MIN } else { finish }
}

const fn is_evidence(event: &RunEvent) -> bool {
    match event.kind {
        Kind::JobScheduled | Kind::JobStarted => true,
        Kind::JobFinished => event.agent != 0,
        _ => false,
    }
}

fn run_print(run: Id) -> Fingerprint {
    Fingerprint::of(domain::RUN, &[run])
}

fn attempt_print(event: &RunEvent, number: u32) -> Fingerprint {
    Fingerprint::of(domain::ATTEMPT, &[event.run, event.job, u128::from(number)])
}
