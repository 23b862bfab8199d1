//! `generate`: the demo's fleet as a file or into Kafka.

use super::{
    Failure,
    fleet::{FleetFlags, rate},
    out::tell,
    settings::SettingFlags,
};
use crate::{
    clock::wall_ms,
    config::{Config, environment::Surroundings, table::verbs},
    fleet::{DEFAULT_START_MS, FleetOptions, GenerateOptions, NoiseOptions, Target, generate},
    same_file::database_at,
};
use clap::Args;
use std::{io::IsTerminal, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow generate --jobs 100000 --seed 7 --out fleet.ndjson.zst
  gocdnext-flow generate --jobs 1000 | gocdnext-flow replay -
  gocdnext-flow generate --jobs 100000 --disorder 5000 --duplicates 10% --garbage 1% --out bad.ndjson
  gocdnext-flow generate --jobs 100000 --brokers kafka:9092 --rate 500

The same flags give the same bytes, on every machine.";

/// Write a made-up fleet's events to a file or into Kafka.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Generate {
    /// Jobs to make
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    /// File to write (compressed if its name ends in .gz or .zst), `-` for standard output [default: -, unless --brokers is given]
    #[arg(long, value_name = "FILE", conflicts_with = "brokers")]
    out: Option<PathBuf>,
    /// Records a second [default: as fast as they can be written]
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// Time of the first event, in RFC 3339 or Unix seconds [default: 2025-01-06T00:00:00Z]
    #[arg(long, value_name = "TIME", value_parser = start_time)]
    start: Option<i64>,
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
        let fleet = FleetOptions {
            seed: self.fleet.seed,
            tenants: self.fleet.tenants,
            agents: self.fleet.agents,
            start_ms: self.start.unwrap_or(DEFAULT_START_MS),
            max_jobs: Some(self.jobs),
            ..FleetOptions::default()
        };
        let noise = self.fleet.noise(NoiseOptions::default());
        spares_databases(&target, &config)?;
        let options = GenerateOptions { fleet, noise, target, rate: self.rate };
        let (start_ms, to_kafka) = (options.fleet.start_ms, options.target == Target::Kafka);
        let made = generate(&config, options).map_err(anyhow::Error::from)?;
        if to_kafka && let Some(note) = ahead(start_ms, made.last_ms, wall_ms()) {
            tell(&format!("{note}\n"));
        }
        if std::io::stderr().is_terminal() && !made.cut_short {
            let counts = made.counts;
            tell(&format!(
                "{} jobs: {} events, {} of them twice, {} records of garbage\n",
                made.jobs, counts.events, counts.duplicates, counts.garbage
            ));
        }
        Ok(())
    }
}

/// Better refused than a state that is gone.
fn spares_databases(target: &Target, config: &Config) -> Result<(), Failure> {
    let Target::File(path) = target else { return Ok(()) };
    match database_at(path, [Some(&config.state), config.log_database.as_ref()]) {
        Some(url) => Err(Failure::Misuse(format!(
            "--out: {} is a file of the database {url}, which events there would destroy: give another name",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// What to say of events in Kafka that lie in the future: a pipeline there would read them, and take them as earlier.
fn ahead(start_ms: i64, last_ms: i64, now_ms: i64) -> Option<String> {
    let text =
        |ms: i64| jiff::Timestamp::from_second(ms.div_euclid(1000)).map(|time| time.to_string()).unwrap_or_default();
    (last_ms > now_ms).then(|| {
        format!(
            "note: these events go on until {}, which is in the future; `run` takes what is further ahead than `max_skew` as \
             that, and counts it as skewed. To have them end now: --start {}",
            text(last_ms),
            text(now_ms - (last_ms - start_ms))
        )
    })
}

/// Years 1970 to 9999: what the fleet lives through must have four digits too.
fn start_time(text: &str) -> Result<i64, String> {
    let ms = super::replay::time_origin(text)?;
    if (0..250_000_000_000_000).contains(&ms) { Ok(ms) } else { Err("write a time from 1970 to 9890".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_in_the_future_are_noted_with_the_start_that_ends_them_now() {
        assert_eq!(ahead(0, 7_200_000, 7_200_000), None);
        let note = ahead(1_704_067_200_000, 1_704_074_400_000, 1_704_070_800_000).unwrap();
        assert!(
            note.contains("until 2024-01-01T02:00:00Z") && note.ends_with("--start 2023-12-31T23:00:00Z"),
            "{note}"
        );
    }
}
