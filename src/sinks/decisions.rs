//! A decision of retention as a CloudEvent (schemas/decisions): a function of the decision alone.

use crate::store::Outgoing;
use dataflows::retention::{Decision, Kind, Subject, partitions::told};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Who decides; the same for every instance, since a decision is the same whoever makes it.
pub const SOURCE: &str = "/gocdnext-flow";
/// In front of [`Kind::name`].
pub const TYPE_PREFIX: &str = "io.gocdnext.retention.";

/// The event, ready for the outbox.
#[must_use]
pub fn outgoing(decision: &Decision) -> Outgoing {
    Outgoing { id: text(decision.id), body: event(decision).to_string() }
}

/// The event as JSON.
#[must_use]
pub fn event(decision: &Decision) -> Value {
    json!({
        "specversion": "1.0",
        "id": text(decision.id),
        "source": SOURCE,
        "type": format!("{TYPE_PREFIX}{}", decision.kind.name()),
        "time": told(decision.time),
        "datacontenttype": "application/json",
        "data": data(decision),
    })
}

fn data(decision: &Decision) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| drop(data.insert(name.to_owned(), value));
    match &decision.subject {
        Subject::Partition(name) => put("partition", json!(name)),
        Subject::Archive { job, attempt, run, project, ended_at, try_ } => {
            put("project_id", json!(text(*project)));
            put("run_id", json!(text(*run)));
            put("job_id", json!(text(*job)));
            put("attempt", json!(attempt));
            put("ended_at", json!(told(*ended_at)));
            put("try", json!(try_));
        }
    }
    if let Kind::Blocked(reason) = decision.kind {
        put("blocked_by", json!(reason.name()));
    }
    put("reason", json!(decision.reason));
    put("facts", json!(decision.facts));
    data
}

fn text(id: u128) -> String {
    Uuid::from_u128(id).to_string()
}
