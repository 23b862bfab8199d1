//! What is kept over restarts, as bytes: the log of state (docs/ARCHITECTURE.md, "State").
//!
//! Each epoch gives one *blob* a lane: what the epoch changed, by key, and the part of the rest that the [`sweep`] has
//! come to. Blobs applied in order of epoch, from the begin of any whole sweep on, give the state at the last of them.
//! A blob is its format's number, its writer, then sections: a [`Table`], a length and its entries. An entry begins with
//! a tag; which tags there are is the business of the table's owner. A format's meaning never changes: whoever changes
//! what is written raises [`FORMAT`] and goes on reading the old ones. What only joins (a word at the end of a counted list, a
//! part of the registry's totals) needs no new format: older state lacks it, and an older version says that it does not know it.

mod codec;
mod sweep;

pub use codec::{Reader, Writer};
pub use sweep::{Cursor, Cycle, Pace, Sweep};

use crate::route::Share;

/// The format written here, and the newest that can be read.
///
/// A blob says the oldest format that has all its tables as they are: 2 has those of retention, 3 the registry with the tie of
/// each pipeline's newest name.
pub const FORMAT: u8 = 3;

/// Why stored state cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the state is damaged: {0}")]
    Damaged(String),
    #[error(
        "the state is of format {found}; this version reads formats 1 to {FORMAT}: use the version that wrote it, or a newer one"
    )]
    Newer { found: u8 },
}

impl Unusable {
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}

/// Whose entries a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Table {
    Runs = 1,
    Agents = 2,
    Deliveries = 3,
    Registry = 4,
    Names = 5,
    /// Decisions given about partitions; the ledger's.
    Given = 6,
    /// Logs that wait for their archive.
    Archives = 7,
}

impl Table {
    const ALL: [Self; 7] =
        [Self::Runs, Self::Agents, Self::Deliveries, Self::Registry, Self::Names, Self::Given, Self::Archives];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runs => "Runs",
            Self::Agents => "Agents",
            Self::Deliveries => "Deliveries",
            Self::Registry => "Registry",
            Self::Names => "Names",
            Self::Given => "Given",
            Self::Archives => "Archives",
        }
    }

    /// The first format that has it as it is written now.
    const fn since(number: u8) -> u8 {
        if number == Self::Registry as u8 {
            3
        } else if number >= Self::Given as u8 {
            2
        } else {
            1
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }
}

/// Entries of one table, as one epoch gave them out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Section {
    pub table: u8,
    pub bytes: Vec<u8>,
    /// Of these the sweep has written so many.
    pub swept: usize,
    /// What the sweep passed over takes about so many.
    pub spared: usize,
}

impl Section {
    /// `None`: nothing to write.
    #[must_use]
    pub fn of(table: Table, entries: Writer) -> Option<Self> {
        let (swept, spared, bytes) = (entries.swept(), entries.spared(), entries.finish());
        (!bytes.is_empty() || spared > 0).then_some(Self { table: table as u8, bytes, swept, spared })
    }
}

/// Puts the sections of one lane together, around the largest one: its bytes are many, and are not copied to another place.
#[must_use]
pub fn blob(writer: Share, mut sections: Vec<Section>) -> Vec<u8> {
    let mut before = Writer::default();
    let newest = sections.iter().map(|section| Table::since(section.table)).max();
    before.u8(newest.unwrap_or(1));
    before.varint(writer.worker as u64);
    before.varint(writer.peers as u64);
    sections.sort_by_key(|section| std::cmp::Reverse(section.bytes.len()));
    let mut sections = sections.into_iter();
    let Some(largest) = sections.next() else { return before.finish() };
    before.u8(largest.table);
    before.varint(largest.bytes.len() as u64);
    let mut out = largest.bytes;
    out.splice(0..0, before.finish());
    let mut out = Writer::from(out);
    for section in sections {
        out.u8(section.table);
        out.varint(section.bytes.len() as u64);
        out.bytes(&section.bytes);
    }
    out.finish()
}

/// A blob, taken apart.
#[derive(Debug)]
pub struct Blob<'a> {
    /// The worker that wrote it, of how many.
    pub writer: Share,
    pub sections: Vec<(Table, Reader<'a>)>,
}

/// Takes a blob apart; entries are read by the tables' owners.
///
/// # Errors
/// [`Unusable`]
pub fn parse(bytes: &[u8]) -> Result<Blob<'_>, Unusable> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        1..=FORMAT => {}
        0 => return Err(Unusable::damaged("a blob of format 0")),
        found => return Err(Unusable::Newer { found }),
    }
    let writer = Share { worker: reader.count()?, peers: reader.count()? };
    let mut sections = vec![];
    while !reader.is_empty() {
        let number = reader.u8()?;
        let table = Table::from_number(number).ok_or_else(|| Unusable::damaged(format!("a section {number}")))?;
        let len = reader.count()?;
        sections.push((table, Reader::new(reader.bytes(len)?)));
    }
    Ok(Blob { writer, sections })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_comes_apart_as_it_was_put_together() {
        let mut entries = Writer::default();
        entries.u128(7);
        let sections = [Section::of(Table::Agents, entries), Section::of(Table::Runs, Writer::default())];
        let sections: Vec<Section> = sections.into_iter().flatten().collect();
        let bytes = blob(Share { worker: 1, peers: 3 }, sections);
        let mut parsed = parse(&bytes).unwrap();
        assert_eq!(parsed.writer, Share { worker: 1, peers: 3 });
        assert_eq!(parsed.sections.len(), 1);
        assert_eq!((parsed.sections[0].0, parsed.sections[0].1.u128()), (Table::Agents, Ok(7)));
    }

    #[test]
    fn a_newer_format_and_a_cut_blob_are_refused() {
        let bytes =
            blob(Share::WHOLE, vec![Section { table: Table::Runs as u8, bytes: vec![1; 9], swept: 0, spared: 0 }]);
        assert_eq!(bytes[0], 1, "nothing of retention's is in it");
        assert_eq!(parse(&[FORMAT + 1]).unwrap_err(), Unusable::Newer { found: FORMAT + 1 });
        for cut in 0..bytes.len() {
            assert!(cut == 3 || matches!(parse(&bytes[..cut]), Err(Unusable::Damaged(_))), "cut at {cut}");
        }
    }
}
