use super::*;
use crate::published::Published;
use dataflows::{
    event::{Delivery, DeliveryEvent, Kind, RunEvent, Status},
    machines::{Close, Closed, DeliveriesMachine, Machine, RunsMachine},
    names::Names,
    registry::Registry,
    state::Sweep,
    time::{Epoch, StreamTime},
};
use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// A small history through the real machines: one job that ran 2.5 s, one that waits, a webhook.
fn published(settings: &Settings) -> Arc<Published> {
    let names = Names::new(10);
    let (slug, name) = (names.intern("deploy \"prod\"\\eu"), names.intern("build"));
    let shared = Arc::new(settings.clone());
    let mut runs = RunsMachine::new(Arc::clone(&shared), 1);
    let mut deliveries = DeliveriesMachine::new(shared, 1);
    let event = RunEvent {
        kind: Kind::JobQueued,
        time: 1_000,
        tie: 0,
        run: 0xabc,
        project: 1,
        pipeline: 2,
        job: 3,
        agent: 0,
        trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
        attempt: 1,
        slug,
        name,
        status: Status::Success,
        dispatchable: true,
        exit_code: None,
    };
    runs.apply(&event);
    runs.apply(&RunEvent { kind: Kind::JobScheduled, time: 1_600, ..event });
    runs.apply(&RunEvent { kind: Kind::JobFinished, time: 4_100, ..event });
    runs.apply(&RunEvent { job: 4, time: 2_000, ..event });
    let what = Delivery::Webhook { provider: 0, outcome: 1 };
    deliveries.apply(&DeliveryEvent { time: 1_000, key: 9, what });
    let mut closed = Closed::new(settings);
    let at = Close { now: StreamTime(10_000), last: false, sweep: Sweep::default() };
    runs.close(at, &mut closed);
    let mut other = Closed::new(settings);
    deliveries.close(at, &mut other);
    closed.deltas.merge(&other.deltas);
    let snapshot = Registry::new(settings).fold(Epoch(7), at.now, closed.deltas);
    let published = Published::new(names);
    published.snapshot.store(Some(Arc::new(snapshot)));
    published.own.committed_epoch.store(7, Relaxed);
    published.own.committed_at_ms.store(10_500, Relaxed);
    published.own.stream_time_ms.store(10_000, Relaxed);
    published.own.lag.lock().unwrap().insert(0, 5);
    published
}

fn small_buckets() -> Settings {
    Settings { duration_buckets_ms: vec![1_000, 2_500, 10_000], queue_buckets_ms: vec![500, 1_000], ..<_>::default() }
}

/// What does not depend on the machine or the moment.
fn stable(text: &str) -> String {
    let unstable = ["process_", "gocdnext_flow_tokio_", "gocdnext_flow_build_info{"];
    let kept = text.lines().filter(|line| !unstable.iter().any(|prefix| line.contains(prefix)));
    kept.fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn text_format() {
    let settings = small_buckets();
    insta::assert_snapshot!(stable(&render(&published(&settings), &settings, Format::Text, 12_000)));
}

#[test]
fn open_metrics_differs_where_it_must() {
    let settings = small_buckets();
    let published = published(&settings);
    let text = render(&published, &settings, Format::OpenMetrics, 12_000);
    assert!(text.ends_with("# EOF\n"));
    assert!(text.contains("# TYPE gocdnext_jobs_scheduled counter\n"), "family without _total");
    assert!(text.contains("gocdnext_jobs_scheduled_total{pipeline="));
    let bucket = "gocdnext_job_duration_seconds_bucket{status=\"success\",le=\"2.5\"} 1 \
        # {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 2.5\n";
    assert!(text.contains(bucket), "the exemplar lies in its bucket: {text}");
    assert!(text.contains("status=\"success\",le=\"10.0\"} 1\n"));
    assert!(!render(&published, &settings, Format::Text, 0).contains(" # {"));
}

#[test]
fn nothing_but_own_health_before_the_first_publication() {
    let text = render(&Published::new(Names::new(1)), &Settings::default(), Format::Text, 0);
    let series = |line: &&str| !line.starts_with('#');
    let foreign = |line: &&str| !line.starts_with("gocdnext_flow_") && !line.starts_with("process_");
    assert_eq!(text.lines().filter(series).filter(foreign).collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(!text.contains("gocdnext_flow_caught_up"), "unknown is not 0");
    assert!(!text.contains("gocdnext_flow_events_total") && !text.contains("gocdnext_flow_committed_epoch"));
    assert!(!text.contains("gocdnext_flow_stream_time_seconds"), "no false time");
}

#[test]
fn every_family_of_the_catalogue_is_written_in_every_format() {
    let settings = Settings::default();
    let published = published(&settings);
    let text = render(&published, &settings, Format::Text, 0);
    let json: serde_json::Value = serde_json::from_str(&snapshot_json(&published, &settings)).unwrap();
    for family in dataflows::series::CATALOGUE {
        assert!(text.contains(&format!("# TYPE {} ", family.name)), "{}", family.name);
        assert!(json["series"][family.name].as_array().is_some_and(|s| !s.is_empty()), "{}", family.name);
    }
    assert_eq!(json["epoch"], 7);
}

#[test]
fn seconds_are_exact() {
    for (ms, wanted) in [(0, "0"), (1, "0.001"), (1_500, "1.5"), (-2_000, "-2"), (86_400_000, "86400")] {
        assert_eq!(text::seconds(ms), wanted);
    }
}

#[tokio::test]
async fn promtool_has_nothing_to_say() {
    let settings = Settings::default();
    let text = render(&published(&settings), &settings, Format::Text, 12_000);
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: promtool is not installed");
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert!(output.status.success());
}

#[test]
fn open_metrics_format() {
    let settings = small_buckets();
    let text = stable(&render(&published(&settings), &settings, Format::OpenMetrics, 12_000));
    // own health's histograms are the crate's; the text format shows them
    let own = text.find("# HELP gocdnext_flow_commit_duration_seconds").unwrap();
    insta::assert_snapshot!(text[..own]);
}

mod grammar;
mod reference;
mod relabelling;
mod retention;
