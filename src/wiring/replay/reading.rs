//! The reading side of a replay: a thread that hands out the files' lines and cuts the epochs.

use super::{RunError, deliver};
use crate::{
    sinks::dead_letter_file::DeadLetterFile,
    sources::{
        files::{Files, Marks},
        in_flight::InFlight,
    },
};
use dataflows::{
    feed::{DeadLetter, EpochEnd, Reason},
    graph::Feeder,
    time::Epoch,
};
use indicatif::ProgressBar;
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

/// An epoch ends early after this many bytes, so that its dead letters stay bounded (I6).
const EPOCH_BYTES: usize = 256 << 20;
/// How often a reader without room looks whether the other side has given up.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the reader knows of an epoch and the dataflow does not.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// Records that the source itself refused.
    pub refused: Refused,
    /// How far each file is read at its end.
    pub marks: Marks,
}

/// Counts by [`Reason`].
#[derive(Debug, Default)]
pub(super) struct Refused(pub [u64; Reason::ALL.len()]);

impl Refused {
    fn count(&mut self, letters: &[DeadLetter]) {
        for letter in letters {
            self.0[letter.reason as usize] += 1;
        }
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What both sides of a replay share.
#[derive(Debug)]
pub(super) struct Common {
    pub sink: Mutex<DeadLetterFile>,
    pub in_flight: InFlight,
    /// Set when the other side has given up.
    pub broken: AtomicBool,
}

/// See the module.
pub(super) struct Reading<'a> {
    pub files: Files,
    pub feeder: Feeder,
    pub epoch: Epoch,
    pub epoch_records: u64,
    pub common: &'a Common,
    /// One message an epoch, before its end.
    pub cuts: Sender<Cut>,
    pub bar: ProgressBar,
}

impl Reading<'_> {
    pub fn run(mut self) -> Result<(), RunError> {
        let (mut records, mut bytes, mut refused) = (0, 0, Refused::default());
        let read_bytes = self.files.read_bytes();
        while let Some(step) = self.files.next(self.feeder.arena())? {
            self.bar.set_position(read_bytes.load(Ordering::Relaxed));
            refused.count(&step.rejected);
            deliver(&self.common.sink, &step.rejected).map_err(anyhow::Error::from)?;
            records += step.lines;
            bytes += step.batch.bytes.len();
            if step.lines > 0 {
                self.feeder.batch(step.batch).map_err(anyhow::Error::from)?;
            }
            if records >= self.epoch_records || bytes >= EPOCH_BYTES {
                if !self.end_epoch(std::mem::take(&mut refused), false)? {
                    return Ok(());
                }
                (records, bytes) = (0, 0);
            }
        }
        self.end_epoch(refused, true).map(drop)
    }

    /// `false`: the other side has given up.
    fn end_epoch(&mut self, refused: Refused, last: bool) -> Result<bool, RunError> {
        while !self.common.in_flight.wait_for_room(PATIENCE) {
            if self.common.broken.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
        // a listener that is gone is missed at the feeder, or here the next time
        let _ = self.cuts.send(Cut { refused, marks: self.files.marks() });
        let next_epoch = Epoch(self.epoch.0 + 1);
        let partitions = self.files.progress();
        let end = EpochEnd { epoch: self.epoch, next_epoch, partitions, wall: None, last, retention: None };
        self.epoch = next_epoch;
        self.common.in_flight.sent();
        self.feeder.end(end).map_err(anyhow::Error::from)?;
        Ok(!self.common.broken.load(Ordering::Relaxed))
    }
}
