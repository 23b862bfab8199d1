//! `run`: Kafka to `/metrics`.

use super::RunError;
use crate::config::Config;
use std::future::Future;

/// Kafka to `/metrics`, until SIGTERM or SIGINT.
pub fn run(config: Config) -> Result<(), RunError> {
    run_until(config, std::future::pending())
}

/// As [`run`], also until `shutdown` is ready.
pub fn run_until(_config: Config, _shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), RunError> {
    Err(anyhow::anyhow!("`run` is not part of this build").into())
}

/// As [`run_until`], published where the caller sees it too.
pub fn run_published(
    _config: Config,
    _published: std::sync::Arc<crate::published::Published>,
    _shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    Err(anyhow::anyhow!("`run` is not part of this build").into())
}
