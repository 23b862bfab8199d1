//! `/metrics`, `/api/v1/snapshot` and `/api/v1/retention`: the published snapshot, rendered off the threads that serve connections.
//!
//! What must stay true: the rendering and nothing else decides what is shown (I2, I3), and only a few render at once
//! (I6), also where clients went away: the rendering itself holds its permit.

use super::{HttpState, answers::error, negotiate, texts::OnItsWay};
use crate::{
    clock::wall_ms,
    exposition::{self, Format},
};
use axum::{
    Extension,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::{sync::Arc, time::Instant};

/// How many scrapes are rendered at once; more wait, no longer than `http_timeout`.
pub const RENDERERS: usize = 4;

/// The series, in the format that `Accept` prefers.
pub async fn metrics(State(state): State<HttpState>, headers: HeaderMap) -> Response {
    let format = if state.force_text_format { Format::Text } else { negotiate::format(&headers) };
    let rendered = off_thread(&state, move |state| {
        let started = Instant::now();
        let text = exposition::render(&state.published, &state.settings, format, wall_ms());
        state.published.own.scrape_duration.observe(started.elapsed().as_secs_f64());
        text
    });
    answer(rendered.await, format.content_type())
}

/// The dataflow series as JSON.
pub async fn snapshot(State(state): State<HttpState>) -> Response {
    let rendered = off_thread(&state, |state| exposition::snapshot_json(&state.published, &state.settings));
    answer(rendered.await, "application/json")
}

/// What becomes of job logs, as JSON.
pub async fn retention(State(state): State<HttpState>) -> Response {
    if !state.retention {
        return error(StatusCode::NOT_FOUND, "retention is off: it is on where log_database is set");
    }
    let rendered = off_thread(&state, |state| exposition::retention_json(&state.published));
    answer(rendered.await, "application/json")
}

fn answer(rendered: Option<(Bytes, OnItsWay)>, content_type: &'static str) -> Response {
    let Some((body, on_its_way)) = rendered else {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "it could not be rendered; the log says more");
    };
    let headers =
        [(header::CONTENT_TYPE, content_type), (header::VARY, "accept"), (header::CACHE_CONTROL, "no-store")];
    (headers, Extension(on_its_way), body).into_response()
}

/// Renders on a thread that may be busy; `None` after a defect there.
async fn off_thread(
    state: &HttpState,
    render: impl FnOnce(&HttpState) -> String + Send + 'static,
) -> Option<(Bytes, OnItsWay)> {
    // first: what is rendered is of the moment at which it can be sent
    let place = state.texts.place().await?;
    let permit = Arc::clone(&state.renderers).acquire_owned().await.ok()?;
    let state = state.clone();
    let rendering = tokio::task::spawn_blocking(move || {
        let text = render(&state);
        drop(permit);
        text
    });
    let text = rendering.await.inspect_err(|error| tracing::error!(%error, "a scrape failed by a defect")).ok()?;
    Some(place.keep(text))
}
