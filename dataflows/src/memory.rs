//! What is remembered of things that are over (I1): a fingerprint, a few bits and a horizon, 16 bytes each.
//!
//! Ordered linear probing in 256 small tables that grow by a fifth, page by page and in place, so that memory follows the
//! number of entries closely (about 22 bytes an entry; docs/BENCHMARKS.md has what was measured): tables that are copied
//! when they grow leave holes that no later one fits into. An entry counts until stream time has passed its horizon by
//! the window, to the second; it is swept out some time after that. Bounded (I6): beyond the bound the entries with
//! the oldest horizons of a table are forgotten early, and that is counted.

use crate::{
    route::Route,
    state::{Reader, Unusable, Writer},
    time::{Millis, StreamTime},
};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::{
    hash::Hasher,
    ops::{Index, IndexMut},
};

const SHARDS: usize = 256;

/// 128 bits that stand for an id, the lowest 16 being its route; 88 of them are kept. Fixed keys: the same in every
/// process, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// The fingerprint of some numbers in a domain (so that a run and an attempt never share one), kept by whoever owns
    /// `route`.
    #[must_use]
    pub fn of<const N: usize>(domain: u8, route: Route, parts: [u128; N]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0x676f_6364_6e65_7874, 0x666c_6f77_2d76_3031);
        let mut bytes = [[0; 16]; N];
        for (bytes, part) in bytes.iter_mut().zip(parts) {
            *bytes = part.to_le_bytes();
        }
        hasher.write(bytes.as_flattened());
        hasher.write_u8(domain);
        Self(hasher.finish128().as_u128() & !u128::from(Route::MAX) | u128::from(route))
    }
}

/// `[bits << 24 .. fingerprint 24 bits, fingerprint, fingerprint, horizon in s]`; horizon 0: vacant.
type Entry = [u32; 4];

const VACANT: Entry = [0; 4];

/// Entries a page: 2 KiB.
const PAGE: usize = 128;

/// A table in pages, so that it grows without being copied.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "pages must not move when their list grows")]
struct Pages(Vec<Box<[Entry; PAGE]>>);

impl Pages {
    const fn len(&self) -> usize {
        self.0.len() * PAGE
    }

    /// Pages for so many entries and no more; new ones are vacant.
    fn fit(&mut self, entries: usize) {
        self.0.resize_with(entries.div_ceil(PAGE), || Box::new([VACANT; PAGE]));
    }

    fn get(&self, index: usize) -> Option<&Entry> {
        self.0.get(index / PAGE).map(|page| &page[index % PAGE])
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Entry> {
        self.0.get_mut(index / PAGE).map(|page| &mut page[index % PAGE])
    }

    fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().flat_map(|page| page.iter())
    }

    /// Takes what was at `from` to `to`, which is vacant or the same place.
    fn shift(&mut self, from: usize, to: usize) {
        if from != to {
            let entry = std::mem::replace(&mut self[from], VACANT);
            self[to] = entry;
        }
    }
}

impl Index<usize> for Pages {
    type Output = Entry;

    fn index(&self, index: usize) -> &Entry {
        &self.0[index / PAGE][index % PAGE]
    }
}

impl IndexMut<usize> for Pages {
    fn index_mut(&mut self, index: usize) -> &mut Entry {
        &mut self.0[index / PAGE][index % PAGE]
    }
}

#[derive(Debug, Default)]
struct Shard {
    /// In order of the second word, each at its home or in the run behind it: a search ends early.
    entries: Pages,
    capacity: usize,
    len: usize,
    oldest_s: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Memory {
    shards: Vec<Shard>,
    window_ms: Millis,
    max_in_shard: usize,
    /// What the open epoch put in and forgot early, in order; `None`: nobody asks.
    changes: Option<Vec<(u8, Entry)>>,
}

/// Tags of stored entries.
mod tag {
    pub const PUT: u8 = 0x10;
    pub const FORGET: u8 = 0x11;
}

#[expect(clippy::cast_possible_truncation, reason = "cutting the fingerprint into words is meant")]
const fn words(fingerprint: Fingerprint, bits: u8, horizon_s: u32) -> Entry {
    let f = fingerprint.0;
    [((bits as u32) << 24) | (f as u32 & 0x00ff_ffff), (f >> 32) as u32, (f >> 64) as u32, horizon_s]
}

const fn same(a: &Entry, b: &Entry) -> bool {
    a[0] << 8 == b[0] << 8 && a[1] == b[1] && a[2] == b[2]
}

/// A horizon that does not fit (from February 2106 on): nobody knows when it is over, so it never is.
const BEYOND: u32 = u32::MAX;

/// Whole seconds, rounded up, at least 1.
fn horizon_s(horizon: Millis) -> u32 {
    let seconds = horizon.div_euclid(1000) + Millis::from(horizon.rem_euclid(1000) > 0);
    u32::try_from(seconds.max(1)).unwrap_or(BEYOND)
}

impl Memory {
    /// Remembers at most `max_ids` things, each until `window_ms` after its horizon.
    #[must_use]
    pub fn new(window_ms: Millis, max_ids: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { shards, window_ms, max_in_shard: max_ids.div_ceil(SHARDS).max(1), changes: None }
    }

    /// Entries held, the ones about to be swept included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bits remembered, unless forgotten at stream time `before`.
    #[must_use]
    pub fn get(&self, id: Fingerprint, before: StreamTime) -> Option<u8> {
        let wanted = words(id, 0, 0);
        let entry = self.shards[shard_of(&wanted)].find(&wanted)?;
        (!self.is_over(entry[3], before)).then_some((entry[0] >> 24) as u8)
    }

    /// Remembers, or replaces the bits of what is remembered (its horizon only grows). Returns how many others had
    /// to be forgotten early for it.
    pub fn insert(&mut self, id: Fingerprint, bits: u8, horizon: Millis, before: StreamTime) -> u64 {
        let new = words(id, bits, horizon_s(horizon));
        self.insert_entry(new, before)
    }

    fn insert_entry(&mut self, new: Entry, before: StreamTime) -> u64 {
        let shard = shard_of(&new);
        if let Some(known) = self.shards[shard].find_mut(&new) {
            *known = [new[0], new[1], new[2], new[3].max(known[3])];
            let known = *known;
            self.changes.iter_mut().for_each(|changes| changes.push((tag::PUT, known)));
            return 0;
        }
        let evicted = self.make_room(shard, before);
        self.shards[shard].put(new);
        self.changes.iter_mut().for_each(|changes| changes.push((tag::PUT, new)));
        evicted
    }

    /// From now on what changes is kept for [`save`](Self::save).
    pub fn record(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// Writes what the epoch changed. What is over by then need not be said: time tells it.
    pub fn save(&mut self, out: &mut Writer) {
        for (tag, entry) in self.changes.iter_mut().flat_map(|changes| changes.drain(..)) {
            put(tag, entry, out);
        }
    }

    /// Writes the shards that the sweep has come to.
    pub fn save_swept(&self, shards: std::ops::Range<usize>, out: &mut Writer) {
        if self.changes.is_none() {
            return;
        }
        let swept = self.shards[shards].iter().flat_map(|shard| shard.entries.iter()).filter(|entry| entry[3] != 0);
        for entry in swept {
            put(tag::PUT, *entry, out);
        }
    }

    /// Takes in one stored entry after its tag; `false`: it is not one of these.
    pub fn load(
        &mut self,
        tag: u8,
        entry: &mut Reader<'_>,
        owns: &mut impl FnMut(Route) -> bool,
    ) -> Result<bool, Unusable> {
        if tag != tag::PUT && tag != tag::FORGET {
            return Ok(false);
        }
        let entry = [entry.u32()?, entry.u32()?, entry.u32()?, entry.u32()?];
        if !owns(route_of(&entry)) {
            return Ok(true);
        }
        let shard = &mut self.shards[shard_of(&entry)];
        if tag == tag::FORGET {
            shard.forget(&entry);
        } else {
            self.take_in(entry);
        }
        Ok(true)
    }

    /// Beyond the bound too: what is over by now lies between what is not, and only who knows the time may choose.
    fn take_in(&mut self, entry: Entry) {
        let index = shard_of(&entry);
        if let Some(known) = self.shards[index].find_mut(&entry) {
            *known = [entry[0], entry[1], entry[2], entry[3].max(known[3])];
            return;
        }
        if self.shards[index].is_full() {
            self.rebuild(index, StreamTime::UNKNOWN, 1);
        }
        self.shards[index].put(entry);
    }

    /// The shards, for a sweep.
    #[must_use]
    pub const fn shards() -> usize {
        SHARDS
    }

    /// Frees the room of what has long been over. Cheap when there is little to free.
    pub fn sweep(&mut self, before: StreamTime) {
        let slack = self.window_ms / 16;
        for index in 0..SHARDS {
            let shard = &self.shards[index];
            if shard.len > 0 && self.is_over(shard.oldest_s, StreamTime(before.0.saturating_sub(slack))) {
                self.rebuild(index, before, 0);
            }
        }
    }

    fn is_over(&self, horizon_s: u32, before: StreamTime) -> bool {
        if horizon_s == BEYOND {
            return false;
        }
        before.is_past(Millis::from(horizon_s).saturating_mul(1000).saturating_add(self.window_ms))
    }

    fn make_room(&mut self, index: usize, before: StreamTime) -> u64 {
        let shard = &self.shards[index];
        if shard.len >= self.max_in_shard {
            self.rebuild(index, before, 0);
        } else if shard.is_full() {
            self.rebuild(index, before, 1);
        }
        let held = self.shards[index].len;
        if held < self.max_in_shard {
            return 0;
        }
        // many at once: it takes a walk over all of them
        let excess = (held / 16).max(held + 1 - self.max_in_shard);
        let forgotten = self.shards[index].forget_oldest(excess);
        if let Some(changes) = &mut self.changes {
            changes.extend(forgotten.into_iter().map(|entry| (tag::FORGET, entry)));
        }
        excess as u64
    }

    /// Drops what is over and lays the rest out with room for half as many more and `spare`.
    fn rebuild(&mut self, index: usize, before: StreamTime, spare: usize) {
        let mut shard = std::mem::take(&mut self.shards[index]);
        shard.keep(spare, |entry| !self.is_over(entry[3], before));
        self.shards[index] = shard;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lowest 16 bits are the route")]
const fn route_of(entry: &Entry) -> Route {
    entry[0] as Route
}

fn put(tag: u8, entry: Entry, out: &mut Writer) {
    out.u8(tag);
    for word in entry {
        out.u32(word);
    }
}

const fn shard_of(entry: &Entry) -> usize {
    entry[2] as usize % SHARDS
}

impl Shard {
    /// Drops the others and lays these out anew, with room for half as many more and `spare`.
    fn keep(&mut self, spare: usize, mut wanted: impl FnMut(&Entry) -> bool) {
        self.len = 0;
        self.oldest_s = u32::MAX;
        for index in 0..self.entries.len() {
            let entry = self.entries[index];
            if entry[3] == 0 {
                continue;
            }
            if wanted(&entry) {
                self.entries.shift(index, self.len);
                self.len += 1;
                self.oldest_s = self.oldest_s.min(entry[3]);
            } else {
                self.entries[index] = VACANT;
            }
        }
        self.spread((self.len + spare) * 3 / 2 + 2);
    }

    /// From one behind the other to their places in a table of this capacity. No place lies before where its entry is, so
    /// the last goes first.
    fn spread(&mut self, capacity: usize) {
        self.capacity = capacity;
        let mut next = 0;
        let places: Vec<usize> = (0..self.len)
            .map(|index| {
                let place = self.home(&self.entries[index]).max(next);
                next = place + 1;
                place
            })
            .collect();
        self.entries.fit(capacity.max(next));
        for (index, place) in places.into_iter().enumerate().rev() {
            self.entries.shift(index, place);
        }
    }

    /// Where an entry would lie in an empty table: in the order of its second word.
    const fn home(&self, entry: &Entry) -> usize {
        ((entry[1] as u64 * self.capacity as u64) >> 32) as usize
    }

    /// Stores an entry; the table may grow past its end by the length of its last run.
    fn set(&mut self, index: usize, entry: Entry) {
        if index >= self.entries.len() {
            self.entries.fit(index + 1);
        }
        self.entries[index] = entry;
    }

    /// The first place from an entry's home that is vacant or holds one not before it.
    fn seek(&self, entry: &Entry) -> usize {
        let mut index = self.home(entry);
        while self.entries.get(index).is_some_and(|other| other[3] != 0 && other[1] < entry[1]) {
            index += 1;
        }
        index
    }

    fn put(&mut self, entry: Entry) {
        let mut index = self.seek(&entry);
        let mut moved = entry;
        while let Some(other) = self.entries.get_mut(index).filter(|other| other[3] != 0) {
            moved = std::mem::replace(other, moved);
            index += 1;
        }
        self.set(index, moved);
        self.oldest_s = if self.len == 0 { entry[3] } else { self.oldest_s.min(entry[3]) };
        self.len += 1;
    }

    fn position(&self, wanted: &Entry) -> Option<usize> {
        let mut index = self.seek(wanted);
        while let Some(entry) = self.entries.get(index).filter(|entry| entry[3] != 0 && entry[1] == wanted[1]) {
            if same(entry, wanted) {
                return Some(index);
            }
            index += 1;
        }
        None
    }

    fn find(&self, wanted: &Entry) -> Option<&Entry> {
        self.entries.get(self.position(wanted)?)
    }

    fn find_mut(&mut self, wanted: &Entry) -> Option<&mut Entry> {
        let index = self.position(wanted)?;
        self.entries.get_mut(index)
    }

    /// Forgets those with the oldest horizons, and gives them.
    fn forget_oldest(&mut self, excess: usize) -> Vec<Entry> {
        let mut gone: Vec<Entry> = self.entries.iter().filter(|entry| entry[3] != 0).copied().collect();
        gone.sort_unstable_by_key(by_age);
        gone.truncate(excess);
        if let Some(last) = gone.last().map(by_age) {
            self.keep(1, |entry| by_age(entry) > last);
        }
        gone
    }

    /// Forgets one, and moves those behind it up that lie behind their homes.
    fn forget(&mut self, wanted: &Entry) {
        let Some(mut hole) = self.position(wanted) else { return };
        self.entries[hole] = VACANT;
        self.len -= 1;
        while let Some(next) = self.entries.get(hole + 1).filter(|next| next[3] != 0 && self.home(next) <= hole) {
            debug_assert!(next[1] >= wanted[1], "in order");
            self.entries.shift(hole + 1, hole);
            hole += 1;
        }
    }

    /// One more would make it slow.
    const fn is_full(&self) -> bool {
        (self.len + 1) * 5 > self.capacity * 4
    }
}

/// The oldest horizon first; no two entries are alike.
const fn by_age(entry: &Entry) -> (u32, Entry) {
    (entry[3], *entry)
}

#[cfg(test)]
mod tests;
