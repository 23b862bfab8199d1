//! Embedded broker, a live fleet, the pipeline and the sidecar in one process.

use crate::{config::Config, fleet::FleetOptions, wiring::RunError};

/// Until Ctrl-C.
pub fn run(_config: Config, _options: &FleetOptions) -> Result<(), RunError> {
    Err(anyhow::anyhow!("`demo` is not part of this build").into())
}
