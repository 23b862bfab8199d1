//! The flags of the made-up fleet, shared by `demo` and `generate`.

use crate::{
    config::units,
    fleet::{Disorder, NoiseOptions},
};
use clap::Args;

/// What the fleet is, and how its events are spoiled, as a real log would be.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Fleet")]
pub struct FleetFlags {
    /// The same seed gives the same fleet
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Projects, each with pipelines of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub tenants: u32,
    /// Agents that run the jobs
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub agents: u32,
    /// Deliver events out of order, by up to so many events or so much time, as 5000 or 2s; 0 for none
    #[arg(long, value_name = "WINDOW", value_parser = disorder)]
    disorder: Option<Disorder>,
    /// Share of the events that is sent twice, as 10% or 0.1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    duplicates: Option<f64>,
    /// Share of records that are no events, as 1% or 0.01
    #[arg(long, value_name = "SHARE", value_parser = share)]
    garbage: Option<f64>,
}

impl FleetFlags {
    /// What was asked for, and the verb's own where nothing was.
    pub fn noise(&self, usual: NoiseOptions) -> NoiseOptions {
        NoiseOptions {
            seed: self.seed,
            disorder: self.disorder.unwrap_or(usual.disorder),
            duplicates: self.duplicates.unwrap_or(usual.duplicates),
            garbage: self.garbage.unwrap_or(usual.garbage),
        }
    }
}

/// `5000` (events) or `2s` (time).
fn disorder(text: &str) -> Result<Disorder, String> {
    if let Ok(events) = units::count(text) {
        return Ok(if events == 0 { Disorder::None } else { Disorder::Events(events.min(10_000_000)) });
    }
    match units::duration(text) {
        Ok(0) => Ok(Disorder::None),
        Ok(window) if (1..=86_400_000).contains(&window) => Ok(Disorder::Time(window)),
        _ => Err("write a number of events, as 5000, or a time up to a day, as 2s".to_owned()),
    }
}

/// `10%` or `0.1`.
fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().map_err(|_| "write a share, as 10% or 0.1".to_owned())? / scale;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share lies between 0% and 100%".to_owned()) }
}

/// A number above 0: events a second, times as fast.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("write a number above 0, as 500 or 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percents_or_fractions() {
        assert_eq!(share("10%"), Ok(0.1));
        assert_eq!(share("0.01"), Ok(0.01));
        assert_eq!(share("100%"), Ok(1.0));
        for wrong in ["10", "-1%", "101%", "ten", "NaN", ""] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn disorder_is_a_number_or_a_time() {
        assert_eq!(disorder("5000"), Ok(Disorder::Events(5000)));
        assert_eq!(disorder("2s"), Ok(Disorder::Time(2_000)));
        assert_eq!((disorder("0"), disorder("0s")), (Ok(Disorder::None), Ok(Disorder::None)));
        for wrong in ["", "-1", "2d", "much", "1.5"] {
            assert!(disorder(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_above_zero() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "inf", "NaN", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
