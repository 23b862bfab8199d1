//! `state export`: one moment's state as one file, whatever database it lies in.

use super::{
    file::{Header, Writer},
    open_to_look, show,
};
use crate::{
    clock::wall_ms,
    progress,
    store::{Snapshot, StateUrl, StoreError},
    wiring::RunError,
};
use anyhow::{Context, anyhow};
use std::{
    io::{self, Write},
    path::Path,
};
use tempfile::NamedTempFile;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub epoch: u64,
    pub blobs: u64,
    /// Of the blobs.
    pub bytes: u64,
}

/// Writes the file whole, or leaves alone what is there under its name.
pub async fn to_file(url: &StateUrl, path: &Path) -> Result<Exported, RunError> {
    // what a link leads to is written, not the link
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let cannot = || format!("writing {}", path.display());
    if path.is_symlink() {
        return Err(RunError::Settings(anyhow!("{} is a link that leads nowhere", path.display())));
    }
    if path.exists() && !path.is_dir() && !path.is_file() {
        return Err(RunError::Settings(anyhow!(
            "{} is no file: give `-`, and lead the output there",
            path.display()
        )));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.is_dir() || path.is_dir() {
        let why = if path.is_dir() { "is a directory" } else { "lies in a directory that does not exist" };
        return Err(RunError::Settings(anyhow!("{} {why}", path.display())));
    }
    let mut snapshot = snapshot(url).await?;
    let file = NamedTempFile::new_in(directory).with_context(cannot)?;
    let (exported, file) = write(&mut snapshot, file).await?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(exported)
}

/// Writes it to a stream; a reader can tell by its end whether it is whole.
pub async fn to_stream(url: &StateUrl, out: &mut dyn Write) -> Result<Exported, RunError> {
    let mut snapshot = snapshot(url).await?;
    let (exported, out) = write(&mut snapshot, out).await?;
    out.flush().context("writing to standard output")?;
    Ok(exported)
}

async fn snapshot(url: &StateUrl) -> Result<Snapshot, RunError> {
    let snapshot = open_to_look(url).await?.snapshot().await?;
    if snapshot.manifest.epoch == 0 {
        return Err(RunError::Settings(anyhow!("{url} holds nothing yet: no epoch is committed")));
    }
    Ok(snapshot)
}

async fn write<W: Write>(snapshot: &mut Snapshot, out: W) -> Result<(Exported, W), RunError> {
    let bar = progress::of_bytes(Some(snapshot.sizes.bytes));
    let header = Header::of(&snapshot.manifest, show::time(wall_ms()));
    let cannot = |error: io::Error| anyhow::Error::new(error).context("writing the export");
    let mut writer = Writer::new(out, &header).map_err(cannot)?;
    let mut exported = Exported { epoch: header.epoch, ..Exported::default() };
    while let Some(blob) = snapshot.next().await? {
        let blob = blob.map_err(StoreError::Damaged)?;
        writer.blob(&blob).map_err(cannot)?;
        exported.blobs += 1;
        exported.bytes += blob.bytes.len() as u64;
        bar.inc(blob.bytes.len() as u64);
    }
    while let Some(rows) = snapshot.next_rows().await? {
        writer.rows(&rows).map_err(cannot)?;
    }
    bar.finish_and_clear();
    Ok((exported, writer.finish().map_err(cannot)?))
}
