//! What is stored of the registry, and how it is taken in again.
//!
//! The totals are stored whole each time they changed ([`totals`]); pairs and slugs by key. Who was admitted follows from the
//! pairs.

use super::{PairLabels, Registry, totals};
use crate::{
    names::NameId,
    series::{Announcement, Pair},
    state::{Cursor, Reader, Sweep, Unusable, Writer},
    time::{Epoch, StreamTime},
};
use std::{collections::BTreeSet, sync::Arc};

/// What is to be stored of the epochs folded since the last time.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// `None`: nobody asks.
    pairs: Option<BTreeSet<PairLabels>>,
    announced: BTreeSet<Pair>,
    /// As stored last.
    totals: Vec<u8>,
    sweep: Cursors,
}

#[derive(Debug, Default)]
struct Cursors {
    pairs: Cursor,
    announced: Cursor,
}

/// What an entry is; a number is never given again to something else.
pub(super) mod tag {
    /// The first part of the totals; further ones are in [`totals::PARTS`].
    pub const TOTALS: u8 = 0x01;
    pub const PAIR: u8 = 0x02;
    /// Without a tie; not written any more.
    pub const SLUG: u8 = 0x03;
    pub const ANNOUNCED: u8 = 0x04;
}

impl Changes {
    pub(super) fn moved(&mut self, labels: PairLabels) {
        self.pairs.iter_mut().for_each(|pairs| pairs.extend([labels]));
    }

    pub(super) fn announced(&mut self, pair: Pair) {
        if self.pairs.is_some() {
            self.announced.insert(pair);
        }
    }
}

impl Registry {
    /// From now on what changes is kept for [`save`](Self::save).
    pub fn record(&mut self) {
        self.changes.pairs.get_or_insert_default();
    }

    /// Writes what the epochs since the last time have changed, and the part of the rest that goes with the newest.
    pub fn save(&mut self, sweep: Sweep, out: &mut Writer) {
        let mut changes = std::mem::take(&mut self.changes);
        let Some(pairs) = &mut changes.pairs else { return };
        let mut written = Writer::default();
        totals::put(&mut self.current.totals, &mut self.current.series_overflow, &mut written);
        let written = written.finish();
        if written != changes.totals || sweep.begins() {
            out.bytes(&written);
            changes.totals = written;
        }
        let (scheduled, announced) = (&self.current.jobs_scheduled, &self.announced);
        for labels in std::mem::take(pairs) {
            put_pair(labels, scheduled.get(&labels).copied().unwrap_or_default(), out);
        }
        for pair in std::mem::take(&mut changes.announced) {
            announced.get(&pair).into_iter().for_each(|seen| put_announced(pair, *seen, out));
        }
        out.sweeps();
        let swept = changes.sweep.pairs.advance(sweep, scheduled.len());
        for (labels, count) in scheduled.iter().skip(swept.start).take(swept.len()) {
            put_pair(*labels, *count, out);
        }
        let swept = changes.sweep.announced.advance(sweep, announced.len());
        for (pair, seen) in announced.iter().skip(swept.start).take(swept.len()) {
            put_announced(*pair, *seen, out);
        }
        self.changes = changes;
    }

    /// Takes in stored entries, later ones over earlier ones.
    ///
    /// # Errors
    /// [`Unusable`], also where the totals are of other buckets or label lists than the settings'.
    pub fn load(&mut self, mut entries: Reader<'_>) -> Result<(), Unusable> {
        while !entries.is_empty() {
            match entries.u8()? {
                tag::PAIR => {
                    let (labels, count) = take_pair(&mut entries)?;
                    Arc::make_mut(&mut self.current.jobs_scheduled).insert(labels, count);
                    self.admitted_as(labels);
                }
                tag @ (tag::SLUG | tag::ANNOUNCED) => {
                    let pair = Pair { project: entries.u128()?, pipeline: entries.u128()? };
                    let time = entries.signed()?;
                    let tie = if tag == tag::ANNOUNCED { entries.u64()? } else { 0 };
                    let slug = NameId(entries.small()?);
                    self.announced.insert(pair, Announcement { time, tie, slug });
                    Arc::make_mut(&mut self.current.pipelines).insert(pair, slug);
                }
                other => {
                    let (totals, overflow) = (&mut self.current.totals, &mut self.current.series_overflow);
                    if !totals::take(other, totals, overflow, &mut entries)? {
                        return Err(Unusable::damaged(format!(
                            "a total of kind {other}, unless a newer version wrote it"
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// All stored entries are taken in; this was the last of their epochs.
    pub const fn loaded(&mut self, epoch: Epoch, stream_time: StreamTime) {
        self.current.epoch = epoch;
        self.current.stream_time = stream_time;
    }

    /// A series that is shown says who was admitted.
    fn admitted_as(&mut self, labels: PairLabels) {
        let Some(project) = labels.project else { return };
        let pipelines = self.pipelines_by_project.entry(project).or_default();
        if let Some(pipeline) = labels.pipeline
            && self.admitted.insert(Pair { project, pipeline })
        {
            *pipelines += 1;
        }
    }
}

fn put_pair(labels: PairLabels, count: u64, out: &mut Writer) {
    out.u8(tag::PAIR);
    out.u8(u8::from(labels.project.is_some()) | u8::from(labels.pipeline.is_some()) << 1);
    labels.project.into_iter().chain(labels.pipeline).for_each(|id| out.u128(id));
    out.varint(count);
}

fn take_pair(entries: &mut Reader<'_>) -> Result<(PairLabels, u64), Unusable> {
    let has = entries.u8()?;
    let mut id = |bit: u8| if has & bit == 0 { Ok(None) } else { entries.u128().map(Some) };
    let labels = PairLabels { project: id(1)?, pipeline: id(2)? };
    Ok((labels, entries.varint()?))
}

fn put_announced(pair: Pair, seen: Announcement, out: &mut Writer) {
    out.u8(tag::ANNOUNCED);
    out.u128(pair.project);
    out.u128(pair.pipeline);
    out.signed(seen.time);
    out.u64(seen.tie);
    out.varint(u64::from(seen.slug.0));
}
