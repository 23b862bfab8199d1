//! Stored histograms on other bounds. Pure.
//!
//! Counts can be carried over exactly where every new bound is also an old one: each new bucket is then a run of old ones.
//! Where that is not so nothing tells on which side of a new bound a span lay, and the histogram starts over.

use crate::{
    series::{Exemplar, Histogram},
    time::Millis,
};

/// Which histograms; those of one kind have the same bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buckets {
    /// Of jobs and runs.
    Duration,
    /// Of jobs.
    Queue,
}

/// What becomes of what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Every span, in the bucket in which it belongs.
    All,
    /// None of so many spans.
    Nothing { spans: u64 },
}

/// Gives the histograms, which have the bounds `old`, the bounds `new`.
pub fn rebucket<'a>(
    histograms: impl IntoIterator<Item = &'a mut Histogram>,
    old: &[Millis],
    new: &[Millis],
) -> Carried {
    let mut lost = 0;
    for histogram in histograms {
        *histogram = coarser(histogram, old, new).unwrap_or_else(|| {
            lost += histogram.count();
            Histogram::new(new)
        });
    }
    if lost == 0 { Carried::All } else { Carried::Nothing { spans: lost } }
}

/// The same spans on fewer bounds; `None` where a new bound is no old one.
fn coarser(histogram: &Histogram, old: &[Millis], new: &[Millis]) -> Option<Histogram> {
    if !new.iter().all(|bound| old.contains(bound)) {
        return None;
    }
    let mut merged = Histogram { sum_ms: histogram.sum_ms, ..Histogram::new(new) };
    for (at, (count, exemplar)) in histogram.buckets.iter().zip(&histogram.exemplars).enumerate() {
        // the first new bound that is not below the old one; none: beyond all of them
        let bucket = old.get(at).map_or(new.len(), |bound| new.partition_point(|new| new < bound));
        merged.buckets[bucket] += count;
        merged.exemplars[bucket] = longest(merged.exemplars[bucket], *exemplar);
    }
    Some(merged)
}

/// Which of two is newer is not known.
fn longest(a: Option<Exemplar>, b: Option<Exemplar>) -> Option<Exemplar> {
    a.max(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::btree_set, prelude::*};

    fn observed(bounds: &[Millis], spans: &[Millis]) -> Histogram {
        let mut histogram = Histogram::new(bounds);
        for span in spans {
            histogram.observe(bounds, *span, u128::try_from(*span).unwrap() + 1);
        }
        histogram
    }

    #[test]
    fn where_a_bound_is_new_it_starts_over_and_says_how_much_is_lost() {
        let mut histograms = [observed(&[5, 10], &[1, 7]), observed(&[5, 10], &[20])];
        assert_eq!(rebucket(&mut histograms, &[5, 10], &[5, 7]), Carried::Nothing { spans: 3 });
        assert_eq!(histograms, [Histogram::new(&[5, 7]), Histogram::new(&[5, 7])]);
        let mut empty = [Histogram::new(&[5, 10])];
        assert_eq!(rebucket(&mut empty, &[5, 10], &[1, 2, 3]), Carried::All, "nothing was counted");
        assert_eq!(empty, [Histogram::new(&[1, 2, 3])]);
    }

    #[test]
    fn a_bound_that_goes_at_the_end_sends_its_spans_beyond_all() {
        let mut histograms = [observed(&[5, 10], &[5, 10, 11])];
        assert_eq!(rebucket(&mut histograms, &[5, 10], &[5]), Carried::All);
        assert_eq!(histograms[0].buckets, [1, 2]);
    }

    proptest! {
        /// As if the spans had been counted on the new bounds from the start.
        #[test]
        fn what_is_carried_over_is_exact(
            old in btree_set(1_i64..50, 1..8),
            keep in proptest::collection::vec(any::<bool>(), 8),
            spans in proptest::collection::vec(0_i64..60, 0..40),
        ) {
            let old: Vec<Millis> = old.into_iter().collect();
            let new: Vec<Millis> = old.iter().zip(keep).filter_map(|(bound, keep)| keep.then_some(*bound)).collect();
            let mut histograms = [observed(&old, &spans)];
            prop_assert_eq!(rebucket(&mut histograms, &old, &new), Carried::All);
            prop_assert_eq!(&histograms[0], &observed(&new, &spans));
        }

        #[test]
        fn any_new_bound_at_all_starts_over(
            old in btree_set(1_i64..50, 1..8),
            new in btree_set(1_i64..50, 1..8),
            spans in proptest::collection::vec(0_i64..60, 1..40),
        ) {
            prop_assume!(!new.is_subset(&old));
            let (old, new): (Vec<Millis>, Vec<Millis>) = (old.into_iter().collect(), new.into_iter().collect());
            let mut histograms = [observed(&old, &spans)];
            let lost = Carried::Nothing { spans: spans.len() as u64 };
            prop_assert_eq!(rebucket(&mut histograms, &old, &new), lost);
            prop_assert_eq!(&histograms[0], &Histogram::new(&new));
        }
    }
}
