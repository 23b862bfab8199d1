//! What became of each partition, or would, in words and as JSON.

use crate::retention::{Obstacle, Outcome, Report, examine::JOBS_WITHOUT_END};
use dataflows::retention::{Fact, Partition, Reason, partitions::told as time};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// One line a partition, those to be made first.
pub fn told(report: &Report) -> String {
    let all = report.ensured.iter().chain(&report.partitions);
    let rows: String = all.map(|(partition, outcome)| line(partition, outcome)).collect();
    if rows.is_empty() { "log_lines has no partitions\n".to_owned() } else { rows }
}

/// A partition and what becomes of it.
pub fn line(partition: &Partition, outcome: &Outcome) -> String {
    let (word, why) = words(outcome);
    format!("{:<24} {word:<12} {why}\n", partition.name)
}

/// A partition with the facts that its outcome rests on.
pub fn told_one(partition: &Partition, outcome: &Outcome) -> String {
    let bounds = format!("  lines from {} to {}\n", time(partition.lower), time(partition.upper));
    let (facts, jobs) = match outcome {
        Outcome::Blocked(Obstacle { facts, jobs, .. }) => (
            facts.iter().map(|(name, fact)| format!("  {name}: {}\n", shown(name, fact))).collect(),
            jobs.iter().map(|job| format!("  job {}\n", Uuid::from_u128(*job))).collect(),
        ),
        _ => (String::new(), String::new()),
    };
    line(partition, outcome) + &bounds + &facts + &jobs + &way_out(partition, outcome)
}

/// Times as people read them; in JSON they are Unix ms.
fn shown(name: &str, fact: &Fact) -> String {
    match fact {
        Fact::Number(ms) if matches!(name, "lower" | "upper" | "due") || name.ends_with("_at") => time(*ms),
        other => json!(other).to_string(),
    }
}

/// The command that clears the way, where one does.
fn way_out(Partition { name, .. }: &Partition, outcome: &Outcome) -> String {
    let Outcome::Blocked(Obstacle { reason, facts, .. }) = outcome else { return String::new() };
    let told = facts.contains_key(JOBS_WITHOUT_END);
    let why = match reason {
        Reason::IncompleteHistory => "nobody can tell whether its jobs were archived",
        Reason::UnknownJob => "where nobody will ever announce these jobs",
        Reason::ArchivePending if told => {
            "of some jobs only a begin is known; where that was long ago no end will come"
        }
        _ => return String::new(),
    };
    format!("  way out: {why}: gocdnext-flow retention adopt {name} --reason TEXT\n")
}

/// The outcome in one word, and what there is to say of it.
fn words(outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Ensured => ("made", String::new()),
        Outcome::WouldEnsure => ("to make", "it is missing".to_owned()),
        Outcome::Refused { why } => ("refused", why.clone()),
        Outcome::Young { due: Some(due) } => ("kept", format!("falls due after {}", time(*due))),
        Outcome::Young { due: None } => ("kept", "no default policy: nothing falls due".to_owned()),
        Outcome::Blocked(obstacle) => ("blocked", format!("{}: {}", obstacle.reason.name(), obstacle.why)),
        Outcome::Dropped(drop) => ("dropped", format!("{} lines", drop.rows)),
        Outcome::WouldDrop { found, .. } => ("to drop", format!("{} lines of {} jobs", found.rows, found.jobs)),
        Outcome::Next { found } => {
            ("to drop", format!("{} lines of {} jobs, in the next run: max_drops", found.rows, found.jobs))
        }
        Outcome::Back(drop) => {
            ("back", format!("dropped at {} and put back by somebody: left alone", time(drop.dropped_at)))
        }
        Outcome::Gone => ("gone", "somebody else has dropped or detached it".to_owned()),
        Outcome::Busy { why } => ("busy", why.clone()),
    }
}

/// An object with the clock and two lists.
pub fn json(report: &Report) -> String {
    let list = |of: &[(Partition, Outcome)]| {
        of.iter().map(|(partition, outcome)| one(partition, outcome)).collect::<Vec<_>>()
    };
    let whole = json!({
        "database_time": time(report.now),
        "missing": list(&report.ensured),
        "partitions": list(&report.partitions),
    });
    format!("{whole:#}\n")
}

fn one(partition: &Partition, outcome: &Outcome) -> Value {
    let (word, why) = words(outcome);
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
    put("partition", json!(partition.name));
    put("lower", json!(time(partition.lower)));
    put("upper", json!(time(partition.upper)));
    put("outcome", json!(word.replace(' ', "_")));
    put("reason", json!(why));
    match outcome {
        Outcome::Young { due: Some(due) } => put("due", json!(time(*due))),
        Outcome::Blocked(Obstacle { reason, facts, jobs, .. }) => {
            put("blocked_by", json!(reason.name()));
            put("facts", json!(facts));
            put("jobs", jobs.iter().map(|job| Uuid::from_u128(*job).to_string()).collect());
        }
        _ => {}
    }
    Value::Object(object)
}
