//! The table at the end.

use crate::{plan::WINDOWS, round::Round, support::ending::Finding};
use std::fmt::Write;

/// Rows of figures, a column a store.
pub fn table(rounds: &[Round]) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &dyn Fn(&Round) -> String| {
        let values: String = rounds.iter().map(|round| format!("{:>18}", value(round))).collect();
        // writing to a String cannot fail
        let _ = writeln!(text, "{name:<34}{values}");
    };
    row("", &|round| round.store.to_owned());
    row("log", &|round| round.log.to_owned());
    row("kills", &|round| round.kills().to_string());
    row("  at random", &|round| round.at_random.to_string());
    for (window, name) in WINDOWS.iter().enumerate() {
        row(&format!("  in {name}"), &|round| round.in_window[window].to_string());
    }
    row("and of starts", &|round| round.stillborn.to_string());
    row("scrapes answered/asked", &|round| format!("{}/{}", round.counts.answered, round.counts.asked));
    row("  with dataflow series", &|round| round.counts.with_series.to_string());
    row("slowest start to a new epoch", &|round| format!("{:.1} s", round.slowest.as_secs_f64()));
    row("commits between kills, min/median", &|round| {
        let mut commits = round.commits.clone();
        commits.sort_unstable();
        let (least, median) = (commits.first(), commits.get(commits.len() / 2));
        format!("{}/{}", least.copied().unwrap_or_default(), median.copied().unwrap_or_default())
    });
    let found = |of: &'static dyn Fn(&Finding) -> String| {
        move |round: &Round| round.finding.as_ref().map_or_else(|| "-".to_owned(), of)
    };
    row("records", &found(&|finding| finding.records.to_string()));
    row("dead letters, and sent again", &found(&|finding| format!("{}, {}", finding.letters, finding.letters_again)));
    row("final comparison", &found(&|finding| format!("{} series equal", finding.series)));
    text
}
