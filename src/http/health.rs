//! Liveness and readiness. Both answer from memory: a probe never waits for Kafka or a database.

use super::HttpState;
use crate::published::{LEASE_CHECK, STANDBY_CHECKS};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use std::sync::{PoisonError, atomic::Ordering};

/// 200 while the process lives; nothing else is asked.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 when every check holds, else 503: `{"ready": bool, "checks": {name: {"ok": bool, "error": why}}}`. One that stands
/// by says `"role": "standby"` with its check `lease`.
pub async fn readyz(State(state): State<HttpState>) -> Response {
    let standby = state.published.standby.load(Ordering::Acquire);
    let mut checks = state.published.checks.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    checks.retain(|name, _| !standby || STANDBY_CHECKS.contains(name));
    let ready = checks.values().all(Result::is_ok);
    let mut shown: Map<String, Value> = checks
        .into_iter()
        .map(|(name, held)| {
            let check = match held {
                Ok(()) => json!({ "ok": true }),
                Err(why) => json!({ "ok": false, "error": why }),
            };
            (name.to_owned(), check)
        })
        .collect();
    if standby {
        shown[LEASE_CHECK]["role"] = json!("standby");
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "checks": shown }))).into_response()
}
