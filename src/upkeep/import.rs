//! `state import`: an exported state into an empty place, or in place of what is there.
//!
//! All of it in one transaction, the manifest last: whoever is killed leaves what was there. Epochs go on above the target's,
//! so that nothing that knew the target takes the new ones for old, and what was there lies below the horizon: garbage.

use super::{
    file::{FileError, FileReader, Header},
    holding::Holding,
    load, manifest, open_to_look, progress, show,
};
use crate::{
    config::Config,
    store::{Blob, Manifest, StateUrl, StoreError, Transfer},
    wiring::{Details, RunError},
};
use anyhow::{Context, anyhow};
use dataflows::{
    audit::Audit,
    time::{Epoch, StreamTime},
};
use indicatif::ProgressBar;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

type Source = FileReader<Box<dyn Read + Send>>;

/// What would be done.
pub struct Plan {
    config: Config,
    file: Source,
    header: Header,
    details: Details,
    /// What is there; `None`: nothing was ever committed.
    before: Option<Manifest>,
    replace: bool,
    bar: ProgressBar,
}

/// Reads the file's head and looks at the target; changes nothing. `-`: standard input.
pub async fn plan(config: Config, path: &Path, replace: bool) -> Result<Plan, RunError> {
    let (stream, bar) = open(path)?;
    let (file, header) = FileReader::open(stream).map_err(|error| refused(path, error))?;
    let stored = Manifest { epoch: header.epoch, details: header.details.clone(), ..Manifest::default() };
    let details = manifest::details(&stored).map_err(|reason| refused(path, FileError::Damaged(reason)))?;
    let before = committed(&config.state).await?;
    let plan = Plan { config, file, header, details, before, replace, bar };
    plan.may_go_there(plan.before.as_ref())?;
    Ok(plan)
}

fn open(path: &Path) -> Result<(Box<dyn Read + Send>, ProgressBar), RunError> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), ProgressBar::no_length()));
    }
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (known, file) = opened.with_context(|| path.display().to_string()).map_err(RunError::Settings)?;
    if known.is_dir() {
        return Err(RunError::Settings(anyhow!("{} is a directory", path.display())));
    }
    let bar = progress::later(known.len());
    Ok((Box::new(bar.wrap_read(file)), bar))
}

fn refused(path: &Path, error: FileError) -> RunError {
    let foreign = matches!(error, FileError::Foreign);
    let error = anyhow::Error::new(error).context(format!("{} cannot be imported", path.display()));
    if foreign { RunError::Settings(error) } else { RunError::Refused(error) }
}

/// The manifest of what is there.
async fn committed(url: &StateUrl) -> Result<Option<Manifest>, RunError> {
    match open_to_look(url).await {
        Ok(store) => Ok(Some(store.manifest().await?).filter(|manifest| manifest.epoch > 0)),
        Err(RunError::Settings(error)) if matches!(error.downcast_ref(), Some(StoreError::Absent { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Plan {
    fn may_go_there(&self, before: Option<&Manifest>) -> Result<(), RunError> {
        match before {
            Some(before) if !self.replace => Err(RunError::Refused(anyhow!(
                "{} is not empty: it holds epoch {}. Import into another `state`, or in place of this one with --replace",
                self.config.state,
                before.epoch
            ))),
            _ => Ok(()),
        }
    }

    /// What it means, for people who must agree; `None`: nothing is lost by it.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let before = self.before.as_ref()?;
        let time = |ms: Option<i64>| ms.map_or_else(|| "no time yet".to_owned(), show::time);
        Some(format!(
            "This forgets what {} holds: epoch {}, counted up to {}.\n\
             In its place comes epoch {}, counted up to {}, exported at {} by version {}.\n\
             - Series go back to where they were then; Prometheus sees counters that were reset.\n\
             - The next start reads on from there: Kafka must still have the offsets, and what is read again is counted again.\n",
            self.config.state,
            before.epoch,
            time(before.stream_time_ms),
            self.header.epoch,
            time(self.header.stream_time_ms),
            self.header.exported_at,
            self.header.program,
        ))
    }

    /// Takes the lease. `say` hears what is waited for.
    pub async fn hold(self, say: impl FnOnce(String)) -> Result<Held, RunError> {
        let holding = Holding::take(&self.config, say).await?;
        Ok(Held { holding, plan: self })
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("header", &self.header).finish_non_exhaustive()
    }
}

/// A plan whose target nobody else writes.
#[derive(Debug)]
pub struct Held {
    holding: Holding,
    plan: Plan,
}

impl Held {
    /// Does it; what was done, in words.
    pub async fn carry_out(mut self) -> Result<String, RunError> {
        let done = import(&self.holding, &mut self.plan).await;
        if done.is_ok() {
            self.holding.collect().await;
        }
        self.holding.release().await;
        done
    }

    /// Changes nothing.
    pub async fn give_up(self) {
        self.holding.release().await;
    }
}

async fn import(holding: &Holding, plan: &mut Plan) -> Result<String, RunError> {
    let previous = &holding.manifest;
    plan.may_go_there(Some(previous).filter(|previous| previous.epoch > 0))?;
    let next = holding.next();
    let mut transfer = holding.store.transfer(previous.epoch, next.generation).await?;
    let copied = copy(plan, &mut transfer, previous.epoch).await?;
    let stream_time_ms = plan.header.stream_time_ms;
    if plan.details.ledger_from > 0 {
        plan.details.ledger_from = copied.ledger_from.min(copied.newest);
    }
    let manifest = Manifest {
        epoch: plan.header.epoch.max(copied.newest).max(next.epoch),
        horizon: plan.header.horizon.max(next.epoch),
        stream_time_ms,
        details: plan.details.to_json(),
        ..next
    };
    transfer.finish(&manifest).await?;
    Ok(format!("epoch {}: {} blobs, counted up to {}\n", manifest.epoch, copied.blobs, counted(stream_time_ms)))
}

struct Copied {
    blobs: u64,
    /// The newest epoch that they came to lie in.
    newest: u64,
    /// See [`Details::ledger_from`].
    ledger_from: u64,
}

/// Puts all blobs in, behind epoch `after`, once it is sure that they are whole and load.
async fn copy(plan: &mut Plan, transfer: &mut Transfer<'_>, after: u64) -> Result<Copied, RunError> {
    let Header { epoch, horizon, stream_time_ms, .. } = plan.header;
    if plan.bar.length().is_some() {
        progress::show(&plan.bar);
    }
    let mut audit = Audit::new(&load::settings_of(&plan.details));
    let mut epochs = Epochs { last: None, place: after };
    let (mut open, mut blobs, mut ledger_from) = (Vec::<Blob>::new(), 0, u64::MAX);
    loop {
        let blob = plan.file.next().map_err(|error| RunError::Refused(error.into()))?;
        if blob.as_ref().is_none_or(|blob| epochs.last != Some(blob.epoch)) {
            transfer.put(&open).await?;
            open.clear();
        }
        let Some(mut blob) = blob else { break };
        if !(horizon..=epoch).contains(&blob.epoch) {
            return Err(damaged(format!("a blob of epoch {} in a state from {horizon} to {epoch}", blob.epoch)));
        }
        audited(&mut audit, &plan.details, &blob).map_err(damaged)?;
        let place = epochs.place(blob.epoch);
        if blob.epoch >= plan.details.ledger_from {
            ledger_from = ledger_from.min(place);
        }
        blob.epoch = place;
        blobs += 1;
        open.push(blob);
    }
    plan.bar.finish_and_clear();
    let contents = audit.finish(Epoch(epoch), stream_time_ms.map_or(StreamTime::UNKNOWN, StreamTime));
    let contradictions = contents.map_err(|error| damaged(error.to_string()))?.contradictions();
    if contradictions.is_empty() {
        Ok(Copied { blobs, newest: epochs.place, ledger_from })
    } else {
        Err(damaged(contradictions.join("; ")))
    }
}

fn damaged(told: String) -> RunError {
    RunError::Refused(FileError::damaged(told).into())
}

/// Where the file's epochs come to lie: as they are, unless that is not above the one before.
struct Epochs {
    last: Option<u64>,
    place: u64,
}

impl Epochs {
    fn place(&mut self, epoch: u64) -> u64 {
        if self.last.replace(epoch) != Some(epoch) {
            self.place = epoch.max(self.place.saturating_add(1));
        }
        self.place
    }
}

fn audited(audit: &mut Audit, details: &Details, blob: &Blob) -> Result<(), String> {
    load::take_in(audit, details, blob).map_err(|error| format!("epoch {}, lane {}: {error}", blob.epoch, blob.lane))
}

fn counted(stream_time_ms: Option<i64>) -> String {
    stream_time_ms.map_or_else(|| "no time yet".to_owned(), show::time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_stay_as_they_are_where_they_can_and_always_increase() {
        let placed = |target, epochs: &[u64]| {
            let mut places = Epochs { last: None, place: target };
            epochs.iter().map(|epoch| places.place(*epoch)).collect::<Vec<_>>()
        };
        assert_eq!(placed(0, &[3, 3, 7]), [3, 3, 7]);
        assert_eq!(placed(5, &[3, 3, 4, 9]), [6, 6, 7, 9]);
        assert_eq!(placed(9, &[3, 4, 9]), [10, 11, 12]);
    }
}
