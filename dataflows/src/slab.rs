//! Dense storage for open state: stable slots in chunks, and a lower bound a chunk in place of timers.
//!
//! A map of a million open jobs wastes half its room on spare capacity, and a timer for each costs as much again.
//! Here entries lie densely in chunks of [`CHUNK`]; [`ChunkBounds`] keeps, for each chunk, a lower bound of some time
//! of its entries (the next deadline, say). Finding what is due costs a look at each bound, then a scan of the few
//! chunks whose bound has passed, which also makes the bound exact again. Bounds may be too low, never too high.

use crate::time::{Millis, NEVER};
use std::{cmp::Reverse, collections::BinaryHeap};

/// Entries a chunk.
pub const CHUNK: usize = 256;

/// Number of an entry; stays valid until the entry is removed.
pub type Slot = u32;

/// No slot: the end of a list.
pub const NO_SLOT: Slot = Slot::MAX;

const fn place(slot: Slot) -> (usize, usize) {
    (slot as usize / CHUNK, slot as usize % CHUNK)
}

/// See the module.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<Slot>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: vec![], free: vec![], len: 0 }
    }
}

impl<T> Slab<T> {
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Stores an entry in the first free slot.
    ///
    /// # Panics
    /// Beyond 2^32 - 1 entries, which the bounds on state exclude.
    pub fn insert(&mut self, entry: T) -> Slot {
        self.len += 1;
        if let Some(slot) = self.free.pop() {
            let (chunk, index) = place(slot);
            self.chunks[chunk][index] = Some(entry);
            return slot;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.len() - 1;
        self.chunks[chunk].push(Some(entry));
        let slot = chunk * CHUNK + self.chunks[chunk].len() - 1;
        assert!(slot < NO_SLOT as usize, "the bounds on state keep slots below 2^32");
        #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
        {
            slot as Slot
        }
    }

    /// Takes an entry out; its slot may be given to another.
    pub fn remove(&mut self, slot: Slot) -> Option<T> {
        let (chunk, index) = place(slot);
        let entry = self.chunks.get_mut(chunk)?.get_mut(index)?.take()?;
        self.free.push(slot);
        self.len -= 1;
        Some(entry)
    }

    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&T> {
        let (chunk, index) = place(slot);
        self.chunks.get(chunk)?.get(index)?.as_ref()
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let (chunk, index) = place(slot);
        self.chunks.get_mut(chunk)?.get_mut(index)?.as_mut()
    }

    /// How many chunks there are.
    #[must_use]
    pub const fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The slots in use of one chunk.
    pub fn chunk(&self, chunk: usize) -> impl Iterator<Item = (Slot, &T)> {
        #[expect(clippy::cast_possible_truncation, reason = "slots are below 2^32")]
        let first = (chunk * CHUNK) as Slot;
        let entries = self.chunks.get(chunk).map_or(&[][..], |entries| &entries[..]);
        (first..).zip(entries).filter_map(|(slot, entry)| Some((slot, entry.as_ref()?)))
    }

    /// All slots in use.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        (0..self.chunks.len()).flat_map(|chunk| self.chunk(chunk))
    }
}

impl<T> std::ops::Index<Slot> for Slab<T> {
    type Output = T;

    /// # Panics
    /// If the slot is vacant: a caller's bookkeeping is wrong, and going on would count wrongly.
    fn index(&self, slot: Slot) -> &T {
        let (chunk, index) = place(slot);
        self.chunks[chunk][index].as_ref().unwrap_or_else(|| panic!("slot {slot} is vacant"))
    }
}

impl<T> std::ops::IndexMut<Slot> for Slab<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        let (chunk, index) = place(slot);
        self.chunks[chunk][index].as_mut().unwrap_or_else(|| panic!("slot {slot} is vacant"))
    }
}

/// A lower bound of a time for each chunk of a [`Slab`].
#[derive(Debug, Default)]
pub struct ChunkBounds(Vec<Millis>);

impl ChunkBounds {
    /// The entry in `slot` has this time.
    pub fn lower(&mut self, slot: Slot, time: Millis) {
        let (chunk, _) = place(slot);
        if chunk >= self.0.len() {
            self.0.resize(chunk + 1, NEVER);
        }
        self.0[chunk] = self.0[chunk].min(time);
    }

    /// The chunk with the lowest bound, and the bound.
    #[must_use]
    pub fn lowest(&self) -> Option<(usize, Millis)> {
        let lowest = self.0.iter().copied().enumerate().min_by_key(|(_, bound)| *bound);
        lowest.filter(|(_, bound)| *bound != NEVER)
    }

    /// The chunks that have a bound, the lowest first.
    #[must_use]
    pub fn by_bound(&self) -> BinaryHeap<Reverse<(Millis, usize)>> {
        let bounds = self.0.iter().enumerate().filter(|(_, bound)| **bound != NEVER);
        bounds.map(|(chunk, bound)| Reverse((*bound, chunk))).collect()
    }

    /// The chunks whose bound lies before `now`; each is reset, for the caller to lower again while scanning it.
    pub fn take_due(&mut self, now: Millis) -> Vec<usize> {
        let due = self.0.iter_mut().enumerate().filter(|(_, bound)| **bound < now);
        let reset = due.map(|(chunk, bound)| {
            *bound = NEVER;
            chunk
        });
        reset.collect()
    }

    /// Makes a chunk's bound exact.
    pub fn set(&mut self, chunk: usize, bound: Millis) {
        self.0[chunk] = bound;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_reused_and_entries_found() {
        let mut slab = Slab::default();
        let slots: Vec<Slot> = (0..1000).map(|n| slab.insert(n)).collect();
        assert_eq!(slab.remove(slots[700]), Some(700));
        assert_eq!(slab.remove(slots[700]), None);
        assert_eq!(slab.insert(5), slots[700]);
        assert_eq!((slab[slots[700]], slab[slots[999]], slab.len()), (5, 999, 1000));
        assert_eq!(slab.iter().count(), 1000);
    }

    #[test]
    fn bounds_find_what_is_due_and_the_lowest() {
        let mut bounds = ChunkBounds::default();
        bounds.lower(3, 50);
        bounds.lower(300, 20);
        bounds.lower(301, 90);
        assert_eq!(bounds.lowest(), Some((1, 20)));
        assert_eq!(bounds.take_due(20), Vec::<usize>::new(), "strictly after");
        assert_eq!(bounds.take_due(21), vec![1]);
        assert_eq!(bounds.lowest(), Some((0, 50)));
    }
}
