//! What must hold between settings, once each is valid by itself.

use super::{
    Config,
    fault::{Fault, Origin},
    load::Loaded,
    units::show_duration,
};

/// What is wrong, at the place of the setting that was given.
pub(super) fn check(loaded: &Loaded) -> Vec<Fault> {
    let Config { dataflow, .. } = &loaded.config;
    let mut faults = Vec::new();
    if dataflow.late_grace_ms > dataflow.dedup_window_ms {
        faults.push(between(
            loaded,
            ["late_grace", "dedup_window"],
            format!(
                "`late_grace` ({}) is longer than `dedup_window` ({}): a late event would be forgotten before it may come",
                show_duration(dataflow.late_grace_ms),
                show_duration(dataflow.dedup_window_ms)
            ),
            "late_grace at most dedup_window",
        ));
    }
    if loaded.config.max_commit_age <= loaded.config.epoch_interval {
        faults.push(between(
            loaded,
            ["max_commit_age", "epoch_interval"],
            "`max_commit_age` is not longer than `epoch_interval`: /readyz would fail between two commits".to_owned(),
            "max_commit_age longer than epoch_interval; three times as long is a good start",
        ));
    }
    faults.extend(topics(loaded));
    faults
}

fn topics(loaded: &Loaded) -> impl Iterator<Item = Fault> {
    let Config { topic, dead_letter_topic, decision_topic, .. } = &loaded.config;
    let pairs = [
        (["dead_letter_topic", "topic"], [dead_letter_topic, topic], "what is rejected would be read again"),
        (["decision_topic", "topic"], [decision_topic, topic], "what is decided would be read as events"),
        (
            ["decision_topic", "dead_letter_topic"],
            [decision_topic, dead_letter_topic],
            "whoever reads the one would find the other",
        ),
    ];
    let alike = pairs.into_iter().filter(|(_, [one, other], _)| one == other);
    alike.map(|(names, [topic, _], why)| {
        let [one, other] = names;
        between(loaded, names, format!("`{other}` and `{one}` are both `{topic}`: {why}"), "two topics")
    })
}

/// Blames the first of the two settings that is not a default.
fn between(loaded: &Loaded, names: [&str; 2], problem: String, allowed: &str) -> Fault {
    let given = names.iter().map(|name| loaded.origin(name)).find(|origin| **origin != Origin::Default);
    Fault {
        origin: given.unwrap_or(&Origin::Default).clone(),
        problem,
        allowed: Some(allowed.to_owned()),
        suggestion: None,
    }
}
