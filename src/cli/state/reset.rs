//! `state reset`: count anew.

use super::Failure;
use crate::{
    cli::{
        confirm::Agreement,
        out::{print, tell},
        settings::SettingFlags,
    },
    config::{environment::Surroundings, table::verbs},
    sources::kafka::Point,
    upkeep,
};
use clap::Args;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow state reset --to earliest --brokers kafka:9092
  gocdnext-flow state reset --to latest --brokers kafka:9092 --topic ci.events --yes
  gocdnext-flow state reset --to 2026-11-01T00:00:00Z --brokers kafka:9092

Stop every instance first. All series start over from zero; on a terminal it says what that
means and asks. The next `run` counts from there up to what is in Kafka by then, and shows its
series once it has.";

/// Forget what was counted, and begin anew from a point in Kafka.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Reset {
    /// Where to begin: `earliest` (all that Kafka still has), `latest` (what comes from now on), or a time in RFC 3339
    #[arg(long, value_name = "POINT", value_parser = point)]
    to: Point,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::STATE | verbs::RESET }>,
}

impl Reset {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let done = upkeep::wait(async {
            let plan = upkeep::reset::plan(config, self.to).await?;
            let agreement = Agreement::to(plan.warning(), self.yes)?;
            let held = plan.hold(|waiting| tell(&format!("{waiting}\n"))).await?;
            if let Err(no) = agreement.get().await {
                held.give_up().await;
                return Err(no);
            }
            Ok(held.carry_out().await?)
        })?;
        print(out, &done)
    }
}

/// `earliest`, `latest` or `2026-11-01T00:00:00Z`
fn point(text: &str) -> Result<Point, String> {
    match text {
        "earliest" => Ok(Point::Earliest),
        "latest" => Ok(Point::Latest),
        _ => {
            let time = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
            time.ok()
                .filter(|time| *time >= 0)
                .map(Point::Time)
                .ok_or_else(|| "write `earliest`, `latest`, or a time since 1970 as 2026-11-01T00:00:00Z".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_word_or_a_time() {
        assert_eq!(point("earliest"), Ok(Point::Earliest));
        assert_eq!(point("latest"), Ok(Point::Latest));
        assert_eq!(point("2024-01-01T00:00:00Z"), Ok(Point::Time(1_704_067_200_000)));
        assert_eq!(point("2024-01-01T01:00:00+01:00"), Ok(Point::Time(1_704_067_200_000)));
        for wrong in ["", "Earliest", "yesterday", "2024-01-01", "1704067200", "1969-12-31T23:59:59Z"] {
            assert!(point(wrong).is_err(), "{wrong}");
        }
    }
}
