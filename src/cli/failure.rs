//! How a verb can fail, as the exit code says it and as people read it.

use super::out::tell;
use crate::{config::fault::ConfigError, store::StoreError, wiring::RunError};
use dataflows::{graph::StartError, state::Unusable};
use std::{error::Error, fmt::Write as _};

const DAMAGE_HINT: &str = "\
  what to do: `gocdnext-flow state verify` names all that is damaged; restore a backup (`gocdnext-flow state import FILE \
--replace`) or count anew (`gocdnext-flow state reset --to earliest|latest`)
";

/// Why the program ends without success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// clap's own: also `--help` and `--version`, which are no errors.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// Arguments that do not fit together.
    #[error("{0}")]
    Misuse(String),
    #[error("{errors} of {events} events are wrong")]
    CheckFound { errors: u64, events: u64 },
    #[error("the state is damaged: {damages} found")]
    Damaged { damages: usize },
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Failure {
    /// The exit code; the list is in `--help`.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Arguments(error) => u8::try_from(error.exit_code()).unwrap_or(2),
            Self::Settings(_) | Self::Misuse(_) | Self::Run(RunError::Settings(_)) => 2,
            Self::CheckFound { .. } | Self::Damaged { .. } => 3,
            Self::Run(RunError::Refused(_)) => 4,
            Self::Run(RunError::Fenced) => 5,
            Self::Run(RunError::Runtime(_)) | Self::Other(_) => 1,
        }
    }

    /// What goes to standard error: `error: ...` and its causes, never a stack trace.
    #[must_use]
    pub fn message(&self) -> String {
        if let Self::Settings(ConfigError(faults)) = self {
            return faults.iter().fold(String::new(), |mut text, fault| {
                let _ = writeln!(text, "error: {fault}");
                text
            });
        }
        let mut text = format!("error: {self}\n");
        let mut cause = self.source();
        while let Some(error) = cause {
            let _ = writeln!(text, "  caused by: {error}");
            cause = error.source();
        }
        if self.is_damage() {
            text.push_str(DAMAGE_HINT);
        }
        text
    }

    /// Whether stored state is not what was written.
    fn is_damage(&self) -> bool {
        let Self::Run(RunError::Refused(error)) = self else { return false };
        matches!(error.downcast_ref(), Some(StoreError::Damaged(_)))
            || matches!(error.downcast_ref(), Some(StartError::Unusable(Unusable::Damaged(_))))
    }

    /// Prints it; help and version go to standard output.
    pub fn print(&self) {
        if let Self::Arguments(error) = self {
            let _ = error.print();
        } else {
            tell(&self.message());
        }
    }
}
