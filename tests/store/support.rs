//! What the cases share.

use gocdnext_flow::store::{Blob, Commit, Manifest, StateUrl, Store, StoreError};
use std::path::Path;

/// An address in a directory.
pub fn sqlite(directory: &Path) -> StateUrl {
    StateUrl::sqlite(directory.join("state.db"))
}

pub fn blob(epoch: u64, lane: u32, bytes: Vec<u8>) -> Blob {
    Blob { epoch, lane, bytes }
}

/// Commits `epoch` after `previous` with these blobs under a generation.
pub async fn commit(
    store: &Store,
    generation: u64,
    previous: u64,
    epoch: u64,
    blobs: &[Blob],
) -> Result<(), StoreError> {
    let manifest = Manifest { epoch, generation, details: format!("{{\"of\":{epoch}}}"), ..Manifest::default() };
    store.commit(&Commit { previous, manifest: &manifest, blobs }).await
}

/// All blobs of some epochs.
pub async fn all(store: &Store, from: u64, to: u64) -> Result<Vec<Blob>, StoreError> {
    let mut blobs = store.blobs(from, to);
    let mut found = Vec::new();
    while let Some(blob) = blobs.next().await? {
        found.push(blob);
    }
    Ok(found)
}
