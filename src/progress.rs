//! How far a long piece of work is; on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};

const BYTES: &str = "{bar:40} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
const JOBS: &str = "{bar:40} {percent:>3} %  {human_pos} of {human_len} jobs, {eta} left";

/// Of so many bytes; `None`: nobody knows how many.
pub fn of_bytes(total: Option<u64>) -> ProgressBar {
    match total {
        Some(total) => of(total, BYTES),
        None => ProgressBar::new_spinner(),
    }
}

/// Of so many jobs.
pub fn of_jobs(total: u64) -> ProgressBar {
    of(total, JOBS)
}

/// As [`of_bytes`], not shown before [`show`]: something is asked first.
pub fn later(total: u64) -> ProgressBar {
    let bar = of_bytes(Some(total));
    bar.set_draw_target(ProgressDrawTarget::hidden());
    bar
}

pub fn show(bar: &ProgressBar) {
    if io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
}

fn of(total: u64, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}
