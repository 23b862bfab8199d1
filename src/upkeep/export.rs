//! `state export`: one moment's state as one file, whatever database it lies in.

use super::{
    file::{Header, Writer, is_export},
    open_to_look, show,
};
use crate::{
    clock::wall_ms,
    config::Config,
    progress,
    same_file::database_at,
    store::{Snapshot, StateUrl, StoreError},
    wiring::RunError,
};
use anyhow::{Context, anyhow, bail};
use std::{
    fs::File,
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
pub async fn to_file(config: &Config, path: &Path) -> Result<Exported, RunError> {
    // what a link leads to is written, not the link
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    may_be_made(path, directory).and_then(|()| costs_nothing(path, config)).map_err(RunError::Settings)?;
    let cannot = || format!("writing {}", path.display());
    let mut snapshot = snapshot(&config.state).await?;
    let file = NamedTempFile::new_in(directory).with_context(cannot)?;
    let (exported, file) = write(&mut snapshot, file).await?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    sync_names(directory).with_context(cannot)?;
    Ok(exported)
}

/// Whether a file could be there.
fn may_be_made(path: &Path, directory: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    if path.is_symlink() {
        bail!("{shown} is a link that leads nowhere");
    }
    if path.is_dir() {
        bail!("{shown} is a directory");
    }
    if path.exists() && !path.is_file() {
        bail!("{shown} is no file: give `-`, and lead the output there");
    }
    if !directory.is_dir() {
        bail!("{shown} lies in a directory that does not exist");
    }
    Ok(())
}

/// Whether nothing is lost but a former export.
fn costs_nothing(path: &Path, config: &Config) -> anyhow::Result<()> {
    let shown = path.display();
    if let Some(url) = database_at(path, [Some(&config.state), config.log_database.as_ref()]) {
        bail!("{shown} is a file of the database {url}, which an export there would destroy: give another name");
    }
    let there = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there.and_then(|file| Ok(file.metadata()?.len() == 0 || is_export(file)?)),
    };
    match there {
        Ok(true) => Ok(()),
        Ok(false) => bail!("{shown} is there and is no export, and would be lost: give another name, or remove it"),
        Err(error) => {
            bail!("{shown} is there, and whether it is an export cannot be read ({error}): give another name")
        }
    }
}

/// The name is on the disk only with the directory.
fn sync_names(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // some file systems have no such thing
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
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
