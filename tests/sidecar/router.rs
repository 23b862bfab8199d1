//! What is shown, and that every way of asking shows the same (I2, I3), over the router alone.

use crate::support::published;
use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use dataflows::names::Names;
use flate2::read::GzDecoder;
use gocdnext_flow::{
    config::Config,
    http::{HttpState, app},
    published::Published,
};
use http_body_util::BodyExt;
use serde_json::Value;
use std::io::Read;
use tower::ServiceExt;

async fn ask(
    state: HttpState,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request =
        headers.iter().fold(Request::builder().method(method).uri(path), |r, (name, value)| r.header(*name, *value));
    let answer = app(state).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    (head.status, head.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

fn state() -> HttpState {
    HttpState::new(published(), &Config::default())
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

#[tokio::test]
async fn gzip_gives_the_same_series() {
    let (_, headers, body) = ask(state(), "GET", "/metrics", &[("accept-encoding", "gzip")]).await;
    assert_eq!(headers["content-encoding"], "gzip");
    let mut unzipped = String::new();
    GzDecoder::new(&*body).read_to_string(&mut unzipped).unwrap();
    let (_, headers, plain) = ask(state(), "GET", "/metrics", &[("accept-encoding", "identity")]).await;
    assert!(!headers.contains_key("content-encoding"));
    let dataflow =
        |text: &str| text.lines().filter(|line| line.starts_with("gocdnext_job")).collect::<Vec<_>>().join("\n");
    assert!(!dataflow(&unzipped).is_empty());
    assert_eq!(dataflow(&unzipped), dataflow(&text(plain)));
}

#[tokio::test]
async fn nothing_is_shown_before_it_is_published() {
    let waiting = || HttpState::new(Published::new(Names::new(1)), &Config::default());
    let (status, _, body) = ask(waiting(), "GET", "/metrics", &[]).await;
    assert_eq!(status, StatusCode::OK);
    let body = text(body);
    assert!(!body.contains("gocdnext_job") && !body.contains("gocdnext_flow_events_total"), "I2: {body}");
    assert!(body.contains("gocdnext_flow_build_info"), "own health is there: {body}");
    let (_, _, body) = ask(waiting(), "GET", "/api/v1/snapshot", &[]).await;
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["epoch"], Value::Null);
}

#[tokio::test]
async fn retention_is_told_where_it_is_on() {
    let published = || Published::new(Names::new(1));
    let off = HttpState::new(published(), &Config::default());
    let (status, _, body) = ask(off, "GET", "/api/v1/retention", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text(body).contains("log_database"));
    let config = Config { log_database: Some("sqlite:logs.db".parse().unwrap()), ..Config::default() };
    let (status, headers, body) = ask(HttpState::new(published(), &config), "GET", "/api/v1/retention", &[]).await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"application/json".parse().unwrap()));
    assert_eq!(text(body), r#"{"epoch":null,"stream_time":null}"#);
}

#[tokio::test]
async fn the_snapshot_says_what_metrics_say() {
    let (status, headers, body) = ask(state(), "GET", "/api/v1/snapshot", &[]).await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"application/json".parse().unwrap()));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["epoch"], 7);
    assert_eq!(body["stream_time"], "2023-11-14T22:13:20Z");
    let series = &body["series"];
    assert_eq!(series["gocdnext_jobs_scheduled_total"][0]["value"], 3);
    assert_eq!(series["gocdnext_flow_pipeline_info"][0]["labels"]["slug"], "deploy \"prod\"\\eu\nnow");
    let success = &series["gocdnext_job_duration_seconds"][0];
    assert_eq!(success["labels"]["status"], "success");
    assert_eq!((&success["value"]["sum"], &success["value"]["count"]), (&Value::from(7.25), &Value::from(1)));
    assert_eq!(success["value"]["buckets"]["10"], 1);
    assert_eq!(success["value"]["buckets"]["5"], 0);
}
