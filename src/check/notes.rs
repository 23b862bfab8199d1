//! Types that the contract does not know: one note for each, not one for each event.

use std::{collections::BTreeMap, io::Write};

/// Types told apart in one file; the rest are counted together.
const MAX_TYPES: usize = 50;

/// Of one file: by type the number of its events and the line of the first.
#[derive(Default)]
pub(super) struct Notes {
    types: BTreeMap<String, (u64, u64)>,
    more: u64,
}

impl Notes {
    pub(super) fn add(&mut self, type_name: String, line: u64) {
        if let Some((count, _)) = self.types.get_mut(&type_name) {
            *count += 1;
        } else if self.types.len() < MAX_TYPES {
            self.types.insert(type_name, (1, line));
        } else {
            self.more += 1;
        }
    }

    pub(super) fn write(&self, file: &str, out: &mut dyn Write) -> anyhow::Result<()> {
        for (type_name, (count, line)) in &self.types {
            let shown: String = type_name.chars().take(100).collect();
            writeln!(out, "{file}:{line}: note: type {shown:?} is not of this contract: {count} passed over")?;
        }
        if self.more > 0 {
            writeln!(out, "{file}: note: {} more events of yet other types passed over", self.more)?;
        }
        Ok(())
    }
}
