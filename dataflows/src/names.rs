//! Interned names: pipeline slugs and job names travel as numbers, and are looked up only where they are shown.
//!
//! One table a process, shared by all workers; bounded (I6): beyond `max_names` every new name is [`NameId::OTHER`], of a
//! name beyond `max_name_bytes` only its beginning is kept, and both are counted. Nothing else that is counted depends on a
//! name, so an overflow costs only readability.

use crate::{
    series::{Limit, Quality},
    state::{Reader, Unusable, Writer},
};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError, RwLock};

/// Beyond this no setting allows names (`max_names`): a larger stored number is damage.
const MOST_NAMES: usize = 1_000_000_000;

/// A name's number in the process-wide table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NameId(pub u32);

impl NameId {
    /// No name, or one beyond the bound: shown as `_other`.
    pub const OTHER: Self = Self(0);
}

/// The table. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Names {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: RwLock<Table>,
    max_names: usize,
}

#[derive(Debug)]
struct Table {
    ids: HashMap<Arc<str>, NameId>,
    names: Vec<Arc<str>>,
}

impl Names {
    /// A table of at most `max_names` names.
    #[must_use]
    pub fn new(max_names: usize) -> Self {
        let other: Arc<str> = Arc::from("_other");
        let table = Table { ids: HashMap::new(), names: vec![other] };
        Self { shared: Arc::new(Shared { table: RwLock::new(table), max_names }) }
    }

    /// The name's number; [`NameId::OTHER`] beyond the bound.
    #[must_use]
    pub fn intern(&self, name: &str) -> NameId {
        if let Some(id) = self.known(&self.read(), name) {
            return id;
        }
        let mut table = self.shared.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = self.known(&table, name) {
            return id;
        }
        let id = NameId(u32::try_from(table.names.len()).unwrap_or(0));
        let name: Arc<str> = Arc::from(name);
        table.names.push(Arc::clone(&name));
        table.ids.insert(name, id);
        id
    }

    /// Its number, also where it gets none.
    fn known(&self, table: &Table, name: &str) -> Option<NameId> {
        let full = table.names.len() > self.shared.max_names;
        table.ids.get(name).copied().or(full.then_some(NameId::OTHER))
    }

    /// The name behind a number.
    #[must_use]
    pub fn name(&self, id: NameId) -> Arc<str> {
        let table = self.read();
        let index = usize::try_from(id.0).unwrap_or(0);
        Arc::clone(table.names.get(index).unwrap_or(&table.names[0]))
    }

    /// How many numbers are given out, [`NameId::OTHER`] included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().names.len()
    }

    /// Never: [`NameId::OTHER`] has its number from the start.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Writes the names with these numbers, as far as they are given out.
    pub fn save(&self, numbers: std::ops::Range<usize>, out: &mut Writer) {
        let table = self.read();
        let end = numbers.end.min(table.names.len());
        for number in numbers.start.max(1)..end {
            out.varint(number as u64);
            out.text(&table.names[number]);
        }
    }

    /// Takes in stored names, before any other is given a number.
    ///
    /// # Errors
    /// [`Unusable`]
    pub fn load(&self, mut entries: Reader<'_>) -> Result<(), Unusable> {
        let mut table = self.shared.table.write().unwrap_or_else(PoisonError::into_inner);
        while !entries.is_empty() {
            let (number, name) = (entries.small()?, Arc::<str>::from(entries.text()?));
            let index = number as usize;
            if index > MOST_NAMES {
                return Err(Unusable::damaged(format!("a name numbered {number}")));
            }
            // a sweep may come to a name after a blob that is older was thrown away: keep its place
            if index >= table.names.len() {
                let other = Arc::clone(&table.names[0]);
                table.names.resize(index + 1, other);
            }
            table.names[index] = Arc::clone(&name);
            table.ids.insert(name, NameId(number));
        }
        Ok(())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.shared.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker's memo in front of the shared table: no lock for a name it has met. As bounded as the table. It counts how
/// often a bound was met.
#[derive(Debug)]
pub struct NameCache {
    names: Names,
    seen: HashMap<Box<str>, NameId>,
    max_bytes: usize,
    cut: u64,
    refused: u64,
}

impl NameCache {
    #[must_use]
    pub fn new(names: Names, max_bytes: usize) -> Self {
        Self { names, seen: HashMap::new(), max_bytes, cut: 0, refused: 0 }
    }

    /// The number of a name, or of its beginning; [`NameId::OTHER`] beyond the bound.
    pub fn intern(&mut self, name: &str) -> NameId {
        let whole = name.len();
        let name = &name[..name.floor_char_boundary(self.max_bytes)];
        self.cut += u64::from(name.len() < whole);
        if let Some(id) = self.seen.get(name) {
            return *id;
        }
        let id = self.names.intern(name);
        if id == NameId::OTHER {
            self.refused += 1;
        } else {
            self.seen.insert(Box::from(name), id);
        }
        id
    }

    /// Counts how often a bound was met since it was asked last.
    pub fn count(&mut self, quality: &mut Quality) {
        quality.over_limit[Limit::NameBytes as usize] += std::mem::take(&mut self.cut);
        quality.over_limit[Limit::Names as usize] += std::mem::take(&mut self.refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names refused, and names cut.
    fn counted(cache: &mut NameCache) -> [u64; 2] {
        let mut quality = Quality::default();
        cache.count(&mut quality);
        [Limit::Names, Limit::NameBytes].map(|limit| quality.over_limit[limit as usize])
    }

    #[test]
    fn names_are_numbered_once_and_found_again() {
        let names = Names::new(10);
        let (a, b) = (names.intern("build"), names.intern("test"));
        assert_eq!(names.intern("build"), a);
        assert_ne!(a, b);
        assert_eq!(&*names.name(b), "test");
    }

    #[test]
    fn beyond_the_bound_names_are_other_and_counted() {
        let names = Names::new(1);
        let mut cache = NameCache::new(names.clone(), 256);
        assert_ne!(cache.intern("first"), NameId::OTHER);
        assert_eq!(cache.intern("second"), NameId::OTHER);
        assert_ne!(cache.intern("first"), NameId::OTHER);
        assert_eq!((counted(&mut cache), counted(&mut cache)), ([1, 0], [0, 0]));
    }

    #[test]
    fn of_a_long_name_the_beginning_is_kept_and_that_is_counted() {
        let names = Names::new(10);
        let mut cache = NameCache::new(names.clone(), 5);
        let id = cache.intern("build \u{1f980}");
        assert_eq!(&*names.name(id), "build");
        assert_eq!(cache.intern("build"), id);
        let whole_characters = cache.intern("\u{1f980}\u{1f980}");
        assert_eq!(&*names.name(whole_characters), "\u{1f980}");
        assert_eq!(counted(&mut cache), [0, 2]);
    }
}
