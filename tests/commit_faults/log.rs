//! A log of three partitions with disorder, duplicates and garbage, cut into epochs at fixed places.
//!
//! An epoch is a function of its number, so that a life that begins anywhere reads the same epochs as any other.

use dataflows::{
    feed::{Batch, CatchUp, EpochEnd, Partition, PartitionProgress, Records},
    time::{Epoch, NextOffset},
};
use gocdnext_flow::fleet::{Disorder, Fleet, FleetOptions, Noise, NoiseOptions};

const PARTITIONS: usize = 3;

/// Where a record lies.
pub type Place = (Partition, i64);

pub struct Log {
    /// The records of each partition.
    partitions: [Vec<Vec<u8>>; PARTITIONS],
    pub epochs: u64,
}

impl Log {
    pub fn new(seed: u64, epochs: u64) -> Self {
        // as short as can be with late events of all kinds in it
        let fleet = FleetOptions { seed, max_jobs: Some(120), speed: 20.0, ..FleetOptions::default() };
        let disorder = Disorder::Time(5_000);
        let noise = NoiseOptions { seed, disorder, duplicates: 0.1, garbage: 0.15 };
        let mut partitions = [const { Vec::new() }; PARTITIONS];
        for (number, record) in Noise::new(Fleet::new(fleet), noise).enumerate() {
            // a job's events come by way of more than one partition
            partitions[number % PARTITIONS].push(record.value);
        }
        Self { partitions, epochs }
    }

    /// Records of a partition before the end of an epoch.
    fn until(&self, epoch: u64, partition: usize) -> usize {
        let (epoch, epochs) = (usize::try_from(epoch).unwrap(), usize::try_from(self.epochs).unwrap());
        self.partitions[partition].len() * epoch / epochs
    }

    /// The epoch that a record is read in.
    pub fn epoch_of(&self, (partition, offset): Place) -> u64 {
        let before = usize::try_from(offset).unwrap() - 1;
        (1..=self.epochs).find(|epoch| self.until(*epoch, partition as usize) > before).unwrap()
    }

    /// Offsets count from 1: they are the numbers of lines.
    pub fn batches(&self, epoch: u64) -> Vec<Batch> {
        let batch = |partition: usize| {
            let (from, to) = (self.until(epoch - 1, partition), self.until(epoch, partition));
            let lines = &self.partitions[partition][from..to];
            let bytes = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
            let records = Records::Lines { first_line: i64::try_from(from).unwrap() + 1 };
            Batch { partition: u32::try_from(partition).unwrap(), bytes, records, read_at: None }
        };
        (0..PARTITIONS).map(batch).collect()
    }

    pub fn end(&self, epoch: u64) -> EpochEnd {
        let state = if epoch == self.epochs { CatchUp::CaughtUp } else { CatchUp::Behind };
        let next = |partition| NextOffset(i64::try_from(self.until(epoch, partition)).unwrap() + 1);
        let partitions = (0..PARTITIONS).map(|at| PartitionProgress {
            partition: u32::try_from(at).unwrap(),
            next_offset: next(at),
            state,
        });
        let partitions = partitions.collect();
        EpochEnd {
            epoch: Epoch(epoch),
            next_epoch: Epoch(epoch + 1),
            partitions,
            wall: None,
            last: false,
            retention: None,
        }
    }
}
