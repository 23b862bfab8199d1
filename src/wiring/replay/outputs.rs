//! Where a replay writes, looked at before anything is opened: better refused now than after an hour of reading, or after
//! what was to be read is gone.

use super::RunError;
use crate::{
    config::Config,
    same_file::{database_at, same_file},
    wiring::ReplayOptions,
};
use anyhow::{Result, anyhow, bail};
use std::{fs::OpenOptions, path::Path};

/// Refuses outputs that cannot be written, or that would be written over what is read or kept.
pub(super) fn check(config: &Config, options: &ReplayOptions) -> std::result::Result<(), RunError> {
    let series = options.metrics_out.as_deref().filter(|path| *path != Path::new("-"));
    let letters = options.dead_letters.as_deref();
    if let Some(path) = letters {
        told("the dead letters", path, spares(path, config, options))?;
    }
    if let Some(path) = series {
        let checked = spares(path, config, options).and_then(|()| apart(path, letters));
        told("the series", path, checked.and_then(|()| writable(path)))?;
    }
    Ok(())
}

fn told(what: &str, path: &Path, checked: Result<()>) -> std::result::Result<(), RunError> {
    checked
        .map_err(|problem| RunError::Settings(anyhow!("{what} cannot be written to `{}`: {problem}", path.display())))
}

/// Whether neither an input nor a database is written over.
fn spares(path: &Path, config: &Config, options: &ReplayOptions) -> Result<()> {
    if let Some(input) = options.files.iter().find(|input| same_file(path, opened(input))) {
        bail!("`{}` is to be read; give another name (has a pattern as `*` matched it?)", input.display());
    }
    // that of `run` as well: it is no place for series
    let databases = [options.state.as_ref(), Some(&config.state), config.log_database.as_ref()];
    match database_at(path, databases) {
        Some(url) => bail!("it is a file of the database {url}; give another name"),
        None => Ok(()),
    }
}

/// Standard input may be a file, too.
fn opened(input: &Path) -> &Path {
    if input == Path::new("-") { Path::new("/dev/stdin") } else { input }
}

fn apart(series: &Path, letters: Option<&Path>) -> Result<()> {
    if letters.is_some_and(|letters| same_file(series, letters)) {
        bail!("the dead letters go there; give another name");
    }
    Ok(())
}

fn writable(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() {
        bail!("it is a directory");
    }
    if !parent.is_dir() {
        bail!("its directory does not exist");
    }
    match path.symlink_metadata() {
        Ok(there) if there.is_file() => OpenOptions::new().append(true).open(path).map(drop)?,
        // a pipe has one reader, who takes the first end for the last
        Ok(_) => {}
        Err(_) => tempfile::tempfile_in(parent).map(drop)?,
    }
    Ok(())
}
