//! `demo`: everything in one process.

use super::{
    Failure,
    fleet::{FleetFlags, rate},
    logged::logged,
    settings::SettingFlags,
};
use crate::{
    config::{environment::Surroundings, fault::Origin, table::verbs, units},
    demo::{self, DemoOptions},
    fleet::{Disorder, NoiseOptions},
};
use clap::Args;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow demo
  gocdnext-flow demo --listen 127.0.0.1:9000 --speed 60
  gocdnext-flow demo --disorder 10s --duplicates 10% --garbage 1%

Needs nothing else: the broker is inside. Then look at
  http://localhost:8153/metrics   http://localhost:8153/readyz   http://localhost:8153/api/v1/snapshot
Ctrl-C ends it. Unless told otherwise, 1% of the events come twice, all come up to 2s late, and
0.2% of the records are garbage, so that the series that count such things move; a job counts as
lost after 10m (with --speed 1: 200m). Its state goes with it, or stays where --state says, which
must be a new place; one that a variable or a file names is a pipeline's, and is not touched.
Job logs lie in a database of its own (not with --state): a year of monthly partitions, of which
one falls due every 10s, is archived, and is dropped unless something is in the way.";

/// So that every series moves.
const NOISE: NoiseOptions =
    NoiseOptions { seed: 0, disorder: Disorder::Time(2_000), duplicates: 0.01, garbage: 0.002 };

/// A made-up CI fleet with its own broker, live at /metrics.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Demo {
    /// How many times faster than in life jobs run and the day passes
    #[arg(long, value_name = "TIMES", default_value = "20", value_parser = rate)]
    speed: f64,
    /// End by itself after this long, as 90s [default: runs until Ctrl-C]
    #[arg(long = "for", value_name = "DURATION", value_parser = span)]
    ends_after: Option<Duration>,
    #[command(flatten)]
    fleet: FleetFlags,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::DEMO }>,
}

impl Demo {
    pub fn start(self, around: &dyn Surroundings) -> Result<(), Failure> {
        let loaded = self.settings.load(around)?;
        let mut config = loaded.config.clone();
        if *loaded.origin("log_level") == Origin::Default {
            // a line for each of the fleet's jobs would hide the demo's own
            "warn".clone_into(&mut config.log_level);
        }
        if *loaded.origin("job_ttl") == Origin::Default {
            config.dataflow.job_ttl_ms = demo::job_ttl_ms(self.speed);
        }
        let options = DemoOptions {
            seed: self.fleet.seed,
            speed: self.speed,
            tenants: self.fleet.tenants,
            agents: self.fleet.agents,
            noise: self.fleet.noise(NOISE),
            ends_after: self.ends_after,
            // one that a shell or a file names is that of a pipeline
            temporary_state: !matches!(loaded.origin("state"), Origin::Flag(_)),
        };
        logged(config, |config| demo::run(config, &options))
    }
}

/// `90s`
fn span(text: &str) -> Result<Duration, String> {
    let ms = units::duration(text).map_err(|_| "write a time with its unit, as 90s or 5m".to_owned())?;
    u64::try_from(ms).map(Duration::from_millis).map_err(|_| "a time cannot be below 0".to_owned())
}
