//! The one place that knows every part: sources, dataflow, sinks, HTTP. `run`, `demo` and `replay` end here.

mod checks;
mod committer;
mod details;
mod durable;
mod gate;
pub mod outcome;
mod pause;
mod pipeline;
mod publisher;
mod replay;
mod results;
mod retention;
mod run;
mod sweeping;
mod unpassing;

pub use committer::{CommitError, Committer};
pub use details::{Details, LEDGER_LANE, Shape, stream_time};
pub use durable::{Durable, graph_config};
pub use pipeline::Pipeline;
pub use publisher::{PublishError, Publisher};
pub use replay::{Replayed, Told, read_files, replay};
pub use results::Takers;
pub use retention::StateLedger;
pub use run::{run, run_published, run_until};

use crate::{sources::kafka, store::StateUrl};
use std::path::PathBuf;

/// Why `run`, `demo`, `replay` or a verb about stored state ended; decides the exit code.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Exit code 1.
    #[error(transparent)]
    Runtime(#[from] anyhow::Error),
    /// A setting or argument that is wrong though well-formed: one that librdkafka does not know, a file that is not
    /// there. Exit code 2.
    #[error(transparent)]
    Settings(anyhow::Error),
    /// State or offsets do not fit this start. Exit code 4.
    #[error(transparent)]
    Refused(anyhow::Error),
    /// Another instance has taken over. Exit code 5.
    #[error("another instance has taken over")]
    Fenced,
}

impl From<kafka::SourceError> for RunError {
    fn from(error: kafka::SourceError) -> Self {
        match error {
            kafka::SourceError::Settings(_) => Self::Settings(error.into()),
            kafka::SourceError::Offsets(_) => Self::Refused(error.into()),
            kafka::SourceError::Fatal(_) | kafka::SourceError::Stopped(_) => Self::Runtime(error.into()),
        }
    }
}

/// What a replayed file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// One CloudEvent in JSON a line.
    Events,
    /// A job log in CSV.
    JobLog,
}

/// What `replay` was told beside the settings.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// `-`: standard input.
    pub files: Vec<PathBuf>,
    pub format: InputFormat,
    /// Unix ms to which the times of a job log are relative.
    pub time_origin: Option<i64>,
    /// Where the final exposition goes; `-`: standard output.
    pub metrics_out: Option<PathBuf>,
    /// Where rejected records go.
    pub dead_letters: Option<PathBuf>,
    /// Log a line for each finished job.
    pub log_jobs: bool,
    /// Where a former replay is gone on from, and this one is kept; `None`: nothing is.
    pub state: Option<StateUrl>,
}
