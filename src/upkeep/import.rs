//! `state import`: an exported state into an empty place, or in place of what is there.
//!
//! All of it in one transaction, the manifest last: whoever is killed leaves what was there. Epochs go on above the target's,
//! so that nothing that knew the target takes the new ones for old, and what was there lies below the horizon: garbage.

use super::{
    copying,
    file::{FileError, FileReader, Header},
    holding::Holding,
    manifest, open_to_look, show,
};
use crate::{
    config::Config,
    progress,
    store::{Manifest, StateUrl, StoreError},
    wiring::{Details, RunError},
};
use anyhow::{Context, anyhow};
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
    /// Whether anything lies beside the blobs.
    keeps_rows: bool,
    replace: bool,
    bar: ProgressBar,
}

/// Reads the file's head and looks at the target; changes nothing. `-`: standard input.
pub async fn plan(config: Config, path: &Path, replace: bool) -> Result<Plan, RunError> {
    let (stream, bar) = open(path)?;
    let (file, header) = FileReader::open(stream).map_err(|error| refused(path, error))?;
    let stored = Manifest { epoch: header.epoch, details: header.details.clone(), ..Manifest::default() };
    let details = manifest::details(&stored).map_err(|reason| refused(path, FileError::Damaged(reason)))?;
    let (before, keeps_rows) = there(&config.state).await?;
    let plan = Plan { config, file, header, details, before, keeps_rows, replace, bar };
    plan.may_go_there(plan.before.as_ref(), keeps_rows)?;
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

/// What is there: the manifest of what is committed, and whether anything lies beside it.
async fn there(url: &StateUrl) -> Result<(Option<Manifest>, bool), RunError> {
    match open_to_look(url).await {
        Ok(store) => {
            let manifest = store.manifest().await?;
            Ok((Some(manifest).filter(|manifest| manifest.epoch > 0), !store.keeps_nothing().await?))
        }
        Err(RunError::Settings(error)) if matches!(error.downcast_ref(), Some(StoreError::Absent { .. })) => {
            Ok((None, false))
        }
        Err(error) => Err(error),
    }
}

impl Plan {
    fn may_go_there(&self, before: Option<&Manifest>, keeps_rows: bool) -> Result<(), RunError> {
        if self.replace || (before.is_none() && !keeps_rows) {
            return Ok(());
        }
        let holds =
            before.map_or_else(|| "what retention knows".to_owned(), |before| format!("epoch {}", before.epoch));
        Err(RunError::Refused(anyhow!(
            "{} is not empty: it holds {holds}. Import into another `state`, or in place of this one with --replace",
            self.config.state,
        )))
    }

    /// What it means, for people who must agree; `None`: nothing is lost by it.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let (before, header) = (self.before.as_ref(), &self.header);
        if before.is_none() && !self.keeps_rows {
            return None;
        }
        let (epoch, time) = before.map_or((0, None), |before| (before.epoch, before.stream_time_ms));
        Some(format!(
            "This forgets what {} holds: epoch {epoch}, counted up to {}, and what retention knows.\n\
             In its place comes epoch {}, counted up to {}, exported at {} by version {}.\n\
             - Series go back to where they were then; Prometheus sees counters that were reset.\n\
             - The next start reads on from there: Kafka must still have the offsets, and what is read again is counted again.\n",
            self.config.state,
            counted(time),
            header.epoch,
            counted(header.stream_time_ms),
            header.exported_at,
            header.program,
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
        let mut done = import(&self.holding, &mut self.plan).await;
        if let Ok(told) = &mut done {
            told.push_str(&self.holding.collect().await);
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
    let keeps_rows = !holding.store.keeps_nothing().await?;
    plan.may_go_there(Some(previous).filter(|previous| previous.epoch > 0), keeps_rows)?;
    let next = holding.next();
    let mut transfer = holding.store.transfer(previous.epoch, next.generation).await?;
    transfer.clear_rows().await?;
    if plan.bar.length().is_some() {
        progress::show(&plan.bar);
    }
    let copied = copying::copy(&mut plan.file, &plan.header, &plan.details, &mut transfer, previous.epoch).await?;
    plan.bar.finish_and_clear();
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

fn counted(stream_time_ms: Option<i64>) -> String {
    stream_time_ms.map_or_else(|| "no time yet".to_owned(), show::time)
}
