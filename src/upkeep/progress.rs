//! How far a long piece of work is; on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};

const TEMPLATE: &str = "{bar:40} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";

/// As [`of_bytes`], not shown before [`show`]: something is asked first.
pub fn later(total: u64) -> ProgressBar {
    let bar = of_bytes(total);
    bar.set_draw_target(ProgressDrawTarget::hidden());
    bar
}

pub fn show(bar: &ProgressBar) {
    if io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
}

/// Of so many bytes.
pub fn of_bytes(total: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}
