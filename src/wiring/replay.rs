//! `replay`: files to the final exposition and a summary.
//!
//! One thread reads and cuts epochs (every `epoch_records` records, at the end of a chunk; no result depends on it),
//! the workers decode and count, the caller's thread folds epochs in order. What cannot be read goes to the dead letters
//! (I5); time is the log's own.

use super::{ReplayOptions, RunError};
use crate::{
    config::Config,
    exposition,
    published::Published,
    sinks::{
        dead_letter_file::DeadLetterFile,
        dead_letters::{Sink, SinkError},
    },
    sources::files::{Files, SourceError},
    summary::{Summary, Tally},
    telemetry,
};
use anyhow::{Context, anyhow};
use dataflows::{
    feed::{EpochEnd, Reason},
    graph::{self, EpochOutput, Feeder, Running},
    names::Names,
    registry::{Registry, Snapshot},
    sequencer::Clock,
    settings::Settings,
    time::Epoch,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// An epoch ends early after this many bytes, so that its dead letters stay bounded (I6).
const EPOCH_BYTES: usize = 256 << 20;

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

/// Reads every file to its end, then writes the final exposition and a summary.
pub fn replay(config: Config, options: &ReplayOptions) -> Result<(), RunError> {
    let settings = config.dataflow.clone();
    let to_stdout = options.metrics_out.as_deref() == Some(Path::new("-"));
    if let Some(path) = options.metrics_out.as_deref().filter(|_| !to_stdout) {
        check_target(path)?;
    }
    let replayed = read_files(config, options)?;
    eprint!("{}", replayed.hint);
    let summary = replayed.summary.to_string();
    if let Some(path) = &options.metrics_out {
        let text = expose(replayed, &settings);
        if to_stdout {
            eprint!("{summary}");
            return print(&text);
        }
        std::fs::write(path, text).with_context(|| format!("cannot write the series to `{}`", path.display()))?;
    }
    print(&summary)
}

/// Better refused now than after an hour of reading.
fn check_target(path: &Path) -> Result<(), RunError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let problem = if path.is_dir() {
        "it is a directory"
    } else if parent.is_some_and(|parent| !parent.is_dir()) {
        "its directory does not exist"
    } else {
        return Ok(());
    };
    Err(RunError::Settings(anyhow!("the series cannot be written to `{}`: {problem}", path.display())))
}

fn print(text: &str) -> Result<(), RunError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // a reader that has seen enough, as `head`
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other.context("cannot write to standard output")?),
    }
}

/// What a scrape at the end of the log would have shown.
fn expose(replayed: Replayed, settings: &Settings) -> String {
    let Replayed { summary, snapshot, names, .. } = replayed;
    let published = Published::new(names);
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let own = &published.own;
    own.committed_epoch.store(snapshot.epoch.0, Ordering::Relaxed);
    own.committed_at_ms.store(now_ms, Ordering::Relaxed);
    own.stream_time_ms.store(snapshot.stream_time.0, Ordering::Relaxed);
    own.records.store(summary.records, Ordering::Relaxed);
    published.snapshot.store(Some(Arc::new(snapshot)));
    exposition::render(&published, settings, exposition::Format::Text, now_ms)
}

/// Reads every file to its end; writes nothing but the dead letters and the job results that were asked for.
pub fn read_files(config: Config, options: &ReplayOptions) -> Result<Replayed, RunError> {
    let files = Files::open(options)?;
    let names = files.names().join(", ");
    let sink = DeadLetterFile::create(options.dead_letters.as_deref(), files.names().to_vec());
    let sink = Mutex::new(sink.map_err(|error| RunError::Settings(error.into()))?);
    let settings = Arc::new(Settings { job_results: true, ..config.dataflow });
    let first_epoch = Epoch(1);
    let graph = graph::Config {
        settings: Arc::clone(&settings),
        workers: config.workers,
        clock: Clock::Log,
        names: Names::new(settings.limits.max_names),
        first_epoch,
        sweep: None,
    };
    let table = graph.names.clone();
    let Running { feeder, outputs, workers } = graph::start(graph).map_err(anyhow::Error::new)?;
    let broken = AtomicBool::new(false);
    let bar = progress_bar(&files, options);
    let reading = Reading {
        files,
        feeder,
        epoch: first_epoch,
        epoch_records: config.epoch_records,
        sink: &sink,
        broken: &broken,
        bar: bar.clone(),
        refused: Refused::default(),
    };
    let mut folding = Folding {
        registry: Registry::new(&settings),
        last: None,
        tally: Tally::default(),
        records: 0,
        log_jobs: options.log_jobs.then(|| table.clone()),
    };
    let (read, folded) = thread::scope(|scope| {
        let reader = scope.spawn(|| reading.run());
        let folded = outputs.iter().try_for_each(|output| folding.fold(output, &sink));
        broken.store(true, Ordering::Relaxed);
        drop(outputs);
        (reader.join(), folded)
    });
    bar.finish_and_clear();
    let joined = workers.join().map_err(|panic| anyhow!("a dataflow worker failed: {panic}"));
    folded.map_err(|error| RunError::Runtime(error.into()))?;
    let refused = read.map_err(|_| anyhow!("the reader failed"))?;
    joined?;
    let refused = refused?;
    let mut snapshot = folding.last.ok_or_else(|| anyhow!("the dataflow ended without a result"))?;
    let records = folding.records + refused.0.iter().sum::<u64>();
    if records == 0 {
        return Err(SourceError::Empty { files: names }.into());
    }
    for (total, more) in snapshot.totals.quality.rejected.iter_mut().zip(refused.0) {
        *total += more;
    }
    let hint = sink.into_inner().unwrap_or_else(PoisonError::into_inner).hint();
    Ok(Replayed { summary: folding.tally.finish(&snapshot, records), snapshot, names: table, hint })
}

impl From<SourceError> for RunError {
    fn from(error: SourceError) -> Self {
        if error.is_usage() { Self::Settings(error.into()) } else { Self::Runtime(error.into()) }
    }
}

/// Records that the source itself refused, by [`Reason`].
#[derive(Debug, Default)]
struct Refused([u64; Reason::ALL.len()]);

/// The reader's thread.
struct Reading<'a> {
    files: Files,
    feeder: Feeder,
    epoch: Epoch,
    epoch_records: u64,
    sink: &'a Mutex<DeadLetterFile>,
    /// Set when the other side has given up.
    broken: &'a AtomicBool,
    bar: ProgressBar,
    refused: Refused,
}

impl Reading<'_> {
    fn run(mut self) -> Result<Refused, RunError> {
        let (mut records, mut bytes) = (0, 0);
        let read_bytes = self.files.read_bytes();
        while let Some(step) = self.files.next()? {
            if self.broken.load(Ordering::Relaxed) {
                return Ok(self.refused);
            }
            self.bar.set_position(read_bytes.load(Ordering::Relaxed));
            for letter in &step.rejected {
                self.refused.0[letter.reason as usize] += 1;
            }
            deliver(self.sink, &step.rejected).map_err(anyhow::Error::from)?;
            records += step.lines;
            bytes += step.batch.bytes.len();
            if step.lines > 0 {
                self.feeder.batch(step.batch).map_err(anyhow::Error::from)?;
            }
            if records >= self.epoch_records || bytes >= EPOCH_BYTES {
                self.end_epoch(false)?;
                (records, bytes) = (0, 0);
            }
        }
        self.end_epoch(true)?;
        Ok(self.refused)
    }

    fn end_epoch(&mut self, last: bool) -> Result<(), RunError> {
        let next_epoch = Epoch(self.epoch.0 + 1);
        let partitions = self.files.progress();
        let end = EpochEnd { epoch: self.epoch, next_epoch, partitions, wall: None, last };
        self.epoch = next_epoch;
        Ok(self.feeder.end(end).map_err(anyhow::Error::from)?)
    }
}

/// The folding side.
struct Folding {
    registry: Registry,
    last: Option<Snapshot>,
    tally: Tally,
    records: u64,
    /// Set where each job's result is to be logged.
    log_jobs: Option<Names>,
}

impl Folding {
    fn fold(&mut self, output: EpochOutput, sink: &Mutex<DeadLetterFile>) -> Result<(), SinkError> {
        deliver(sink, &output.dead_letters)?;
        for result in &output.results {
            self.tally.add(result);
            if let Some(names) = &self.log_jobs {
                telemetry::job_result(result, names);
            }
        }
        self.records += output.records;
        let last = output.end.last;
        let snapshot = self.registry.fold(output.end.epoch, output.stream_time, output.deltas);
        if last {
            self.last = Some(snapshot);
        }
        Ok(())
    }
}

fn deliver(sink: &Mutex<DeadLetterFile>, letters: &[dataflows::feed::DeadLetter]) -> Result<(), SinkError> {
    sink.lock().unwrap_or_else(PoisonError::into_inner).deliver(letters)
}

/// On a terminal only, and not between job results.
fn progress_bar(files: &Files, options: &ReplayOptions) -> ProgressBar {
    if options.log_jobs || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
    match files.total_bytes() {
        Some(total) => {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style)
        }
        None => ProgressBar::new_spinner(),
    }
}
