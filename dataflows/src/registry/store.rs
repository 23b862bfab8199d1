//! What is stored of the registry, and how it is taken in again.
//!
//! The totals are stored whole each time they changed; pairs and slugs by key. Who was admitted follows from the pairs.

use super::{PairLabels, Registry};
use crate::{
    names::NameId,
    series::{Announcement, Deltas, Exemplar, Histogram, Pair, Quality},
    state::{Cursor, Reader, Sweep, Unusable, Writer},
    time::{Epoch, StreamTime},
};
use std::{collections::BTreeSet, sync::Arc};

/// What is to be stored of the epochs folded since the last time.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// `None`: nobody asks.
    pairs: Option<BTreeSet<PairLabels>>,
    slugs: BTreeSet<Pair>,
    /// As stored last.
    totals: Vec<u8>,
    sweep: Cursors,
}

#[derive(Debug, Default)]
struct Cursors {
    pairs: Cursor,
    slugs: Cursor,
}

mod tag {
    pub const TOTALS: u8 = 0x01;
    pub const PAIR: u8 = 0x02;
    pub const SLUG: u8 = 0x03;
}

impl Changes {
    pub(super) fn moved(&mut self, labels: PairLabels) {
        self.pairs.iter_mut().for_each(|pairs| pairs.extend([labels]));
    }

    pub(super) fn renamed(&mut self, pair: Pair) {
        if self.pairs.is_some() {
            self.slugs.insert(pair);
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
        let mut totals = Writer::default();
        put_totals(&self.current.totals, self.current.series_overflow, &mut totals);
        let totals = totals.finish();
        if totals != changes.totals || sweep.begins() {
            out.u8(tag::TOTALS);
            out.bytes(&totals);
            changes.totals = totals;
        }
        let (scheduled, pipelines) = (&self.current.jobs_scheduled, &self.current.pipelines);
        for labels in std::mem::take(pairs) {
            put_pair(labels, scheduled.get(&labels).copied().unwrap_or_default(), out);
        }
        for pair in std::mem::take(&mut changes.slugs) {
            pipelines.get(&pair).into_iter().for_each(|seen| put_slug(pair, *seen, out));
        }
        out.sweeps();
        let swept = changes.sweep.pairs.advance(sweep, scheduled.len());
        for (labels, count) in scheduled.iter().skip(swept.start).take(swept.len()) {
            put_pair(*labels, *count, out);
        }
        let swept = changes.sweep.slugs.advance(sweep, pipelines.len());
        for (pair, seen) in pipelines.iter().skip(swept.start).take(swept.len()) {
            put_slug(*pair, *seen, out);
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
                tag::TOTALS => self.current.series_overflow = take_totals(&mut self.current.totals, &mut entries)?,
                tag::PAIR => {
                    let (labels, count) = take_pair(&mut entries)?;
                    Arc::make_mut(&mut self.current.jobs_scheduled).insert(labels, count);
                    self.admitted_as(labels);
                }
                tag::SLUG => {
                    let pair = Pair { project: entries.u128()?, pipeline: entries.u128()? };
                    let seen = Announcement { time: entries.signed()?, slug: NameId(entries.small()?) };
                    Arc::make_mut(&mut self.current.pipelines).insert(pair, seen);
                }
                other => return Err(Unusable::damaged(format!("a total of kind {other}"))),
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

fn put_slug(pair: Pair, seen: Announcement, out: &mut Writer) {
    out.u8(tag::SLUG);
    out.u128(pair.project);
    out.u128(pair.pipeline);
    out.signed(seen.time);
    out.varint(u64::from(seen.slug.0));
}

/// Everything but the pairs. A field that is missing here does not compile.
fn put_totals(totals: &Deltas, series_overflow: u64, out: &mut Writer) {
    let Deltas {
        jobs_scheduled: _,
        announced: _,
        jobs_running,
        runs_queued,
        jobs_pending,
        jobs_dispatchable,
        agents_online,
        job_duration,
        run_duration,
        job_queue,
        jobs_lost,
        archives,
        partitions_dropped,
        webhooks,
        oldest_dispatchable,
        quality,
    } = totals;
    for gauge in [jobs_running, runs_queued, jobs_pending, jobs_dispatchable, agents_online] {
        out.signed(*gauge);
    }
    for histogram in job_duration.iter().chain(run_duration).chain([job_queue]) {
        put_histogram(histogram, out);
    }
    put_list(archives, out);
    out.varint(*jobs_lost);
    out.varint(*partitions_dropped);
    for outcomes in webhooks {
        put_list(outcomes, out);
    }
    out.u8(u8::from(oldest_dispatchable.is_some()));
    if let Some(since) = oldest_dispatchable {
        out.signed(*since);
    }
    let Quality { events, rejected, ignored, duplicates, late, conflicts, skewed, over_limit } = quality;
    put_list(events, out);
    put_list(rejected, out);
    put_list(over_limit, out);
    put_list(&[*ignored, *duplicates, *late, *conflicts, *skewed, series_overflow], out);
}

/// In the order of [`put_totals`]; gives the overflow of series.
fn take_totals(totals: &mut Deltas, entries: &mut Reader<'_>) -> Result<u64, Unusable> {
    totals.jobs_running = entries.signed()?;
    totals.runs_queued = entries.signed()?;
    totals.jobs_pending = entries.signed()?;
    totals.jobs_dispatchable = entries.signed()?;
    totals.agents_online = entries.signed()?;
    let durations = totals.job_duration.iter_mut().chain(&mut totals.run_duration);
    durations.chain([&mut totals.job_queue]).try_for_each(|histogram| take_histogram(histogram, entries))?;
    take_list(&mut totals.archives, entries)?;
    totals.jobs_lost = entries.varint()?;
    totals.partitions_dropped = entries.varint()?;
    totals.webhooks.iter_mut().try_for_each(|outcomes| take_list(outcomes, entries))?;
    totals.oldest_dispatchable = if entries.u8()? == 0 { None } else { Some(entries.signed()?) };
    let quality = &mut totals.quality;
    take_list(&mut quality.events, entries)?;
    take_list(&mut quality.rejected, entries)?;
    take_list(&mut quality.over_limit, entries)?;
    let mut rest = [0; 6];
    take_list(&mut rest, entries)?;
    let [ignored, duplicates, late, conflicts, skewed, series_overflow] = rest;
    *quality = Quality { ignored, duplicates, late, conflicts, skewed, ..quality.clone() };
    Ok(series_overflow)
}

fn put_list(list: &[u64], out: &mut Writer) {
    out.varint(list.len() as u64);
    for value in list {
        out.varint(*value);
    }
}

/// A list that has grown since at its end is filled up with zeros: event types, reasons and limits only ever join.
fn take_list(list: &mut [u64], entries: &mut Reader<'_>) -> Result<(), Unusable> {
    let len = entries.count()?;
    if len > list.len() {
        return Err(Unusable::damaged(format!("{len} values where at most {} are known", list.len())));
    }
    list[..len].iter_mut().try_for_each(|value| entries.varint().map(|read| *value = read))?;
    list[len..].fill(0);
    Ok(())
}

fn put_histogram(histogram: &Histogram, out: &mut Writer) {
    put_list(&histogram.buckets, out);
    out.signed(histogram.sum_ms);
    for exemplar in &histogram.exemplars {
        out.u8(u8::from(exemplar.is_some()));
        if let Some(Exemplar { value_ms, trace }) = exemplar {
            out.signed(*value_ms);
            out.u128(*trace);
        }
    }
}

fn take_histogram(histogram: &mut Histogram, entries: &mut Reader<'_>) -> Result<(), Unusable> {
    let len = entries.count()?;
    if len != histogram.buckets.len() {
        let expected = histogram.buckets.len();
        return Err(Unusable::damaged(format!("a histogram of {len} buckets where the settings have {expected}")));
    }
    histogram.buckets.iter_mut().try_for_each(|value| entries.varint().map(|read| *value = read))?;
    histogram.sum_ms = entries.signed()?;
    for exemplar in &mut histogram.exemplars {
        *exemplar = match entries.u8()? {
            0 => None,
            _ => Some(Exemplar { value_ms: entries.signed()?, trace: entries.u128()? }),
        };
    }
    Ok(())
}
