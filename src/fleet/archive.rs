//! After the jobs: their logs go to the cold archive, and old partitions of the log table are dropped.

use super::{
    Fleet,
    calendar::Action,
    runs::{Job, Run},
    writer::Trace,
};
use dataflows::{event::ArchiveResult, retention::month::Month, time::Millis};

/// After so many failed tries a log is given up.
const MAX_TRIES: u8 = 6;

/// How long logs are kept, in whole months before the current one.
const MONTHS_KEPT: i64 = 3;

/// One log on its way to the archive; it outlives its run.
#[derive(Debug)]
pub struct Archive {
    pub pipeline: u32,
    pub run: u128,
    pub job: u128,
    pub attempt: u16,
    pub trace: Trace,
    pub replica: u8,
    tries: u8,
}

impl Fleet {
    /// The log of a job that ran is archived a little after its end.
    pub(super) fn archive_later(&mut self, run: &Run, job: &Job) {
        let archive = Archive {
            pipeline: run.pipeline,
            run: run.id,
            job: job.id,
            attempt: job.attempt,
            trace: run.trace,
            replica: run.replica,
            tries: 0,
        };
        self.open_archives += 1;
        self.try_archive(archive, (5_000, 60_000));
    }

    fn try_archive(&mut self, archive: Archive, within_ms: (Millis, Millis)) {
        let pause = self.dice.between(within_ms.0, within_ms.1);
        let pause = self.sped_up(pause);
        self.after(pause, Action::Archived(Box::new(archive)));
    }

    /// A try ended: a failed one is made again, up to a limit.
    pub(super) fn archived(&mut self, mut archive: Archive) {
        let result = self.archive_result(archive.pipeline);
        self.say_archived(&archive, result);
        archive.tries += 1;
        if result == ArchiveResult::Failed && archive.tries < MAX_TRIES {
            self.try_archive(archive, (60_000, 600_000));
        } else {
            self.open_archives -= 1;
        }
    }

    fn archive_result(&mut self, pipeline: u32) -> ArchiveResult {
        let tenant = &self.plan.tenants[self.plan.pipelines[pipeline as usize].tenant];
        match self.dice.unit() {
            _ if !tenant.archives => ArchiveResult::Skipped,
            luck if luck < 0.04 => ArchiveResult::Failed,
            luck if luck < 0.05 => ArchiveResult::Skipped,
            _ => ArchiveResult::Success,
        }
    }

    /// Drops the partition whose time has come, and returns at the start of the next month. The first sweep drops
    /// one too, so that a fleet that lives for minutes shows it.
    pub(super) fn sweep(&mut self) {
        let month = Month::of(self.now);
        let due = month.plus(-MONTHS_KEPT - 1);
        if self.dropped_month.is_none_or(|dropped| dropped < due) {
            let partition = due.partition();
            self.say_partition_dropped(&partition.name, partition.upper);
            self.dropped_month = Some(due);
        }
        // three in the morning, when few write logs
        let next = month.plus(1).begin() + 3 * 3_600_000;
        self.calendar.push(next, Action::RetentionSweep);
    }
}
