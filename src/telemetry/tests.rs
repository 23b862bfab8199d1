use super::*;
use dataflows::{event::Status, graph::JobResult, names::Names};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tracing::{info, warn};

/// What was written, shared with the writer.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

thread_local! {
    static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_600_000 + NOW.get())
}

fn logged(burst: u32, log: impl FnOnce(&Lines)) -> Written {
    let written = Written::default();
    let lines = Lines::new(Box::new(written.clone()), burst, clock);
    NOW.set(0);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines.clone()), || log(&lines));
    written
}

fn result() -> JobResult {
    JobResult {
        run: 0xaaaa,
        job: 0xbbbb,
        attempt: 2,
        project: 1,
        pipeline: 2,
        slug: dataflows::names::NameId::OTHER,
        name: dataflows::names::NameId::OTHER,
        agent: 0,
        trace: 0,
        status: Some(Status::Failed),
        exit_code: Some(137),
        dispatchable_at: None,
        dispatched_at: None,
        ended_at: Some(5),
        wait_ms: None,
        duration_ms: Some(1_500),
    }
}

#[test]
fn a_line_is_flat_with_time_level_and_message_first() {
    let written = logged(10, |_| {
        let error = io::Error::other("no \"route\"\nto host");
        warn!(error = &error as &dyn std::error::Error, attempt = 3, ratio = 0.5, ok = true, "cannot reach {}", "db");
    });
    let wanted = concat!(
        r#"{"time":"2026-01-01T00:00:00.000Z","level":"WARN","msg":"cannot reach db","#,
        r#""error":"no \"route\"\nto host","attempt":3,"ratio":0.5,"ok":true}"#,
        "\n"
    );
    assert_eq!(written.text(), wanted);
}

#[test]
fn a_job_result_bears_the_agreed_names() {
    let names = Names::new(5);
    let known = JobResult {
        slug: names.intern("deploy"),
        name: names.intern("build"),
        agent: 0xcccc,
        trace: 0xdddd,
        ..result()
    };
    let written = logged(1, |_| {
        job_result(&known, &names);
        job_result(&JobResult { exit_code: None, duration_ms: None, ..result() }, &names);
        job_result(&JobResult { status: None, ..result() }, &names);
    });
    insta::assert_snapshot!(written.text());
}

#[test]
fn a_flood_is_cut_and_says_how_much_it_left_out() {
    let written = logged(10, |lines| {
        for n in 0..1_000 {
            warn!(n, "bad record");
        }
        info!("something else");
        NOW.set(60_000);
        info!("a minute later");
        for n in 0..20 {
            warn!(n, "bad record");
        }
        lines.finish();
    });
    let lines = written.lines();
    let left_out: Vec<_> = lines.iter().filter_map(|line| line["left_out"].as_u64()).collect();
    assert_eq!(left_out, [990, 10]);
    assert_eq!(lines.iter().filter(|line| line["msg"] == "bad record" && line.get("n").is_some()).count(), 20);
    assert_eq!(lines[11]["left_out"], 990, "said with the first line after the minute: {}", lines[11]);
}

#[test]
fn job_results_and_what_is_no_trouble_are_never_cut() {
    let names = Names::new(5);
    let written = logged(1, |_| {
        for partition in 0..100 {
            job_result(&result(), &names);
            info!(partition, "a partition of the logs was dropped");
        }
    });
    assert_eq!(written.lines().len(), 200);
}

#[test]
fn a_span_follows_from_job_and_attempt() {
    assert_eq!(span_id(7, 1), span_id(7, 1));
    assert_ne!(span_id(7, 1), span_id(7, 2));
    assert_ne!(span_id(7, 1), span_id(8, 1));
}

#[test]
fn a_wrong_filter_is_a_clear_error() {
    let error = init("gocdnext_flow=loud", Target::Stderr, 1).unwrap_err().to_string();
    assert!(error.starts_with("log_level: cannot read the filter `gocdnext_flow=loud`"), "{error}");
}
