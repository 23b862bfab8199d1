//! Reads all that a restore would, into an [`Audit`], and notes what is wrong with it on the way.

use crate::{
    progress,
    store::{Blob, ChunkId, Damage, Snapshot, StoreError, blobs},
    wiring::{Details, LEDGER_LANE, RunError, stream_time},
};
use dataflows::{
    audit::{Audit, Contents},
    settings::Settings,
    state::Unusable,
    time::Epoch,
};
use std::collections::BTreeSet;

/// What was read.
#[derive(Debug, Default)]
pub struct Loaded {
    pub blobs: u64,
    pub bytes: u64,
    pub lanes: BTreeSet<u32>,
    /// All that was wrong.
    pub damages: Vec<Damage>,
    /// What the state holds; `None` where parts of it cannot be read.
    pub contents: Option<Contents>,
}

/// Reads the blobs of a snapshot from its horizon on.
pub async fn load(snapshot: &mut Snapshot, details: &Details) -> Result<Loaded, RunError> {
    let mut loaded = Loaded::default();
    let settings = settings_of(details);
    let mut audit = Audit::new(&settings);
    let bar = progress::of_bytes(Some(snapshot.sizes.bytes));
    loop {
        match snapshot.next().await {
            Ok(None) => break,
            Ok(Some(Ok(blob))) => {
                bar.inc(blob.bytes.len() as u64);
                if !loaded.damages.is_empty() {
                    // what follows from what could not be read is no damage of its own
                    audit = Audit::new(&settings);
                }
                loaded.take(&mut audit, details, &blob)?;
            }
            Ok(Some(Err(damage))) => loaded.damages.push(damage),
            Err(StoreError::Damaged(damage)) => {
                // the database itself cannot read on; what was read until here is told all the same
                loaded.damages.push(damage);
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    bar.finish_and_clear();
    if loaded.damages.is_empty() {
        loaded.finish(audit, snapshot)?;
    }
    Ok(loaded)
}

impl Loaded {
    fn take(&mut self, audit: &mut Audit, details: &Details, blob: &Blob) -> Result<(), RunError> {
        self.blobs += 1;
        self.bytes += blob.bytes.len() as u64;
        self.lanes.insert(blob.lane);
        match take_in(audit, details, blob) {
            Ok(()) => {}
            Err(Unusable::Damaged(reason)) => {
                let chunk = ChunkId { epoch: blob.epoch, lane: blob.lane, chunk: 0 };
                self.damages.push(Damage { table: blobs::TABLE, chunk: Some(chunk), reason });
            }
            Err(newer @ Unusable::Newer { .. }) => return Err(RunError::Refused(newer.into())),
        }
        Ok(())
    }

    fn finish(&mut self, audit: Audit, snapshot: &Snapshot) -> Result<(), RunError> {
        let manifest = &snapshot.manifest;
        let whole = |reason| Damage { table: blobs::TABLE, chunk: None, reason };
        match audit.finish(Epoch(manifest.epoch), stream_time(manifest)) {
            Ok(contents) => {
                self.damages.extend(contents.contradictions().into_iter().map(whole));
                self.contents = Some(contents);
                Ok(())
            }
            Err(Unusable::Damaged(reason)) => {
                self.damages.push(whole(reason));
                Ok(())
            }
            Err(newer @ Unusable::Newer { .. }) => Err(RunError::Refused(newer.into())),
        }
    }
}

/// As a restore does; more is asked of it.
pub fn take_in(audit: &mut Audit, details: &Details, blob: &Blob) -> Result<(), Unusable> {
    match blob.lane {
        LEDGER_LANE if blob.epoch < details.ledger_from => Ok(()),
        LEDGER_LANE => audit.ledger(&blob.bytes),
        worker => audit.worker(worker as usize, &blob.bytes),
    }
}

/// Settings that stored series have the form of, whatever the settings are now.
pub fn settings_of(details: &Details) -> Settings {
    if details.shape.is_set() { details.shape.clone().settings() } else { Settings::default() }
}
