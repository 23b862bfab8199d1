//! Logs around a verb: set up once its settings are valid, rounded off when it ends, however it ends.

use super::Failure;
use crate::{
    config::Config,
    telemetry::{self, Target},
    wiring::RunError,
};

/// Does `work` with its logs going to `target`: standard output under `run`, where logs are the output, standard error
/// elsewhere.
pub fn logged(
    config: Config,
    target: Target,
    work: impl FnOnce(Config) -> Result<(), RunError>,
) -> Result<(), Failure> {
    telemetry::init(&config.log_level, target, config.log_burst).map_err(|error| RunError::Settings(error.into()))?;
    let ended = work(config);
    telemetry::finish();
    Ok(ended?)
}
