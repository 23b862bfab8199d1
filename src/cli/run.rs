//! `run`: Kafka to `/metrics`.

use super::{Failure, settings::SettingFlags};
use crate::{
    config::{environment::Surroundings, table::verbs},
    wiring,
};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow run --brokers kafka-1:9092,kafka-2:9092 --workers 4
  gocdnext-flow run --config /etc/gocdnext-flow.toml
  GOCDNEXT_FLOW_KAFKA_SECURITY_PROTOCOL=SSL gocdnext-flow run --brokers kafka:9093

While it runs:
  /metrics   the series, of the last committed epoch
  /healthz   200 while the process lives
  /readyz    200 when it keeps up, else 503 and which check fails

Kafka may be away at the start or later: it keeps trying, and says so in /readyz and in the log.
SIGTERM or Ctrl-C ends it with 0.";

/// Read events from Kafka, serve the series at /metrics.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    #[command(flatten)]
    settings: SettingFlags<{ verbs::RUN }>,
}

impl Run {
    pub fn start(self, around: &dyn Surroundings) -> Result<(), Failure> {
        Ok(wiring::run(self.settings.load(around)?.config)?)
    }
}
