//! What starts runs: pushes, told by webhooks, and timers, more of them by day than by night.

use super::{Fleet, calendar::Action};
use dataflows::time::Millis;

/// How busy the hours of a day are; their mean is 1.
const RHYTHM: [f64; 24] = [
    0.35, 0.30, 0.30, 0.30, 0.35, 0.45, 0.60, 0.90, 1.30, 1.65, 1.75, 1.60, 1.30, 1.55, 1.85, 1.95, 1.85, 1.55, 1.10,
    0.90, 0.70, 0.60, 0.45, 0.35,
];
const HOUR_MS: Millis = 3_600_000;

impl Fleet {
    /// A push (by webhook) or a pipeline's own timer; then the next.
    pub(super) fn trigger(&mut self) {
        if self.is_closing() {
            return;
        }
        let pause = self.next_trigger();
        self.after(pause, Action::Trigger);
        let number = self.dice.below(self.plan.pipelines.len() as u64);
        let pipeline = u32::try_from(number).unwrap_or_default();
        if self.dice.chance(0.85) && !self.webhook(pipeline) {
            return;
        }
        let pause = self.dice.between(40, 400);
        self.after(pause, Action::RunStarts { pipeline });
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "hours of a day; a gap in ms")]
    fn next_trigger(&mut self) -> Millis {
        let start = self.options.start_ms;
        let first = self.options.first_hour.map_or(start.div_euclid(HOUR_MS).rem_euclid(24), i64::from);
        let into_first = if self.options.first_hour.is_some() { 0 } else { start.rem_euclid(HOUR_MS) };
        let lived = (self.now - start) as f64 * self.options.speed.max(0.001) + into_first as f64;
        let hour = (lived / HOUR_MS as f64) as usize + first as usize;
        (self.dice.exponential() * self.plan.run_gap_ms / RHYTHM[hour % 24]) as Millis + 1
    }

    /// Whether the webhook that came is one that starts a run.
    fn webhook(&mut self, pipeline: u32) -> bool {
        let full = self.open_runs >= self.options.max_open_runs;
        let outcome = match self.dice.unit() {
            _ if full => "rejected",
            luck if luck < 0.10 => "ignored",
            luck if luck < 0.13 => "rejected",
            luck if luck < 0.15 => "error",
            _ => "accepted",
        };
        let provider = self.plan.tenants[self.plan.pipelines[pipeline as usize].tenant].provider;
        self.say_webhook(provider, outcome);
        outcome == "accepted"
    }
}
