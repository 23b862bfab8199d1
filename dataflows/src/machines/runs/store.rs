//! What is stored of attempts and runs, and how it is taken in again.
//!
//! An entry is a whole attempt or run by its key, or its end. Links, indices and deadlines are not stored: they follow.
//! An attempt may be met before its run (the sweep comes to them in any order): then the run's place is kept until the
//! end of loading, which must have filled it.

use super::RunsMachine;
use crate::{
    event::{Id, Status},
    machines::{
        attempt::{Attempt, End, Outcome, done},
        run::{LONG_AGO, Run},
    },
    memory::Memory,
    names::NameId,
    route::{Route, route},
    series::Pair,
    slab::Slot,
    state::{Cursor, Cycle, Reader, Sweep, Unusable, Writer},
    time::{Millis, NEVER},
};

/// What is to be stored of the open epoch.
#[derive(Debug, Default)]
pub(super) struct Changes {
    attempts: Vec<Slot>,
    runs: Vec<Slot>,
    attempts_gone: Vec<(Id, Id, u32)>,
    runs_gone: Vec<Id>,
    sweep: Cursors,
    cycle: Cycle,
    /// What the epoch before wrote.
    written: usize,
}

#[derive(Debug, Default)]
struct Cursors {
    attempts: Cursor,
    runs: Cursor,
    memory: Cursor,
}

mod tag {
    pub const RUN: u8 = 0x01;
    pub const RUN_GONE: u8 = 0x02;
    pub const ATTEMPT: u8 = 0x03;
    pub const ATTEMPT_GONE: u8 = 0x04;
}

/// Which optional parts an entry has.
mod has {
    pub const QUEUED: u16 = 1;
    pub const READY: u16 = 1 << 1;
    pub const SCHEDULED: u16 = 1 << 2;
    pub const STARTED: u16 = 1 << 3;
    pub const AGENT: u16 = 1 << 4;
    pub const DISPATCHABLE: u16 = 1 << 5;
    pub const VIRTUAL: u16 = 1 << 6;
    pub const END: u16 = 1 << 7;
    pub const EXIT_CODE: u16 = 1 << 8;
    pub const FINISHED: u16 = 1 << 9;
    pub const LONG_AGO: u16 = 1 << 10;
    pub const TRACE: u16 = 1 << 11;
    pub const DISPATCHED: u16 = 1 << 12;
    pub const SETTLED: u16 = 1 << 13;
    pub const SHOWN: u16 = 1 << 14;

    pub const fn when(set: bool, bit: u16) -> u16 {
        if set { bit } else { 0 }
    }
}

/// What an entry takes, about.
const ATTEMPT_BYTES: usize = 64;
const RUN_BYTES: usize = 96;

/// A reclaimed attempt's end; others are numbered as their status.
const RECLAIMED: u8 = 0xff;

impl RunsMachine {
    pub(super) fn attempt_changed(&mut self, slot: Slot) {
        let Some(changes) = &mut self.changes else { return };
        let attempt = &mut self.attempts[slot];
        if !attempt.has(done::CHANGED) {
            attempt.done |= done::CHANGED;
            changes.attempts.push(slot);
        }
    }

    pub(super) fn run_changed(&mut self, slot: Slot) {
        let Some(changes) = &mut self.changes else { return };
        let run = &mut self.runs[slot];
        if !run.changed {
            run.changed = true;
            changes.runs.push(slot);
        }
    }

    /// What came and went within an epoch leaves no trace.
    pub(super) fn attempt_gone(&mut self, attempt: &Attempt) {
        let Some(changes) = self.changes.as_mut().filter(|_| attempt.stored.is_some()) else { return };
        changes.attempts_gone.push((self.runs[attempt.run].id, attempt.job, attempt.number));
    }

    pub(super) fn run_gone(&mut self, run: &Run) {
        let Some(changes) = self.changes.as_mut().filter(|_| run.stored.is_some()) else { return };
        changes.runs_gone.push(run.id);
    }

    /// Ends first: what is there at the end of the epoch under the same key stays.
    pub(super) fn save_all(&mut self, sweep: Sweep, out: &mut Writer) {
        let Some(mut changes) = self.changes.take() else { return };
        changes.cycle = changes.cycle.with(sweep);
        let cycle = changes.cycle;
        // epochs are much alike
        out.reserve(changes.written + changes.written / 8);
        for (run, job, number) in changes.attempts_gone.drain(..) {
            out.u8(tag::ATTEMPT_GONE);
            out.u128(run);
            out.u128(job);
            out.varint(u64::from(number));
        }
        for run in changes.runs_gone.drain(..) {
            out.u8(tag::RUN_GONE);
            out.u128(run);
        }
        for slot in changes.runs.drain(..) {
            // its place may be another's by now, which then is in the list as well
            if self.runs.get(slot).is_some_and(|run| run.changed) {
                self.save_run(slot, cycle, out);
            }
        }
        for slot in changes.attempts.drain(..) {
            if self.attempts.get(slot).is_some_and(|attempt| attempt.has(done::CHANGED)) {
                self.save_attempt(slot, cycle, out);
            }
        }
        self.memory.save(out);
        out.sweeps();
        self.save_swept(sweep, cycle, &mut changes.sweep, out);
        changes.written = out.len();
        self.changes = Some(changes);
    }

    /// What was written since the cycle began is passed over.
    fn save_swept(&mut self, sweep: Sweep, cycle: Cycle, cursors: &mut Cursors, out: &mut Writer) {
        let (mut slots, mut spared): (Vec<Slot>, usize) = (Vec::new(), 0);
        for chunk in cursors.runs.advance(sweep, self.runs.chunks()) {
            let all = self.runs.chunk(chunk);
            slots.extend(all.filter(|(_, run)| run.stored != Some(cycle)).map(|(slot, _)| slot));
            spared += self.runs.chunk(chunk).count() - slots.len();
            slots.drain(..).for_each(|slot| self.save_run(slot, cycle, out));
        }
        out.spares(spared * RUN_BYTES);
        spared = 0;
        for chunk in cursors.attempts.advance(sweep, self.attempts.chunks()) {
            let all = self.attempts.chunk(chunk);
            slots.extend(all.filter(|(_, attempt)| attempt.stored != Some(cycle)).map(|(slot, _)| slot));
            spared += self.attempts.chunk(chunk).count() - slots.len();
            slots.drain(..).for_each(|slot| self.save_attempt(slot, cycle, out));
        }
        out.spares(spared * ATTEMPT_BYTES);
        let shards = cursors.memory.advance(sweep, Memory::shards());
        self.memory.save_swept(shards, out);
    }

    fn save_run(&mut self, slot: Slot, cycle: Cycle, out: &mut Writer) {
        let run = &mut self.runs[slot];
        (run.changed, run.stored) = (false, Some(cycle));
        let parts = [
            (run.queued != NEVER, has::QUEUED),
            (run.started != NEVER, has::STARTED),
            (run.finished != NEVER && run.finished != LONG_AGO, has::FINISHED),
            (run.finished == LONG_AGO, has::LONG_AGO),
            (run.trace != 0, has::TRACE),
            (run.dispatched, has::DISPATCHED),
            (run.settled, has::SETTLED),
            (run.shown, has::SHOWN),
        ];
        let parts = parts.into_iter().fold(0, |sum, (set, bit)| sum | has::when(set, bit));
        out.u8(tag::RUN);
        out.u128(run.id);
        out.u16(parts);
        out.u128(run.pair.project);
        out.u128(run.pair.pipeline);
        out.signed(run.latest);
        out.varint(u64::from(run.slug.0));
        out.u8(run.status as u8);
        for (bit, time) in [(has::QUEUED, run.queued), (has::STARTED, run.started), (has::FINISHED, run.finished)] {
            if parts & bit != 0 {
                out.time(time, run.latest);
            }
        }
        if parts & (has::FINISHED | has::LONG_AGO) != 0 {
            out.u64(run.tie);
        }
        if parts & has::TRACE != 0 {
            out.u128(run.trace);
        }
    }

    fn save_attempt(&mut self, slot: Slot, cycle: Cycle, out: &mut Writer) {
        let end = self.end_of(slot).copied();
        let attempt = &mut self.attempts[slot];
        attempt.done &= !done::CHANGED;
        attempt.stored = Some(cycle);
        let parts = [
            (attempt.queued != NEVER, has::QUEUED),
            (attempt.ready != NEVER, has::READY),
            (attempt.scheduled != NEVER, has::SCHEDULED),
            (attempt.started != NEVER, has::STARTED),
            (attempt.agent != 0, has::AGENT),
            (attempt.dispatchable, has::DISPATCHABLE),
            (attempt.virtual_queued, has::VIRTUAL),
            (end.is_some(), has::END),
            (end.is_some_and(|end| end.exit_code.is_some()), has::EXIT_CODE),
        ];
        let parts = parts.into_iter().fold(0, |sum, (set, bit)| sum | has::when(set, bit));
        out.u8(tag::ATTEMPT);
        out.u128(self.runs[attempt.run].id);
        out.u128(attempt.job);
        out.varint(u64::from(attempt.number));
        out.u16(parts);
        out.u16(attempt.done & done::LASTING);
        out.varint(u64::from(attempt.name.0));
        if parts & has::AGENT != 0 {
            out.u128(attempt.agent);
        }
        let mut from = 0;
        for time in [attempt.queued, attempt.ready, attempt.scheduled, attempt.started] {
            if time != NEVER {
                out.time(time, from);
                from = time;
            }
        }
        if let Some(end) = end {
            out.time(end.time, from);
            out.u64(end.tie);
            out.u8(match end.outcome {
                Outcome::Finished(status) => status as u8,
                Outcome::Reclaimed => RECLAIMED,
            });
            if let Some(code) = end.exit_code {
                out.signed(i64::from(code));
            }
        }
    }

    pub(super) fn load_all(
        &mut self,
        mut entries: Reader<'_>,
        owns: &mut impl FnMut(Route) -> bool,
    ) -> Result<(), Unusable> {
        while !entries.is_empty() {
            let tag = entries.u8()?;
            match tag {
                tag::RUN => self.load_run(&mut entries, owns)?,
                tag::RUN_GONE => self.load_run_gone(&mut entries, owns)?,
                tag::ATTEMPT => self.load_attempt(&mut entries, owns)?,
                tag::ATTEMPT_GONE => self.load_attempt_gone(&mut entries, owns)?,
                _ if self.memory.load(tag, &mut entries, owns)? => {}
                other => return Err(Unusable::damaged(format!("a run or job of kind {other}"))),
            }
        }
        Ok(())
    }

    fn load_run(&mut self, entries: &mut Reader<'_>, owns: &mut impl FnMut(Route) -> bool) -> Result<(), Unusable> {
        let id = entries.u128()?;
        let run = read_run(id, entries)?;
        if !owns(route(id)) {
            return Ok(());
        }
        match self.find_run(id) {
            Some(slot) => {
                let known = &mut self.runs[slot];
                let (first, attempts) = (known.first, known.attempts);
                *known = Run { first, attempts, ..run };
            }
            None => drop(self.insert_run(run)),
        }
        Ok(())
    }

    fn load_run_gone(
        &mut self,
        entries: &mut Reader<'_>,
        owns: &mut impl FnMut(Route) -> bool,
    ) -> Result<(), Unusable> {
        let id = entries.u128()?;
        if !owns(route(id)) {
            return Ok(());
        }
        let Some(slot) = self.find_run(id) else { return Ok(()) };
        if self.runs[slot].attempts > 0 {
            return Err(Unusable::damaged(format!("run {id:032x} ends before its jobs")));
        }
        self.drop_run(slot);
        Ok(())
    }

    fn load_attempt(
        &mut self,
        entries: &mut Reader<'_>,
        owns: &mut impl FnMut(Route) -> bool,
    ) -> Result<(), Unusable> {
        let run = entries.u128()?;
        let (attempt, end) = read_attempt(entries)?;
        if !owns(route(run)) {
            return Ok(());
        }
        let run = self.find_run(run).unwrap_or_else(|| self.insert_run(Run::awaited(run)));
        let slot = match self.find_attempt(run, attempt.job, attempt.number) {
            Some(slot) => {
                let known = &mut self.attempts[slot];
                let (next, previous, ended) = (known.next, known.previous, known.ended);
                *known = Attempt { run, next, previous, ended, ..attempt };
                slot
            }
            None => self.insert_attempt(run, Attempt { run, ..attempt }),
        };
        self.set_end(slot, end);
        Ok(())
    }

    fn load_attempt_gone(
        &mut self,
        entries: &mut Reader<'_>,
        owns: &mut impl FnMut(Route) -> bool,
    ) -> Result<(), Unusable> {
        let (run, job, number) = (entries.u128()?, entries.u128()?, entries.small()?);
        if !owns(route(run)) {
            return Ok(());
        }
        let kept = self.find_run(run).and_then(|run| self.find_attempt(run, job, number));
        if let Some(slot) = kept {
            self.drop_attempt(slot);
        }
        Ok(())
    }

    /// Everything is looked at again when the next epoch ends.
    pub(super) fn wake_all(&mut self) -> Result<(), Unusable> {
        // dropping marks runs as touched, which says nothing here
        self.touched_runs.clear();
        let slots: Vec<Slot> = self.runs.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let run = &mut self.runs[slot];
            run.touched = false;
            if run.latest == AWAITED {
                return Err(Unusable::damaged(format!("run {:032x} has jobs and is not there itself", run.id)));
            }
            self.runs_due.lower(slot, Millis::MIN);
        }
        for (slot, attempt) in self.attempts.iter() {
            self.attempts_due.lower(slot, Millis::MIN);
            if attempt.has(done::DISPATCHABLE) {
                self.dispatchable.lower(slot, attempt.dispatchable_since());
            }
        }
        Ok(())
    }
}

/// `latest` of a run of which only jobs were met so far: no event has this time.
const AWAITED: Millis = NEVER;

impl Run {
    fn awaited(id: Id) -> Self {
        Self { latest: AWAITED, ..Self::blank(id) }
    }
}

fn read_run(id: Id, entries: &mut Reader<'_>) -> Result<Run, Unusable> {
    let parts = entries.u16()?;
    let with = |bit: u16| parts & bit != 0;
    let pair = Pair { project: entries.u128()?, pipeline: entries.u128()? };
    let latest = entries.signed()?;
    let slug = NameId(entries.small()?);
    let status = status(entries.u8()?)?;
    let mut time = |bit: u16| if with(bit) { entries.time(latest) } else { Ok(NEVER) };
    let (queued, started, finished) = (time(has::QUEUED)?, time(has::STARTED)?, time(has::FINISHED)?);
    let finished = if with(has::LONG_AGO) { LONG_AGO } else { finished };
    let tie = if with(has::FINISHED | has::LONG_AGO) { entries.u64()? } else { 0 };
    let trace = if with(has::TRACE) { entries.u128()? } else { 0 };
    Ok(Run {
        pair,
        trace,
        queued,
        started,
        finished,
        tie,
        latest,
        slug,
        status,
        dispatched: with(has::DISPATCHED),
        settled: with(has::SETTLED),
        shown: with(has::SHOWN),
        stored: Some(Cycle::default()),
        ..Run::blank(id)
    })
}

/// The attempt, not linked to its run yet.
fn read_attempt(entries: &mut Reader<'_>) -> Result<(Attempt, Option<End>), Unusable> {
    let (job, number) = (entries.u128()?, entries.small()?);
    let parts = entries.u16()?;
    let with = |bit: u16| parts & bit != 0;
    let done = entries.u16()? & done::LASTING;
    let name = NameId(entries.small()?);
    let agent = if with(has::AGENT) { entries.u128()? } else { 0 };
    let mut from = 0;
    let mut time = |bit: u16| {
        if !with(bit) {
            return Ok(NEVER);
        }
        from = entries.time(from)?;
        Ok(from)
    };
    let (queued, ready) = (time(has::QUEUED)?, time(has::READY)?);
    let (scheduled, started) = (time(has::SCHEDULED)?, time(has::STARTED)?);
    let ended = time(has::END)?;
    let end = with(has::END).then(|| read_end(ended, with(has::EXIT_CODE), entries)).transpose()?;
    let attempt = Attempt {
        agent,
        queued,
        ready,
        scheduled,
        started,
        name,
        done,
        dispatchable: with(has::DISPATCHABLE),
        virtual_queued: with(has::VIRTUAL),
        stored: Some(Cycle::default()),
        ..Attempt::new(0, job, number)
    };
    Ok((attempt, end))
}

fn read_end(time: Millis, with_code: bool, entries: &mut Reader<'_>) -> Result<End, Unusable> {
    let tie = entries.u64()?;
    let outcome = match entries.u8()? {
        RECLAIMED => Outcome::Reclaimed,
        number => Outcome::Finished(status(number)?),
    };
    let code = |code: i64| i32::try_from(code).map_err(|_| Unusable::damaged("an exit code beyond 32 bits"));
    let exit_code = if with_code { Some(code(entries.signed()?)?) } else { None };
    Ok(End { time, tie, outcome, exit_code })
}

fn status(number: u8) -> Result<Status, Unusable> {
    Status::ALL.get(usize::from(number)).copied().ok_or_else(|| Unusable::damaged(format!("a status {number}")))
}
