//! What is stored of the archives machine, and how it is taken in again.

use super::{super::note::Key, ArchivesMachine, Listed, Pending};
use crate::{
    route::{Route, route},
    slab::Slot,
    state::{Reader, Sweep, Unusable, Writer},
    time::Millis,
};

/// What is to be stored of the epochs closed since the last time.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub slots: Vec<Slot>,
    pub gone: Vec<Key>,
}

mod tag {
    pub const PUT: u8 = 0x01;
    pub const REMOVE: u8 = 0x02;
}

impl ArchivesMachine {
    /// From now on what changes is kept for [`save`](Self::save).
    pub fn record(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// Writes what the epoch just closed has changed, and the part of the rest that goes with it. Ends first: what is
    /// there under the same key stays.
    pub fn save(&mut self, sweep: Sweep, out: &mut Writer) {
        let Some(mut changes) = self.changes.take() else { return };
        for key in changes.gone.drain(..) {
            out.u8(tag::REMOVE);
            put_key(key, out);
        }
        for slot in changes.slots.drain(..) {
            // its place may be another's by now, which then is in the list as well
            if self.entries.get(slot).is_some_and(|entry| entry.changed) {
                self.put(slot, out);
            }
        }
        out.sweeps();
        for chunk in self.cursor.advance(sweep, self.entries.chunks()) {
            let slots: Vec<Slot> = self.entries.chunk(chunk).map(|(slot, _)| slot).collect();
            for slot in slots {
                self.put(slot, out);
            }
        }
        self.changes = Some(changes);
    }

    fn put(&mut self, slot: Slot, out: &mut Writer) {
        let entry = &mut self.entries[slot];
        (entry.changed, entry.stored) = (false, true);
        out.u8(tag::PUT);
        put_key(entry.key, out);
        entry.pending.put(out);
    }

    /// Takes in stored entries, later ones over earlier ones, as far as this worker owns them.
    ///
    /// # Errors
    /// [`Unusable`]
    pub fn load(&mut self, mut entries: Reader<'_>, owns: &mut impl FnMut(Route) -> bool) -> Result<(), Unusable> {
        while !entries.is_empty() {
            let tag = entries.u8()?;
            let key = Key { run: entries.u128()?, job: entries.u128()?, attempt: entries.small()? };
            let pending = match tag {
                tag::PUT => Some(Pending::take(&mut entries)?),
                tag::REMOVE => None,
                other => return Err(Unusable::damaged(format!("an archive of kind {other}"))),
            };
            if !owns(route(key.run)) {
                continue;
            }
            match (self.index.get(&key).copied(), pending) {
                (Some(slot), Some(pending)) => self.entries[slot].pending = pending,
                (Some(slot), None) => self.drop_entry(slot),
                (None, Some(pending)) => drop(self.insert(key, pending, true)),
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// All stored entries are taken in: everything is looked at when the next epoch ends.
    pub fn loaded(&mut self) {
        let slots: Vec<Slot> = self.entries.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.due.lower(slot, Millis::MIN);
            let listed = Listed::of(&self.entries[slot].pending);
            self.list(slot, listed);
        }
    }
}

fn put_key(key: Key, out: &mut Writer) {
    out.u128(key.run);
    out.u128(key.job);
    out.varint(u64::from(key.attempt));
}
