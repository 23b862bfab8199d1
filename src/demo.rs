//! Embedded broker, a live fleet, the pipeline and the sidecar in one process.

use crate::{config::Config, fleet::NoiseOptions, wiring::RunError};
use std::time::Duration;

/// What the demo was told beside the settings.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoOptions {
    pub seed: u64,
    /// How many times faster than in life jobs run and pauses pass.
    pub speed: f64,
    pub tenants: u32,
    pub agents: u32,
    pub noise: NoiseOptions,
    /// Ends by itself after this; `None`: on Ctrl-C or SIGTERM.
    pub ends_after: Option<Duration>,
}

/// Until Ctrl-C, SIGTERM or the end of the time given.
pub fn run(_config: Config, _options: &DemoOptions) -> Result<(), RunError> {
    Err(anyhow::anyhow!("`demo` is not part of this build").into())
}
