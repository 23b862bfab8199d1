//! Logs around a verb: set up once its settings are valid, rounded off when it ends, however it ends.

use super::Failure;
use crate::{
    config::Config,
    telemetry::{self, Target},
    wiring::RunError,
};

/// Does `work` with its logs on standard error. (`run`, whose output they are, sets them up itself.)
pub fn logged<T>(config: Config, work: impl FnOnce(Config) -> Result<T, RunError>) -> Result<T, Failure> {
    telemetry::init(&config.log_level, Target::Stderr, config.log_burst)
        .map_err(|error| RunError::Settings(error.into()))?;
    let ended = work(config);
    telemetry::finish();
    Ok(ended?)
}
