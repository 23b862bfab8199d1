//! What `/api/v1/retention` says: all that the series of retention rest on, of the same committed epoch. docs/retention.md
//! describes it.

use super::retention::DECIDED;
use dataflows::{
    registry::Snapshot,
    retention::{
        Fate, Figures, Kind, Obstacle, Partition, Policies, Policy, RetentionInput, Shown,
        partitions::{Verdict, why},
    },
    time::Millis,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Partitions that are told of, the oldest first: forty years of months.
const MOST_PARTITIONS: usize = 480;
/// Projects whose policies are told.
const MOST_PROJECTS: usize = 1_000;

/// `snapshot`: `None` while nothing may be shown.
pub(super) fn of(snapshot: Option<&Snapshot>) -> Value {
    let shown = snapshot.and_then(|snapshot| Some((snapshot, snapshot.retention.as_deref()?)));
    let Some((snapshot, shown)) = shown else { return json!({ "epoch": null, "stream_time": null }) };
    let input = shown.input.as_deref();
    let catalogue = input.and_then(|input| input.catalogue.as_deref());
    let mut whole = Map::new();
    let mut put = |name: &str, value: Value| drop(whole.insert(name.to_owned(), value));
    put("epoch", json!(snapshot.epoch.0));
    put("stream_time", time(Some(snapshot.stream_time.0)));
    put("caught_up", json!(shown.moment.caught_up));
    put("complete_from", time(input.and_then(|input| input.complete_from)));
    put("policies", input.map_or(Value::Null, |input| policies(&input.policies)));
    put("archives", archives(&shown.figures));
    put("decisions", decisions(&shown.figures));
    put("database_time", time(catalogue.map(|catalogue| catalogue.now)));
    let listed = shown.partitions();
    put("partitions_total", json!(listed.as_ref().map(Vec::len)));
    put("pending_drops", listed.as_ref().map_or(Value::Null, |listed| pending(listed)));
    put("partitions", partitions(shown));
    Value::Object(whole)
}

fn time(time: Option<Millis>) -> Value {
    time.and_then(|time| jiff::Timestamp::from_millisecond(time).ok())
        .map_or(Value::Null, |time| json!(time.to_string()))
}

fn policies(policies: &Policies) -> Value {
    let one = |policy: &Policy| {
        let mut one = Map::new();
        one.insert("log_retention_days".to_owned(), json!(policy.log_retention_days));
        one.insert("archive".to_owned(), json!(policy.archive));
        one
    };
    let projects = policies.projects.iter().take(MOST_PROJECTS).map(|(project, policy)| {
        let mut one = one(policy);
        one.insert("project_id".to_owned(), json!(Uuid::from_u128(*project).to_string()));
        Value::Object(one)
    });
    json!({
        "longest_retention_days": policies.longest(),
        "default": policies.default.as_ref().map(one),
        "projects_total": policies.projects.len(),
        "projects": projects.collect::<Vec<_>>(),
    })
}

fn archives(figures: &Figures) -> Value {
    json!({
        "waiting": figures.waiting,
        "failing": figures.failing,
        "oldest_waiting_since": time(figures.oldest_waiting),
        "given_up_total": figures.given_up,
    })
}

/// By kind, then by outcome.
fn decisions(figures: &Figures) -> Value {
    let kinds = Kind::NAMES.into_iter().enumerate().map(|(index, kind)| {
        let fates = Fate::OF_KINDS[index].iter().map(|fate| (fate.name(), figures.fates[index][*fate as usize]));
        let outcomes = std::iter::once((DECIDED, figures.decisions[index])).chain(fates);
        (kind.to_owned(), outcomes.map(|(outcome, count)| (outcome.to_owned(), json!(count))).collect())
    });
    Value::Object(kinds.collect())
}

type Listed<'a> = (&'a Partition, Verdict, Option<&'a Obstacle>);

/// Those that are old enough and in whose way nothing was found, by name.
fn pending(listed: &[Listed]) -> Value {
    let free =
        listed.iter().filter(|(_, verdict, obstacle)| matches!(verdict, Verdict::Drop { .. }) && obstacle.is_none());
    free.take(MOST_PARTITIONS).map(|(partition, ..)| json!(partition.name)).collect()
}

fn partitions(shown: &Shown) -> Value {
    let Some((listed, input)) = shown.partitions().zip(shown.input.as_deref()) else { return Value::Null };
    listed.into_iter().take(MOST_PARTITIONS).map(|listed| partition(listed, input)).collect()
}

fn partition((partition, verdict, obstacle): Listed, input: &RetentionInput) -> Value {
    let (word, due, blocked_by) = match (verdict, obstacle) {
        (Verdict::Young { due }, _) => ("kept", due, None),
        (Verdict::Blocked { reason, due }, _) => ("blocked", Some(due), Some(reason.name())),
        (Verdict::Drop { due }, Some(obstacle)) => ("blocked", Some(due), Some(obstacle.reason.name())),
        (Verdict::Drop { due }, None) => ("to_drop", Some(due), None),
    };
    let jobs = obstacle
        .map(|obstacle| obstacle.jobs.iter().map(|job| Uuid::from_u128(*job).to_string()).collect::<Vec<_>>());
    json!({
        "partition": partition.name,
        "lower": time(Some(partition.lower)),
        "upper": time(Some(partition.upper)),
        "adopted": partition.adopted,
        "verdict": word,
        "due": time(due),
        "blocked_by": blocked_by,
        "reason": obstacle.map_or_else(|| why(verdict, partition, input), |obstacle| obstacle.why.clone()),
        "facts": obstacle.map(|obstacle| &obstacle.facts),
        "jobs": jobs,
    })
}
