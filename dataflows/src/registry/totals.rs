//! The totals as bytes: everything of the registry but the pairs and slugs.
//!
//! One walk over the fields both writes and reads them, so that the two cannot differ. It goes part by part, each behind a tag of
//! its own. What a part holds never changes: a series that joins later is a part more, and state from before it is read
//! with that series at 0.

use super::store::tag;
use crate::{
    series::{Deltas, Exemplar, Histogram, Quality},
    state::{Reader, Unusable, Writer},
    time::Millis,
};
use std::convert::Infallible;

/// The parts, in the order in which they are written.
pub(super) const PARTS: [u8; 1] = [tag::TOTALS];

/// Writes all parts.
pub(super) fn put(totals: &mut Deltas, series_overflow: &mut u64, out: &mut Writer) {
    for part in PARTS {
        out.u8(part);
        let Ok(_) = walk(part, totals, series_overflow, &mut Put(out));
    }
}

/// Reads the part with this tag; false: it is none.
pub(super) fn take(
    part: u8,
    totals: &mut Deltas,
    series_overflow: &mut u64,
    entries: &mut Reader<'_>,
) -> Result<bool, Unusable> {
    walk(part, totals, series_overflow, &mut Take(entries))
}

/// A field that is missing here does not compile.
fn walk<F: Fields>(
    part: u8,
    totals: &mut Deltas,
    series_overflow: &mut u64,
    fields: &mut F,
) -> Result<bool, F::Error> {
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
    match part {
        tag::TOTALS => {
            for gauge in [jobs_running, runs_queued, jobs_pending, jobs_dispatchable, agents_online] {
                fields.level(gauge)?;
            }
            let mut histograms = job_duration.iter_mut().chain(run_duration).chain([job_queue]);
            histograms.try_for_each(|histogram| fields.histogram(histogram))?;
            fields.list(archives)?;
            fields.count(jobs_lost)?;
            fields.count(partitions_dropped)?;
            webhooks.iter_mut().try_for_each(|outcomes| fields.list(outcomes))?;
            fields.time(oldest_dispatchable)?;
            let Quality { events, rejected, ignored, duplicates, late, conflicts, skewed, over_limit } = quality;
            fields.list(events)?;
            fields.list(rejected)?;
            fields.list(over_limit)?;
            let mut rest = [*ignored, *duplicates, *late, *conflicts, *skewed, *series_overflow];
            fields.list(&mut rest)?;
            [*ignored, *duplicates, *late, *conflicts, *skewed, *series_overflow] = rest;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// What happens to each field: it is written, or read.
trait Fields {
    type Error;

    fn count(&mut self, value: &mut u64) -> Result<(), Self::Error>;
    fn level(&mut self, value: &mut i64) -> Result<(), Self::Error>;
    fn time(&mut self, value: &mut Option<Millis>) -> Result<(), Self::Error>;
    /// With its length.
    fn list(&mut self, values: &mut [u64]) -> Result<(), Self::Error>;
    fn histogram(&mut self, histogram: &mut Histogram) -> Result<(), Self::Error>;
}

struct Put<'a>(&'a mut Writer);

impl Fields for Put<'_> {
    type Error = Infallible;

    fn count(&mut self, value: &mut u64) -> Result<(), Infallible> {
        self.0.varint(*value);
        Ok(())
    }

    fn level(&mut self, value: &mut i64) -> Result<(), Infallible> {
        self.0.signed(*value);
        Ok(())
    }

    fn time(&mut self, value: &mut Option<Millis>) -> Result<(), Infallible> {
        self.0.u8(u8::from(value.is_some()));
        if let Some(time) = value {
            self.0.signed(*time);
        }
        Ok(())
    }

    fn list(&mut self, values: &mut [u64]) -> Result<(), Infallible> {
        self.0.varint(values.len() as u64);
        for value in values {
            self.0.varint(*value);
        }
        Ok(())
    }

    fn histogram(&mut self, histogram: &mut Histogram) -> Result<(), Infallible> {
        self.list(&mut histogram.buckets)?;
        self.0.signed(histogram.sum_ms);
        for exemplar in &histogram.exemplars {
            self.0.u8(u8::from(exemplar.is_some()));
            if let Some(Exemplar { value_ms, trace }) = exemplar {
                self.0.signed(*value_ms);
                self.0.u128(*trace);
            }
        }
        Ok(())
    }
}

struct Take<'a, 'b>(&'a mut Reader<'b>);

impl Fields for Take<'_, '_> {
    type Error = Unusable;

    fn count(&mut self, value: &mut u64) -> Result<(), Unusable> {
        *value = self.0.varint()?;
        Ok(())
    }

    fn level(&mut self, value: &mut i64) -> Result<(), Unusable> {
        *value = self.0.signed()?;
        Ok(())
    }

    fn time(&mut self, value: &mut Option<Millis>) -> Result<(), Unusable> {
        *value = if self.0.u8()? == 0 { None } else { Some(self.0.signed()?) };
        Ok(())
    }

    /// A list that has grown since at its end is filled up with zeros: event types, reasons and limits only ever join.
    fn list(&mut self, values: &mut [u64]) -> Result<(), Unusable> {
        let len = self.0.count()?;
        if len > values.len() {
            return Err(Unusable::damaged(format!(
                "{len} values where {} are known, unless a newer version wrote it",
                values.len()
            )));
        }
        values[..len].iter_mut().try_for_each(|value| self.count(value))?;
        values[len..].fill(0);
        Ok(())
    }

    fn histogram(&mut self, histogram: &mut Histogram) -> Result<(), Unusable> {
        let len = self.0.count()?;
        if len != histogram.buckets.len() {
            let expected = histogram.buckets.len();
            return Err(Unusable::damaged(format!(
                "a histogram of {len} buckets where the settings have {expected}"
            )));
        }
        histogram.buckets.iter_mut().try_for_each(|value| self.count(value))?;
        self.level(&mut histogram.sum_ms)?;
        for exemplar in &mut histogram.exemplars {
            *exemplar = match self.0.u8()? {
                0 => None,
                _ => Some(Exemplar { value_ms: self.0.signed()?, trace: self.0.u128()? }),
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::ArchiveResult, settings::Settings};

    /// The totals of `filled()` as the first version wrote them, in hexadecimal. Whatever joins is 0 when these are read.
    const FIRST: &str = "\
        01 \
        0204060809 \
        0201000e010e0900000000000000000000000000000000 \
        020000000000020000000000020000000000020000000000 \
        020000000000 \
        020001a01f0000 \
        020000000000020000000000020000000000 \
        020100100000 \
        04000a0000 \
        0b \
        0c \
        010d010e \
        011e \
        0f100000000000000000000000000000 \
        06001100000000 \
        0700001200000000 \
        06131415161718";

    fn settings() -> Settings {
        let bounds = || vec![1_000];
        let (duration_buckets_ms, queue_buckets_ms) = (bounds(), bounds());
        let (webhook_providers, webhook_outcomes) = (vec!["github".into()], vec![]);
        Settings { duration_buckets_ms, queue_buckets_ms, webhook_providers, webhook_outcomes, ..Settings::default() }
    }

    /// Totals in which no two numbers that are next to each other are the same.
    fn filled() -> Deltas {
        let mut totals = Deltas::new(&settings());
        (totals.jobs_running, totals.runs_queued, totals.jobs_pending) = (1, 2, 3);
        (totals.jobs_dispatchable, totals.agents_online) = (4, -5);
        totals.job_duration[0].observe(&[1_000], 7, 9);
        totals.run_duration[1].observe(&[1_000], 2_000, 0);
        totals.job_queue.observe(&[1_000], 8, 0);
        totals.archives[ArchiveResult::Failed as usize] = 10;
        (totals.jobs_lost, totals.partitions_dropped) = (11, 12);
        (totals.webhooks[0][0], totals.webhooks[1][0]) = (13, 14);
        totals.oldest_dispatchable = Some(15);
        let quality = &mut totals.quality;
        (quality.events[0], quality.rejected[1], quality.over_limit[2]) = (16, 17, 18);
        (quality.ignored, quality.duplicates, quality.late) = (19, 20, 21);
        (quality.conflicts, quality.skewed) = (22, 23);
        totals
    }

    fn read(bytes: &[u8]) -> (Deltas, u64) {
        let (mut totals, mut overflow, mut entries) = (Deltas::new(&settings()), 0, Reader::new(bytes));
        while !entries.is_empty() {
            let part = entries.u8().unwrap();
            assert!(take(part, &mut totals, &mut overflow, &mut entries).unwrap(), "no part {part}");
        }
        (totals, overflow)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Writer::default();
        put(&mut filled(), &mut 24, &mut out);
        assert_eq!(read(&out.finish()), (filled(), 24));
    }

    /// A series that has joined since is 0 here: set it back in what is expected.
    #[test]
    fn state_from_before_a_part_is_read() {
        let digits: Vec<u8> = FIRST.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
        assert_eq!(read(&bytes), (filled(), 24));
    }
}
