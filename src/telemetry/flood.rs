//! The rate limit: of one kind of warning or error (one place in the code) at most `burst` lines are written a minute.
//!
//! What is left out is counted, and said as soon as the minute is over and any line is written, or at the end.
//! Bounded: there are as many kinds as there are places in the code that log.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};
use tracing::callsite::Identifier;

const WINDOW: Duration = Duration::from_secs(60);

/// One kind of line in the current minute.
#[derive(Debug)]
struct Window {
    began: SystemTime,
    written: u32,
    left_out: u64,
    level: tracing::Level,
    message: String,
}

/// Lines that were left out in a minute that is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub level: tracing::Level,
    pub message: String,
    pub lines: u64,
}

#[derive(Debug, Default)]
pub(super) struct Flood {
    windows: HashMap<Identifier, Window>,
}

impl Flood {
    /// Whether one more line of this kind may be written.
    pub(super) fn admit(
        &mut self,
        kind: Identifier,
        level: tracing::Level,
        message: &str,
        burst: u32,
        now: SystemTime,
    ) -> bool {
        let new = || Window { began: now, written: 0, left_out: 0, level, message: message.to_owned() };
        let window = self.windows.entry(kind).or_insert_with(new);
        if is_over(window, now) {
            *window = new();
        }
        if window.written < burst {
            window.written += 1;
            return true;
        }
        window.left_out += 1;
        false
    }

    /// What was left out in minutes that are over at `now`; with `all`, also in those that are not.
    pub(super) fn take_left_out(&mut self, now: SystemTime, all: bool) -> Vec<LeftOut> {
        let over = self.windows.values_mut().filter(|window| window.left_out > 0 && (all || is_over(window, now)));
        let said = over.map(|window| LeftOut {
            level: window.level,
            message: window.message.clone(),
            lines: std::mem::take(&mut window.left_out),
        });
        said.collect()
    }
}

/// A clock that stepped back ends the minute too.
fn is_over(window: &Window, now: SystemTime) -> bool {
    now.duration_since(window.began).map_or(true, |age| age >= WINDOW)
}
