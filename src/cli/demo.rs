//! `demo`: everything in one process.

use super::{
    Failure,
    fleet::{FleetFlags, rate},
    settings::SettingFlags,
};
use crate::{
    config::{environment::Surroundings, table::verbs},
    demo,
    fleet::FleetOptions,
};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow demo
  gocdnext-flow demo --listen 127.0.0.1:9000 --rate 2000
  gocdnext-flow demo --disorder 200 --duplicates 10% --garbage 1%

Needs nothing else: the broker is inside. Then look at
  http://localhost:8153/metrics   http://localhost:8153/readyz   http://localhost:8153/api/v1/snapshot
Ctrl-C ends it.";

/// A made-up CI fleet with its own broker, live at /metrics.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Demo {
    /// Events a second
    #[arg(long, value_name = "R", default_value = "100", value_parser = rate)]
    rate: f64,
    #[command(flatten)]
    fleet: FleetFlags,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::DEMO }>,
}

impl Demo {
    pub fn start(self, around: &dyn Surroundings) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let FleetFlags { seed, disorder, duplicates, garbage } = self.fleet;
        let options = FleetOptions { seed, jobs: None, rate: Some(self.rate), disorder, duplicates, garbage };
        Ok(demo::run(config, &options)?)
    }
}
