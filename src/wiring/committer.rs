//! The committer: makes an epoch durable, whole or not at all, however often it takes (I4, I5).
//!
//! What is transient is tried again for as long as it lasts. After any error it is not known whether the epoch was
//! committed: the manifest is read until it tells ([`super::outcome`]).

use super::{
    RunError,
    details::{Details, LEDGER_LANE},
    outcome::{Outcome, outcome},
    sweeping::{Sweeping, Written},
    unpassing::Unpassing,
};
use crate::{
    clock::wall_ms,
    published::Published,
    sources::stop::Stop,
    store::{Additions, Blob, Commit, Damage, Manifest, Outgoing, Store, StoreError},
};
use dataflows::{
    graph::{EpochOutput, Lane},
    state::Pace,
    time::StreamTime,
};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::runtime::Handle;

/// Pauses between tries double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// What a row costs beside its bytes.
const ROW_BYTES: u64 = 128;
/// Garbage that is deleted in one transaction, about.
const COLLECT_BYTES: u64 = 16 << 20;

/// Why an epoch was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("another instance has taken over")]
    Fenced,
    #[error("the pipeline was stopped")]
    Stopped,
    /// See [`Outcome::Rewound`].
    #[error(
        "the state's database has lost what it had acknowledged: epoch {found} is committed there, and epoch {expected} was; \
         was a backup put back, or did a replica that lagged take over? A new start goes on from epoch {found}"
    )]
    Rewound { found: u64, expected: u64 },
    #[error(transparent)]
    Store(StoreError),
}

impl From<CommitError> for RunError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Fenced => Self::Fenced,
            CommitError::Store(error) => error.into(),
            CommitError::Rewound { .. } => Self::Refused(error.into()),
            CommitError::Stopped => Self::Runtime(error.into()),
        }
    }
}

/// Who may write, and from where on.
#[derive(Clone, Debug)]
pub struct Writer {
    pub store: Arc<Store>,
    pub runtime: Handle,
    pub generation: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Committer {
    writer: Writer,
    published: Arc<Published>,
    stop: Arc<Stop>,
    previous: u64,
    pub details: Details,
    horizon: u64,
    /// Below this all is deleted.
    collected: u64,
    collecting: Unpassing,
    pace: Pace,
    sweeping: Sweeping,
}

impl Committer {
    /// Goes on after the manifest.
    #[must_use]
    pub fn new(
        writer: Writer,
        manifest: &Manifest,
        details: Details,
        pace: Pace,
        published: Arc<Published>,
        stop: Arc<Stop>,
    ) -> Self {
        let (previous, horizon) = (manifest.epoch, manifest.horizon);
        let sweeping = Sweeping::resumed(details.log);
        pace.grant(sweeping.first_share());
        let (collected, collecting) = (0, Unpassing::default());
        Self { writer, published, stop, previous, details, horizon, collected, collecting, pace, sweeping }
    }

    /// Commits an epoch.
    ///
    /// # Errors
    /// [`CommitError`]
    pub fn commit(
        &mut self,
        output: &EpochOutput,
        lanes: Vec<Lane>,
        ledger: Option<Lane>,
        outbox: &[Outgoing],
    ) -> Result<(), CommitError> {
        let epoch = output.end.epoch.0;
        let written = amounts(lanes.iter().chain(&ledger));
        let horizon = self.sweeping.epoch(epoch, output.sweep, written).unwrap_or(self.horizon);
        let blob = |lane: u32, bytes: Vec<u8>| Blob { epoch, lane, bytes };
        let workers =
            lanes.into_iter().map(|lane| blob(u32::try_from(lane.worker).unwrap_or(LEDGER_LANE), lane.bytes));
        let blobs: Vec<Blob> = workers.chain(ledger.map(|lane| blob(LEDGER_LANE, lane.bytes))).collect();
        self.details.progress(&output.end.partitions, &output.maxima);
        self.details.log = self.sweeping.size;
        let manifest = Manifest {
            epoch,
            generation: self.writer.generation,
            stream_time_ms: (output.stream_time != StreamTime::UNKNOWN).then_some(output.stream_time.0),
            horizon,
            details: self.details.to_json(),
            committed_at_ms: wall_ms(),
        };
        self.until_committed(&Commit {
            previous: self.previous,
            manifest: &manifest,
            blobs: &blobs,
            additions: Additions { ledger: &output.retention.ledger_rows, outbox },
        })?;
        (self.previous, self.horizon) = (epoch, horizon);
        self.published.own.checkpoint_bytes.fetch_add(written.delta + written.swept, Relaxed);
        self.pace.grant(self.sweeping.share(written.delta));
        Ok(())
    }

    fn until_committed(&self, commit: &Commit<'_>) -> Result<(), CommitError> {
        let mut pause = FIRST_PAUSE;
        let mut in_trouble = false;
        loop {
            match self.once(commit) {
                Ok(()) => {
                    if in_trouble {
                        tracing::info!("the state's database does its work again");
                    }
                    self.published.check("database", Ok(()));
                    return Ok(());
                }
                Err(Missed::ForGood(error)) => return Err(error),
                Err(Missed::ForNow(error)) => {
                    if !in_trouble {
                        tracing::warn!(%error, "an epoch cannot be committed; keeps trying");
                    }
                    self.published.check("database", Err(error.to_string()));
                    // what cannot succeed as things are may succeed once somebody has mended it
                    if matches!(error, StoreError::Damaged(_)) {
                        return Err(CommitError::Store(error));
                    }
                }
            }
            in_trouble = true;
            if self.stop.pause(pause) {
                return Err(CommitError::Stopped);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One try, and a look at what became of it.
    fn once(&self, commit: &Commit<'_>) -> Result<(), Missed> {
        let runtime = &self.writer.runtime;
        let Err(error) = runtime.block_on(self.writer.store.commit(commit)) else { return Ok(()) };
        let found = runtime.block_on(self.writer.store.manifest()).map_err(Missed::ForNow)?;
        match outcome(commit.into(), &found) {
            Outcome::Committed => Ok(()),
            Outcome::Fenced => Err(Missed::ForGood(CommitError::Fenced)),
            Outcome::Rewound { found } => {
                Err(Missed::ForGood(CommitError::Rewound { found, expected: commit.previous }))
            }
            Outcome::NotYet if error == StoreError::Fenced => {
                let reason = format!("blobs of epoch {} are there, and it is not committed", commit.manifest.epoch);
                Err(Missed::ForNow(StoreError::Damaged(Damage { table: "gocdnext_flow_blob", chunk: None, reason })))
            }
            Outcome::NotYet => Err(Missed::ForNow(error)),
        }
    }

    /// Deletes some of what no restore needs. After an error it is done later; one that does not pass is said, for the
    /// state grows until then.
    pub fn collect(&mut self) {
        if self.collected >= self.horizon {
            return;
        }
        let deleted = self.writer.runtime.block_on(self.writer.store.collect(self.horizon, COLLECT_BYTES));
        match deleted {
            Ok(deleted) => {
                if deleted == 0 {
                    self.collected = self.horizon;
                }
                if self.collecting.works() {
                    tracing::info!("what no restore needs is deleted again");
                }
            }
            Err(error) if self.collecting.failed(&error) => tracing::warn!(
                %error,
                "what no restore needs cannot be deleted from gocdnext_flow_blob, so the state grows with each epoch; \
                 keeps trying: see whether its user may delete there"
            ),
            Err(error) => tracing::debug!(%error, "garbage is left for later"),
        }
    }
}

/// Why one try did not commit.
enum Missed {
    ForNow(StoreError),
    ForGood(CommitError),
}

fn amounts<'a>(lanes: impl Iterator<Item = &'a Lane>) -> Written {
    lanes.fold(Written::default(), |sum, lane| {
        let new = lane.bytes.len().saturating_sub(lane.swept) as u64;
        Written {
            delta: sum.delta + new + ROW_BYTES,
            swept: sum.swept + lane.swept as u64,
            spared: sum.spared + lane.spared as u64,
        }
    })
}
