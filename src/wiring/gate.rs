//! What I2 asks of the very first start: nothing is shown until everything that was there has been read.

use dataflows::{feed::PartitionProgress, time::NextOffset};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

/// Opens once the committed epochs have reached the end offsets listed before anything was read, and stays open.
#[derive(Debug)]
pub struct Gate {
    first_ends: Arc<OnceLock<BTreeMap<u32, NextOffset>>>,
    open: bool,
}

impl Gate {
    #[must_use]
    pub const fn new(first_ends: Arc<OnceLock<BTreeMap<u32, NextOffset>>>, open: bool) -> Self {
        Self { first_ends, open }
    }

    /// Whether the epoch that ended there may be shown.
    pub fn admits(&mut self, progress: &[PartitionProgress]) -> bool {
        if !self.open {
            let next: BTreeMap<_, _> = progress.iter().map(|p| (p.partition, p.next_offset)).collect();
            let reached = |(partition, end)| next.get(partition).is_some_and(|next| next >= end);
            self.open = self.first_ends.get().is_some_and(|ends| ends.iter().all(reached));
        }
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::feed::CatchUp;

    fn progress(next: &[i64]) -> Vec<PartitionProgress> {
        let state = CatchUp::Behind;
        let of =
            |(partition, next): (u32, &i64)| PartitionProgress { partition, next_offset: NextOffset(*next), state };
        (0..).zip(next).map(of).collect()
    }

    #[test]
    fn it_opens_when_every_first_end_is_reached_and_stays_open() {
        let ends = Arc::new(OnceLock::new());
        let mut gate = Gate::new(Arc::clone(&ends), false);
        assert!(!gate.admits(&progress(&[9, 9])), "the ends are not known yet");
        ends.set(BTreeMap::from([(0, NextOffset(5)), (1, NextOffset(0))])).unwrap();
        assert!(!gate.admits(&[]), "nothing is assigned yet");
        assert!(!gate.admits(&progress(&[4, 0])));
        assert!(gate.admits(&progress(&[5, 0])));
        assert!(gate.admits(&progress(&[5, 0, 0])), "a partition added later closes nothing");
    }
}
