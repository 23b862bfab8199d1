//! The flags of the made-up fleet, shared by `demo` and `generate`.

use clap::Args;

/// How its events are spoiled, as a real log would be.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Fleet")]
pub struct FleetFlags {
    /// The same seed gives the same fleet
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Shuffle the events within windows of this many
    #[arg(long, value_name = "EVENTS", default_value_t = 0)]
    pub disorder: usize,
    /// Share of the events that is sent twice, as 10% or 0.1
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    pub duplicates: f64,
    /// Share of lines that are no events, as 1% or 0.01
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    pub garbage: f64,
}

/// `10%` or `0.1`.
fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().map_err(|_| "write a share, as 10% or 0.1".to_owned())? / scale;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share lies between 0% and 100%".to_owned()) }
}

/// Events a second.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("write a number of events a second above 0, as 500 or 0.5".to_owned()),
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
    fn rates_are_above_zero() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "inf", "NaN", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
