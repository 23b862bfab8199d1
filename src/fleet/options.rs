//! What a fleet is made of. Everything that happens follows from these and nothing else.

use dataflows::time::Millis;

/// Monday 2025-01-06T00:00:00Z: where a generated log starts unless told otherwise. It is fixed, so that a seed
/// always gives the same bytes, and past, so that no broker's clock clamps its events.
pub const DEFAULT_START_MS: Millis = 1_736_121_600_000;

/// Options of a [`super::Fleet`].
#[derive(Clone, Debug, PartialEq)]
pub struct FleetOptions {
    pub seed: u64,
    /// Projects, at least 1.
    pub tenants: u32,
    /// Pipelines of each project, at least 1.
    pub pipelines: u32,
    /// Agents over all pools, at least 1; each runs several jobs at once.
    pub agents: u32,
    /// When the fleet is switched on.
    pub start_ms: Millis,
    /// Job durations, pauses and the day's rhythm are this many times shorter than in life. Heartbeats keep theirs,
    /// for what reads them waits by the clock.
    pub speed: f64,
    /// The mean share of the agents' slots that is wanted: at the day's peak it is near twice this, so jobs wait.
    pub load: f64,
    /// The hour of the fleet's day at `start_ms`; `None`: the hour in UTC.
    pub first_hour: Option<u8>,
    /// After so many jobs no run starts any more and the fleet ends when all is done; `None`: endless.
    pub max_jobs: Option<u64>,
    /// Whether it drops partitions of logs, as a platform does that has nobody to ask.
    pub drops_partitions: bool,
    /// Webhooks are rejected while so many runs are open: bounds the memory of a fleet that cannot keep up.
    pub max_open_runs: u32,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            tenants: 4,
            pipelines: 5,
            agents: 40,
            start_ms: DEFAULT_START_MS,
            speed: 1.0,
            load: 0.6,
            first_hour: None,
            max_jobs: None,
            drops_partitions: true,
            max_open_runs: 20_000,
        }
    }
}
