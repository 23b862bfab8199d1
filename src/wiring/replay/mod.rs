//! `replay`: files to the final exposition and a summary.
//!
//! One thread reads and cuts epochs (after `epoch_records` records, at the end of a chunk; no result of a punctual log
//! depends on it), the workers decode and count, the caller's thread folds epochs in order. What cannot be read goes to
//! the dead letters (I5); time is the log's own. With `--state` each epoch is committed with the files' marks, so that
//! another replay goes on where this one ends, however it ends.

mod folding;
mod kept;
mod outputs;
mod reading;

use super::{ReplayOptions, RunError, results::takers};
use crate::{
    clock::wall_ms,
    config::Config,
    exposition, progress,
    published::Published,
    sinks::{
        dead_letter_file::DeadLetterFile,
        dead_letters::{Sink, SinkError},
    },
    sources::{
        files::{Files, SourceError},
        in_flight::InFlight,
    },
    summary::{Summary, Tally},
};
use anyhow::anyhow;
use dataflows::{
    graph::{self, Running},
    ledger::Ledger,
    names::Names,
    registry::Snapshot,
    sequencer::Clock,
    settings::Settings,
    time::Epoch,
};
use folding::{FoldError, Folding};
use indicatif::ProgressBar;
use kept::Kept;
use reading::{Common, Reading};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

/// What a replay gives.
#[derive(Debug)]
pub struct Replayed {
    pub summary: Summary,
    /// The final series.
    pub snapshot: Snapshot,
    pub names: Names,
    /// What to tell about rejected records that went to no file; may be empty.
    pub hint: String,
}

/// What to tell of a replay.
#[derive(Debug)]
pub struct Told {
    /// As in [`Replayed`].
    pub hint: String,
    pub summary: String,
    /// The final exposition, if it was asked for.
    pub series: Option<String>,
}

/// Reads every file to its end.
pub fn replay(config: Config, options: &ReplayOptions) -> Result<Told, RunError> {
    let settings = config.dataflow.clone();
    outputs::check(&config, options)?;
    let mut replayed = read_files(config, options)?;
    let (hint, summary) = (std::mem::take(&mut replayed.hint), replayed.summary.to_string());
    let series = options.metrics_out.as_ref().map(|_| expose(replayed, &settings));
    Ok(Told { hint, summary, series })
}

/// What a scrape at the end of the log would have shown.
fn expose(replayed: Replayed, settings: &Settings) -> String {
    let Replayed { summary, snapshot, names, .. } = replayed;
    let published = Published::new(names);
    let now_ms = wall_ms();
    let own = &published.own;
    own.committed_epoch.store(snapshot.epoch.0, Ordering::Relaxed);
    own.committed_at_ms.store(now_ms, Ordering::Relaxed);
    own.stream_time_ms.store(snapshot.stream_time.0, Ordering::Relaxed);
    own.records.store(summary.records, Ordering::Relaxed);
    published.snapshot.store(Some(Arc::new(snapshot)));
    exposition::render(&published, settings, exposition::Format::Text, now_ms)
}

/// Reads every file to its end; writes nothing but the state, the dead letters and the job results that were asked for.
pub fn read_files(config: Config, options: &ReplayOptions) -> Result<Replayed, RunError> {
    let names = Names::new(config.dataflow.limits.max_names);
    let kept = options.state.as_ref().map(|url| Kept::open(url, &config, names.clone())).transpose()?;
    let replayed = read_over(&config, options, names, kept.as_ref());
    if let Some(kept) = kept {
        kept.close();
    }
    replayed
}

fn read_over(
    config: &Config,
    options: &ReplayOptions,
    names: Names,
    kept: Option<&Kept>,
) -> Result<Replayed, RunError> {
    let files = match kept {
        Some(kept) => Files::resume(options, kept.marks())?,
        None => Files::open(options)?,
    };
    let file_names = files.names();
    let goes_on = kept.is_some_and(Kept::goes_on);
    let common = Common {
        sink: Mutex::new(letters(options, &file_names, goes_on)?),
        in_flight: InFlight::new(config.max_epochs_in_flight),
        broken: AtomicBool::new(false),
    };
    let epoch = kept.map_or(Epoch(1), Kept::first_epoch);
    let (running, ledger) = start(config, &names, epoch, kept)?;
    let Running { feeder, outputs, workers } = running;
    let (tell, cuts) = mpsc::channel();
    let bar = progress_bar(&files, options);
    let before = ledger.snapshot();
    let mut folding = Folding {
        ledger,
        committer: kept.map(Kept::committer),
        cuts,
        common: &common,
        last: None,
        tally: Tally::default(),
        records: 0,
        names: names.clone(),
        results: takers(options.log_jobs),
    };
    let (epoch_records, cuts, moved) = (config.epoch_records, tell, bar.clone());
    let reading = Reading { files, feeder, epoch, epoch_records, common: &common, cuts, bar: moved };
    let (read, folded) = thread::scope(|scope| {
        let reader = scope.spawn(|| reading.run());
        let folded = outputs.iter().try_for_each(|output| folding.fold(output));
        common.broken.store(true, Ordering::Relaxed);
        drop(outputs);
        (reader.join(), folded)
    });
    bar.finish_and_clear();
    let joined = workers.join().map_err(|panic| anyhow!("a dataflow worker failed: {panic}"));
    folded?;
    read.map_err(|_| anyhow!("the reader failed"))??;
    joined?;
    let Folding { last, tally, records, .. } = folding;
    if records == 0 && !goes_on {
        return Err(SourceError::Empty { files: file_names.join(", ") }.into());
    }
    let snapshot = last.ok_or_else(|| anyhow!("the dataflow ended without a result"))?;
    let hint = common.sink.into_inner().unwrap_or_else(PoisonError::into_inner).hint();
    Ok(Replayed { summary: tally.finish(&before, &snapshot, records), snapshot, names, hint })
}

/// Those of a former part are kept.
fn letters(options: &ReplayOptions, files: &[String], goes_on: bool) -> Result<DeadLetterFile, RunError> {
    let open = if goes_on { DeadLetterFile::append } else { DeadLetterFile::create };
    open(options.dead_letters.as_deref(), files.to_vec()).map_err(|error| RunError::Settings(error.into()))
}

/// Starts the graph, where the state ends if there is any.
fn start(
    config: &Config,
    names: &Names,
    first_epoch: Epoch,
    kept: Option<&Kept>,
) -> Result<(Running, Ledger), RunError> {
    let settings = Arc::new(Settings { job_results: true, ..config.dataflow.clone() });
    let graph = graph::Config {
        settings: Arc::clone(&settings),
        workers: config.workers,
        clock: Clock::Log,
        names: names.clone(),
        first_epoch,
        sweep: None,
    };
    if let Some(kept) = kept {
        return kept.resume(graph, &settings);
    }
    let ledger = Ledger::new(&settings, names.clone());
    Ok((graph::start(graph).map_err(anyhow::Error::new)?, ledger))
}

impl From<SourceError> for RunError {
    fn from(error: SourceError) -> Self {
        match error {
            error if error.is_usage() => Self::Settings(error.into()),
            error if error.is_refusal() => Self::Refused(error.into()),
            error => Self::Runtime(error.into()),
        }
    }
}

impl From<FoldError> for RunError {
    fn from(error: FoldError) -> Self {
        match error {
            FoldError::Commit(error) => error.into(),
            other @ FoldError::Letters(_) => Self::Runtime(other.into()),
        }
    }
}

fn deliver(sink: &Mutex<DeadLetterFile>, letters: &[dataflows::feed::DeadLetter]) -> Result<(), SinkError> {
    sink.lock().unwrap_or_else(PoisonError::into_inner).deliver(letters)
}

/// On a terminal only, and not between job results.
fn progress_bar(files: &Files, options: &ReplayOptions) -> ProgressBar {
    if options.log_jobs { ProgressBar::hidden() } else { progress::of_bytes(files.total_bytes()) }
}
