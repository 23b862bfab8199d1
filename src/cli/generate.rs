//! `generate`: the demo's fleet as a file or into Kafka.

use super::{
    Failure,
    fleet::{FleetFlags, rate},
    settings::SettingFlags,
};
use crate::{
    config::{environment::Surroundings, table::verbs},
    fleet::{FleetOptions, Target, generate},
};
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow generate --jobs 100000 --seed 7 --out fleet.ndjson
  gocdnext-flow generate --jobs 1000 | gocdnext-flow replay -
  gocdnext-flow generate --jobs 100000 --disorder 5000 --duplicates 10% --garbage 1% --out bad.ndjson
  gocdnext-flow generate --jobs 100000 --brokers kafka:9092 --rate 500";

/// Write a made-up fleet's events to a file or into Kafka.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Generate {
    /// Jobs to make
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    /// File to write, `-` for standard output [default: -, unless --brokers is given]
    #[arg(long, value_name = "FILE", conflicts_with = "brokers")]
    out: Option<PathBuf>,
    /// Events a second [default: as fast as they can be written]
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    #[command(flatten)]
    fleet: FleetFlags,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::GENERATE }>,
}

impl Generate {
    pub fn start(self, around: &dyn Surroundings) -> Result<(), Failure> {
        let target = match self.out {
            Some(path) => Target::File(path),
            None if self.settings.gives("brokers") => Target::Kafka,
            None => Target::File("-".into()),
        };
        let config = self.settings.load(around)?.config;
        let FleetFlags { seed, disorder, duplicates, garbage } = self.fleet;
        let options = FleetOptions { seed, jobs: Some(self.jobs), rate: self.rate, disorder, duplicates, garbage };
        Ok(generate(&config, &options, &target)?)
    }
}
