//! Each path and each refusal, by calling the router.

use super::*;
use crate::http::{app, bounded};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
    routing::get,
};
use flate2::read::GzDecoder;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::{io::Read as _, sync::atomic::Ordering};
use tower::ServiceExt as _;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(app: Router, request: Request<Body>) -> Answer {
    let (parts, body) = app.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn get_with(state: HttpState, path: &str, name: header::HeaderName, value: &str) -> Answer {
    let request = Request::get(path).header(name, value).body(Body::empty()).unwrap();
    ask(app(state), request).await
}

async fn get_path(path: &str) -> Answer {
    ask(app(state()), Request::get(path).body(Body::empty()).unwrap()).await
}

const SERIES: &str = "gocdnext_jobs_scheduled_total{pipeline=\"00000000-0000-0000-0000-000000000002\",\
                      project=\"00000000-0000-0000-0000-000000000001\"} 3\n";

#[tokio::test]
async fn metrics_are_text_unless_asked_otherwise() {
    let answer = get_path("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header(header::CONTENT_TYPE), "text/plain; version=0.0.4; charset=utf-8");
    assert!(answer.text().contains(SERIES), "{}", answer.text());
    assert!(!answer.text().ends_with("# EOF\n"));
    let vary: Vec<_> = answer.headers.get_all(header::VARY).iter().collect();
    assert_eq!(vary, ["accept", "accept-encoding"]);
}

#[tokio::test]
async fn metrics_are_open_metrics_where_preferred_and_not_forced() {
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let answer = get_with(state(), "/metrics", header::ACCEPT, accept).await;
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(answer.text().contains(SERIES) && answer.text().ends_with("# EOF\n"));
    let forced = HttpState::new(published(), &Config { force_text_format: true, ..Config::default() });
    let answer = get_with(forced, "/metrics", header::ACCEPT, accept).await;
    assert_eq!(answer.header(header::CONTENT_TYPE), "text/plain; version=0.0.4; charset=utf-8");
}

#[tokio::test]
async fn metrics_are_packed_where_accepted() {
    let answer = get_with(state(), "/metrics", header::ACCEPT_ENCODING, "gzip").await;
    assert_eq!(answer.header(header::CONTENT_ENCODING), "gzip");
    let mut text = String::new();
    GzDecoder::new(answer.body.as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.contains(SERIES));
    let answer = get_with(state(), "/metrics", header::ACCEPT_ENCODING, "gzip;q=0").await;
    assert_eq!(answer.header(header::CONTENT_ENCODING), "");
}

#[tokio::test]
async fn a_scrape_counts_in_the_next_one() {
    let state = state();
    let count = "gocdnext_flow_scrape_duration_seconds_count";
    let first = get_with(state.clone(), "/metrics", header::ACCEPT, "*/*").await;
    let second = get_with(state, "/metrics", header::ACCEPT, "*/*").await;
    assert!(first.text().contains(&format!("{count} 0\n")));
    assert!(second.text().contains(&format!("{count} 1\n")));
}

#[tokio::test]
async fn the_snapshot_is_json() {
    let answer = get_path("/api/v1/snapshot").await;
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/json");
    assert_eq!(answer.json()["epoch"], 7);
    assert_eq!(answer.json()["series"]["gocdnext_jobs_scheduled_total"][0]["value"], 3);
}

#[tokio::test]
async fn it_lives_whatever_the_checks_say() {
    let answer = get_path("/healthz").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok\n"));
}

#[tokio::test]
async fn it_is_ready_when_every_check_holds() {
    let state = state();
    let set = |name, held| state.published.checks.0.lock().unwrap().insert(name, held);
    for name in ["database", "kafka", "catch_up", "lease"] {
        set(name, Ok(()));
    }
    set("commits", Err("the last commit is 45 s old".to_owned()));
    let answer = get_with(state.clone(), "/readyz", header::ACCEPT, "*/*").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let commits = json!({ "ok": false, "error": "the last commit is 45 s old" });
    let well = json!({ "ok": true });
    let checks = json!({ "database": well, "kafka": well, "catch_up": well, "commits": commits, "lease": well });
    assert_eq!(answer.json(), json!({ "ready": false, "checks": checks }));
    set("commits", Ok(()));
    let answer = get_with(state.clone(), "/readyz", header::ACCEPT, "*/*").await;
    assert_eq!((answer.status, answer.json()["ready"].as_bool()), (StatusCode::OK, Some(true)));
}

#[tokio::test]
async fn a_standby_is_ready_when_it_may_take_over() {
    let state = state();
    state.published.standby.store(true, Ordering::Release);
    state.published.check("database", Ok(()));
    for (held, status) in
        [(Err("another holds it".to_owned()), StatusCode::SERVICE_UNAVAILABLE), (Ok(()), StatusCode::OK)]
    {
        state.published.check("lease", held);
        let answer = get_with(state.clone(), "/readyz", header::ACCEPT, "*/*").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.json()["checks"]["lease"]["role"], "standby");
        assert_eq!(answer.json()["checks"].as_object().map(serde_json::Map::len), Some(2), "it reads nothing");
    }
}

#[tokio::test]
async fn unknown_paths_are_told_what_exists() {
    for path in ["/metric", "/api/v2", "/healthz/", "//metrics"] {
        let answer = get_path(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        let error = answer.json()["error"].to_string();
        assert!(error.contains(path) && error.contains("/metrics, /healthz, /readyz, /api/v1/snapshot"), "{error}");
    }
    let index = get_path("/").await;
    assert!(index.text().contains("/api/v1/snapshot"));
}

#[tokio::test]
async fn wrong_methods_are_told_the_right_ones() {
    for path in ["/metrics", "/healthz", "/readyz", "/api/v1/snapshot", "/"] {
        let answer = ask(app(state()), Request::delete(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.header(header::ALLOW), "GET,HEAD");
        assert!(answer.json()["error"].as_str().unwrap().contains("DELETE is not possible"));
        let answer = ask(app(state()), Request::head(path).body(Body::empty()).unwrap()).await;
        assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(answer.body.is_empty());
    }
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let body = vec![0_u8; Config::default().http_max_request_bytes + 1];
    let request =
        Request::post("/metrics").header(header::CONTENT_LENGTH, body.len()).body(Body::from(body)).unwrap();
    assert_eq!(ask(app(state()), request).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_defect_costs_one_answer() {
    let paths = Router::new().route("/", get(async || -> &'static str { panic!("provoked") }));
    let answer = ask(bounded(paths, state().limits), Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.text().contains("provoked"), "the message is for the log");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let paths = Router::new().route("/", get(std::future::pending::<&'static str>));
    let app = bounded(paths, limits(1, Duration::from_millis(1)));
    let answer = ask(app, Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.json()["error"].as_str().unwrap().contains("--http-timeout"));
}
