//! Interned names: pipeline slugs and job names travel as numbers, and are looked up only where they are shown.
//!
//! One table a process, shared by all workers; bounded (I6): beyond `max_names` every new name is [`NameId::OTHER`],
//! and that is counted. Nothing that is counted depends on a name, so an overflow costs only readability.

use crate::state::{Reader, Unusable, Writer};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

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
    refused: AtomicU64,
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
        Self { shared: Arc::new(Shared { table: RwLock::new(table), max_names, refused: AtomicU64::new(0) }) }
    }

    /// The name's number; [`NameId::OTHER`] beyond the bound.
    #[must_use]
    pub fn intern(&self, name: &str) -> NameId {
        if let Some(id) = self.read().ids.get(name) {
            return *id;
        }
        let mut table = self.shared.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = table.ids.get(name) {
            return *id;
        }
        if table.names.len() > self.shared.max_names {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            return NameId::OTHER;
        }
        let id = NameId(u32::try_from(table.names.len()).unwrap_or(0));
        let name: Arc<str> = Arc::from(name);
        table.names.push(Arc::clone(&name));
        table.ids.insert(name, id);
        id
    }

    /// The name behind a number.
    #[must_use]
    pub fn name(&self, id: NameId) -> Arc<str> {
        let table = self.read();
        let index = usize::try_from(id.0).unwrap_or(0);
        Arc::clone(table.names.get(index).unwrap_or(&table.names[0]))
    }

    /// How often a name was refused for want of room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
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

/// One worker's memo in front of the shared table: no lock for a name it has met. As bounded as the table.
#[derive(Debug)]
pub struct NameCache {
    names: Names,
    seen: HashMap<Box<str>, NameId>,
}

impl NameCache {
    #[must_use]
    pub fn new(names: Names) -> Self {
        Self { names, seen: HashMap::new() }
    }

    /// As [`Names::intern`].
    pub fn intern(&mut self, name: &str) -> NameId {
        if let Some(id) = self.seen.get(name) {
            return *id;
        }
        let id = self.names.intern(name);
        if id != NameId::OTHER {
            self.seen.insert(Box::from(name), id);
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut cache = NameCache::new(names.clone());
        assert_ne!(cache.intern("first"), NameId::OTHER);
        assert_eq!(cache.intern("second"), NameId::OTHER);
        assert_ne!(cache.intern("first"), NameId::OTHER);
        assert_eq!(names.refused(), 1);
    }
}
