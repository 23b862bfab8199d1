//! The archives machine: which logs wait for their archive, what is asked for, and what the ledger is told.
//!
//! It lives beside the runs machine of the same worker, which tells it of attempts ([`super::note`]); outcomes are
//! events of their own (`log.archived`). The rules of one attempt are in [`super::pending`]; here is who is kept.
//! What is over is not remembered: the ledger's rows are for good, and lie in the state's database.

mod store;

use super::{
    decision::{Decision, Fact, Kind, Reason, Subject},
    note::{Key, Note},
    partitions::told,
    pending::{Pending, Step},
    policy::{DAY_MS, Policies, RetentionInput},
    row::{Archive, LedgerRow},
};
use crate::{
    event::{RunEvent, Status},
    machines::{Close, Closed},
    series::Limit,
    settings::Settings,
    slab::{ChunkBounds, Slab, Slot},
    state::{Cursor, Table},
    time::{Millis, NEVER},
};
use hashbrown::HashMap;
use std::{collections::BTreeSet, sync::Arc};

/// Where a project does not archive, its logs are remembered so long beyond the longest retention, in case it begins to:
/// by then the partitions have fallen due.
const KEPT_BEYOND_DAYS: Millis = 62;

#[derive(Debug)]
struct Entry {
    key: Key,
    pending: Pending,
    /// As in the sets of those that wait.
    listed: Option<Listed>,
    /// In the list of what the open epoch touched.
    touched: bool,
    /// In the list of what is to be stored.
    changed: bool,
    /// Some blob has it: its end must be stored, too.
    stored: bool,
}

/// An attempt that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    since: Millis,
    held: bool,
    failing: bool,
}

impl Listed {
    fn of(pending: &Pending) -> Option<Self> {
        let (held, failing) = (pending.is_held(), pending.is_failing());
        pending.waiting_since().map(|since| Self { since, held, failing })
    }
}

/// See the module.
#[derive(Debug)]
pub struct ArchivesMachine {
    settings: Arc<Settings>,
    max_pending: usize,
    entries: Slab<Entry>,
    index: HashMap<Key, Slot>,
    due: ChunkBounds,
    /// By the end they wait since.
    waiting: BTreeSet<(Millis, Slot)>,
    /// Those whose project does not archive.
    held: BTreeSet<(Millis, Slot)>,
    /// How many of those that wait are failing.
    failing: u64,
    touched: Vec<Slot>,
    rows: HashMap<Key, LedgerRow>,
    /// Of the last epoch; `None`: those that are held are to be looked at.
    policies: Option<Arc<Policies>>,
    over_limit: u64,
    /// What is to be stored; `None`: nobody asks.
    changes: Option<store::Changes>,
    cursor: Cursor,
}

impl ArchivesMachine {
    pub const TABLE: Table = Table::Archives;

    /// The machine of one of `workers` workers.
    #[must_use]
    pub fn new(settings: Arc<Settings>, workers: usize) -> Self {
        let max_pending = settings.limits.max_pending_archives.div_ceil(workers);
        Self {
            settings,
            max_pending,
            entries: Slab::default(),
            index: HashMap::new(),
            due: ChunkBounds::default(),
            waiting: BTreeSet::new(),
            held: BTreeSet::new(),
            failing: 0,
            touched: vec![],
            rows: HashMap::new(),
            policies: None,
            over_limit: 0,
            changes: None,
            cursor: Cursor::default(),
        }
    }

    /// Attempts kept, and how many of them wait for an archive that their project wants.
    #[must_use]
    pub fn census(&self) -> (usize, usize) {
        (self.entries.len(), self.waiting.len())
    }

    /// Takes in what the runs machine tells.
    pub fn note(&mut self, note: &Note) {
        self.tell(note.key, &note.row());
        // an attempt that runs waits for nothing: it is kept from its end on
        let known = self.index.get(&note.key).copied();
        if note.hearsay || (known.is_none() && note.ended == NEVER) {
            return;
        }
        let Some(slot) = known.or_else(|| self.keep(note.key, note)) else { return };
        let pending = &mut self.entries[slot].pending;
        pending.project = pending.project.min(note.project);
        pending.dispatched = pending.dispatched.min(note.dispatched);
        if note.ended != NEVER {
            pending.end(note.ended);
        }
        self.touch(slot);
    }

    /// Takes in a `log.archived`.
    pub fn outcome(&mut self, event: &RunEvent) {
        let key = Key { run: event.run, job: event.job, attempt: event.attempt };
        let archive = match event.status {
            Status::Success => Archive::Success,
            Status::Skipped => Archive::Skipped,
            Status::Failed | Status::Canceled | Status::Unknown => Archive::Failed,
        };
        let seen = Note::seen(key, event.project);
        let archived_at = archive.is_done().then_some(event.time);
        self.tell(key, &LedgerRow { archive, archived_at, ..seen.row() });
        let known = self.index.get(&key).copied();
        if let Some(slot) = known.or_else(|| self.keep(key, &seen)) {
            self.entries[slot].pending.outcome(event.time, archive.is_done());
            self.touch(slot);
        }
    }

    fn tell(&mut self, key: Key, row: &LedgerRow) {
        self.rows.entry(key).and_modify(|known| known.join(row)).or_insert(*row);
    }

    /// Keeps a new attempt. At the bound the oldest of those that nobody wants archived goes, or else the new one does.
    fn keep(&mut self, key: Key, note: &Note) -> Option<Slot> {
        if self.entries.len() >= self.max_pending {
            self.over_limit += 1;
            let (_, oldest) = self.held.first().copied()?;
            self.drop_entry(oldest);
        }
        let pending = Pending::new(note.project);
        Some(self.insert(key, pending, false))
    }

    fn insert(&mut self, key: Key, pending: Pending, stored: bool) -> Slot {
        let entry = Entry { key, pending, listed: None, touched: false, changed: false, stored };
        let slot = self.entries.insert(entry);
        self.index.insert(key, slot);
        slot
    }

    fn touch(&mut self, slot: Slot) {
        let entry = &mut self.entries[slot];
        if !entry.touched {
            entry.touched = true;
            self.touched.push(slot);
        }
        self.changed(slot);
    }

    fn changed(&mut self, slot: Slot) {
        let Some(changes) = &mut self.changes else { return };
        let entry = &mut self.entries[slot];
        if !entry.changed {
            entry.changed = true;
            changes.slots.push(slot);
        }
    }

    fn drop_entry(&mut self, slot: Slot) {
        self.list(slot, None);
        let Some(entry) = self.entries.remove(slot) else { return };
        self.index.remove(&entry.key);
        if let Some(changes) = self.changes.as_mut().filter(|_| entry.stored) {
            changes.gone.push(entry.key);
        }
    }

    /// Puts it into the set it belongs to.
    fn list(&mut self, slot: Slot, place: Option<Listed>) {
        let Some(entry) = self.entries.get_mut(slot) else { return };
        let before = std::mem::replace(&mut entry.listed, place);
        if before == place {
            return;
        }
        if let Some(Listed { since, held, failing }) = before {
            let set = if held { &mut self.held } else { &mut self.waiting };
            set.remove(&(since, slot));
            self.failing -= u64::from(failing && !held);
        }
        if let Some(Listed { since, held, failing }) = place {
            let set = if held { &mut self.held } else { &mut self.waiting };
            set.insert((since, slot));
            self.failing += u64::from(failing && !held);
        }
    }

    /// Ends the epoch, after the runs machine: asks for what has fallen due, and hands out the ledger's rows.
    pub fn close(&mut self, at: Close, input: Option<&RetentionInput>, closed: &mut Closed) {
        let policies = input.map_or_else(Arc::default, |input| Arc::clone(&input.policies));
        let mut slots = std::mem::take(&mut self.touched);
        closed.touched += slots.len() as u64;
        if self.policies.as_ref() != Some(&policies) {
            slots.extend(self.held.iter().map(|(_, slot)| *slot));
        }
        for chunk in self.due.take_due(at.now.0) {
            slots.extend(self.entries.chunk(chunk).map(|(slot, _)| slot));
        }
        for slot in slots {
            self.work(slot, at, &policies, closed);
        }
        self.policies = Some(policies);
        closed.retention.ledger_rows.extend(self.rows.drain().map(|(_, row)| row));
        closed.retention.waiting += self.waiting.len() as u64;
        closed.retention.oldest_waiting = self.waiting.first().map(|(since, _)| *since);
        closed.retention.failing += self.failing;
        closed.deltas.quality.over_limit[Limit::PendingArchives as usize] += std::mem::take(&mut self.over_limit);
    }

    /// Does what there is to do about one attempt.
    fn work(&mut self, slot: Slot, at: Close, policies: &Policies, closed: &mut Closed) {
        let Some(entry) = self.entries.get_mut(slot) else { return };
        entry.touched = false;
        let archives = policies.archives(entry.pending.project);
        let before = entry.pending.clone();
        let next = loop {
            let step = entry.pending.step(at.now, &self.settings, archives, &mut closed.retention.fates);
            match step {
                Step::Ask { .. } | Step::GiveUp { .. } => {
                    closed.retention.decisions.extend(decided(
                        entry.key,
                        entry.pending.project,
                        step,
                        &self.settings,
                    ));
                }
                Step::Again => {}
                Step::Wait(_) | Step::Hold | Step::Over => break step,
            }
        };
        let listed = Listed::of(&entry.pending);
        let changed = entry.pending != before;
        self.list(slot, listed);
        let kept_until = match listed {
            Some(Listed { since, held: true, .. }) => kept_until(since, policies),
            _ => NEVER,
        };
        if next == Step::Over || at.now.is_past(kept_until) {
            return self.drop_entry(slot);
        }
        self.due.lower(slot, kept_until.min(if let Step::Wait(deadline) = next { deadline } else { NEVER }));
        if changed {
            self.changed(slot);
        }
    }
}

fn kept_until(since: Millis, policies: &Policies) -> Millis {
    policies
        .longest()
        .map_or(NEVER, |days| since.saturating_add((Millis::from(days) + KEPT_BEYOND_DAYS).saturating_mul(DAY_MS)))
}

/// The decision that a step comes to.
fn decided(key: Key, project: u128, step: Step, settings: &Settings) -> Option<Decision> {
    let Key { run, job, attempt } = key;
    let subject = |ended_at, try_| Subject::Archive { job, attempt, run, project, ended_at, try_ };
    let most = settings.retention.archive_tries;
    let facts = |ended: Millis, try_: u32, due: Millis| -> [(&str, Fact); 3] {
        [("ended_at", ended.into()), ("try", i64::from(try_).into()), ("due", due.into())]
    };
    match step {
        Step::Ask { ended, try_, due } => {
            let reason = if try_ == 1 {
                format!("attempt {attempt} ended at {}, and its log has no archive", told(ended))
            } else {
                format!(
                    "attempt {attempt} ended at {}; try {} of {most} gave no archive of its log",
                    told(ended),
                    try_ - 1
                )
            };
            Some(Decision::new(Kind::ArchiveLogs, subject(ended, try_), due, reason, facts(ended, try_, due)))
        }
        Step::GiveUp { ended, tries, due } => {
            let kind = Kind::Blocked(Reason::ArchiveFailed);
            let reason = format!(
                "attempt {attempt} ended at {}; {tries} tries gave no archive of its log, and no more are made",
                told(ended)
            );
            Some(Decision::new(kind, subject(ended, tries), due, reason, facts(ended, tries, due)))
        }
        _ => None,
    }
}
