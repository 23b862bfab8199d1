//! What is answered beside the content: the index, and errors as JSON that say what there is instead.

use axum::{
    Json,
    extract::Request,
    http::{Method, StatusCode, Uri},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::{any::Any, time::Duration};

/// Every path that exists, and what is there.
pub const PATHS: [(&str, &str); 5] = [
    ("/metrics", "the series, as Prometheus text 0.0.4 or OpenMetrics 1.0"),
    ("/healthz", "200 while the process lives"),
    ("/readyz", "200 when it keeps up, else 503; each check in JSON"),
    ("/api/v1/snapshot", "the last committed epoch, in JSON"),
    ("/api/v1/retention", "what becomes of job logs as of the same epoch, in JSON"),
];

/// `/`: where to look.
pub async fn index() -> String {
    let width = PATHS.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
    let lines = PATHS.map(|(path, what)| format!("  {path:width$}  {what}\n"));
    format!("gocdnext-flow {}\n\n{}", crate::version::full(), lines.concat())
}

/// 404, naming what exists.
pub async fn unknown_path(uri: Uri) -> Response {
    let exist = PATHS.map(|(path, _)| path).join(", ");
    error(StatusCode::NOT_FOUND, &format!("there is nothing at {}; there are {exist}", uri.path()))
}

/// 405; axum adds `Allow`.
pub async fn wrong_method(method: Method, uri: Uri) -> Response {
    error(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("{method} is not possible on {}; it can be read with GET", uri.path()),
    )
}

/// Ends a request that takes longer than it may.
pub async fn within(timeout: Duration, request: Request, next: Next) -> Response {
    tokio::time::timeout(timeout, next.run(request)).await.unwrap_or_else(|_| {
        let why = format!("not answered within {timeout:?}; try again, or give it longer with --http-timeout");
        error(StatusCode::SERVICE_UNAVAILABLE, &why)
    })
}

/// A defect in a handler costs one answer where panics unwind; in a release it ends the process (ADR 4). Its message is for
/// the log, not for the client.
#[expect(clippy::needless_pass_by_value, reason = "the signature that `CatchPanicLayer` asks for")]
pub fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(error = text, "a request failed by a defect");
    error(StatusCode::INTERNAL_SERVER_ERROR, "a defect in gocdnext-flow; its log says more")
}

/// `{"error": why}`
pub fn error(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}
