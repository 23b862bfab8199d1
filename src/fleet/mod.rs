//! A seeded CI fleet: tenants, pipelines, agents, failures; the same seed gives the same events.

use crate::config::Config;
use std::path::PathBuf;

/// What the fleet does.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetOptions {
    pub seed: u64,
    /// `None`: goes on for ever.
    pub jobs: Option<u64>,
    /// Events a second; `None`: as fast as they can be written.
    pub rate: Option<f64>,
    /// Events are shuffled within windows of this many; 0 or 1: not at all.
    pub disorder: usize,
    /// Share of events sent twice, 0 to 1.
    pub duplicates: f64,
    /// Share of lines that are no events, 0 to 1.
    pub garbage: f64,
}

/// Where `generate` writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `-`: standard output.
    File(PathBuf),
    /// The brokers and topic of the settings.
    Kafka,
}

/// Writes a fleet's events.
pub fn generate(_config: &Config, _options: &FleetOptions, _target: &Target) -> anyhow::Result<()> {
    anyhow::bail!("`generate` is not part of this build")
}
