//! The fleet as a file or into Kafka: `gocdnext-flow generate`.
//!
//! What must stay true: the same options give the same bytes; whoever reads standard output may stop at any time.

use super::{Fleet, FleetOptions, Noise, NoiseOptions, Record, noise::Counts};
use crate::{
    config::Config,
    progress,
    sinks::events::{EventProducer, ProduceError},
};
use dataflows::time::Millis;
use flate2::{Compression, write::GzEncoder};
use indicatif::ProgressBar;
use std::{
    fs::File,
    io::{self, BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Where the events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// NDJSON; compressed if the name ends in `.gz` or `.zst`; `-` is standard output.
    File(PathBuf),
    /// The brokers and topic of the settings.
    Kafka,
}

/// What to make, and where to put it.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// `max_jobs` must be set, or generation ends only when it is stopped.
    pub fleet: FleetOptions,
    pub noise: NoiseOptions,
    pub target: Target,
    /// Records a second; `None`: as fast as they are taken.
    pub rate: Option<f64>,
}

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generated {
    pub jobs: u64,
    pub counts: Counts,
    /// Time of the last event, in Unix ms; 0: there was none.
    pub last_ms: Millis,
    /// The reader of standard output went away before the end.
    pub cut_short: bool,
}

/// Why generation failed.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("cannot create {}: {error}", path.display())]
    Create { path: PathBuf, error: io::Error },
    #[error("cannot write to {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Produce(#[from] ProduceError),
}

type Records = Noise<Fleet>;

/// Runs a fleet to its end and hands its events over.
///
/// # Errors
/// [`GenerateError`]; not where the reader of standard output went away.
pub fn generate(config: &Config, options: GenerateOptions) -> Result<Generated, GenerateError> {
    let mut run = Generation {
        bar: options.fleet.max_jobs.map_or_else(ProgressBar::hidden, progress::of_jobs),
        records: Noise::new(Fleet::new(options.fleet), options.noise),
        pace: Pace::new(options.rate),
        handed: 0,
        last_ms: 0,
    };
    let cut_short = match options.target {
        Target::File(path) => run.write_file(path)?,
        Target::Kafka => run.produce(config).map(|()| false)?,
    };
    run.bar.finish_and_clear();
    let (jobs, counts) = (run.records.inner().jobs_made(), run.records.counts());
    Ok(Generated { jobs, counts, last_ms: run.last_ms, cut_short })
}

/// A generation under way.
struct Generation {
    records: Records,
    pace: Pace,
    bar: ProgressBar,
    handed: u64,
    last_ms: Millis,
}

impl Generation {
    fn next(&mut self) -> Option<Record> {
        let record = self.records.next()?;
        self.pace.wait();
        self.handed += 1;
        self.last_ms = self.last_ms.max(record.time_ms);
        if self.handed.is_multiple_of(4096) {
            self.bar.set_position(self.records.inner().jobs_made());
        }
        Some(record)
    }

    /// Whether the reader went away.
    fn write_file(&mut self, path: PathBuf) -> Result<bool, GenerateError> {
        let mut output = match Output::open(&path) {
            Ok(output) => output,
            Err(error) => return Err(GenerateError::Create { path, error }),
        };
        let flush_each = self.pace.is_set();
        let mut write_all = || -> io::Result<()> {
            while let Some(record) = self.next() {
                output.write(&record.value)?;
                if flush_each {
                    output.flush()?;
                }
            }
            output.finish()
        };
        match write_all() {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == ErrorKind::BrokenPipe && is_stdout(&path) => Ok(true),
            Err(error) => Err(GenerateError::Write { path, error }),
        }
    }

    fn produce(&mut self, config: &Config) -> Result<(), GenerateError> {
        let producer = EventProducer::new(&config.brokers, &config.topic, &config.kafka)?;
        while let Some(record) = self.next() {
            producer.send(&record.key, &record.value)?;
        }
        Ok(producer.finish()?)
    }
}

/// Compressed or not, by the file's name.
enum Output {
    Plain(BufWriter<Box<dyn Write>>),
    Gzip(Box<GzEncoder<BufWriter<Box<dyn Write>>>>),
    Zstd(Box<zstd::Encoder<'static, BufWriter<Box<dyn Write>>>>),
}

impl Output {
    fn open(path: &Path) -> io::Result<Self> {
        let file: Box<dyn Write> =
            if is_stdout(path) { Box::new(io::stdout()) } else { Box::new(File::create(path)?) };
        let file = BufWriter::with_capacity(256 << 10, file);
        Ok(match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip(Box::new(GzEncoder::new(file, Compression::default()))),
            Some("zst") => Self::Zstd(Box::new(zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?)),
            _ => Self::Plain(file),
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let writer: &mut dyn Write = match self {
            Self::Plain(writer) => writer,
            Self::Gzip(writer) => writer,
            Self::Zstd(writer) => writer,
        };
        writer.write_all(line)?;
        writer.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(writer) => writer.flush(),
            Self::Gzip(writer) => writer.flush(),
            Self::Zstd(writer) => writer.flush(),
        }
    }

    /// Writes what is left, the compressed stream's end included.
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(writer) => writer.flush(),
            Self::Gzip(writer) => writer.try_finish().and_then(|()| writer.get_mut().flush()),
            Self::Zstd(writer) => writer.do_finish().and_then(|()| writer.get_mut().flush()),
        }
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Holds records back so that they keep to a rate.
struct Pace {
    /// Seconds between two records.
    gap: Option<f64>,
    start: Instant,
    passed: f64,
}

impl Pace {
    fn new(rate: Option<f64>) -> Self {
        Self { gap: rate.map(|rate| 1.0 / rate), start: Instant::now(), passed: 0.0 }
    }

    const fn is_set(&self) -> bool {
        self.gap.is_some()
    }

    fn wait(&mut self) {
        let Some(gap) = self.gap else { return };
        let due = Duration::try_from_secs_f64(self.passed * gap).unwrap_or(Duration::MAX);
        self.passed += 1.0;
        let early = due.saturating_sub(self.start.elapsed());
        // a sleep takes about a tenth of a ms more than was asked for: short ones are saved up
        if early > Duration::from_millis(2) {
            thread::sleep(early);
        }
    }
}
