//! The graph end to end, from bytes to epochs: whole, in order, the same with any number of workers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

use dataflows::{
    event::Kind,
    feed::{Batch, CatchUp, EpochEnd, PartitionProgress},
    graph::{self, EpochOutput, Feeder, Restore},
    names::Names,
    registry::{Registry, Snapshot},
    retention::{Policies, Policy, RetentionInput, RetentionOutput},
    sequencer::{Clock, Maxima},
    settings::{Retention, Settings},
    time::{Epoch, NextOffset, StreamTime},
};
use std::{fmt::Write, fs, path::Path, sync::Arc};

const JOBS: u32 = 400;

/// One structured event, `second` seconds after midnight.
fn event(kind: &str, job: u32, second: u32, extra: &str) -> String {
    let time = format!("2026-01-01T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
    let pipeline = job % 5;
    format!(
        r#"{{"specversion":"1.0","id":"{kind}-{job}","source":"test","type":"io.gocdnext.{kind}","time":"{time}","data":{{"project_id":"00000000-0000-0000-0000-00000000000a","pipeline_id":"00000000-0000-0000-0000-{pipeline:012}","pipeline":"p{pipeline}","run_id":"00000000-0000-0000-0001-{job:012}","job_id":"00000000-0000-0000-0002-{job:012}","job":"build"{extra}}}}}"#
    )
}

/// The whole life of [`JOBS`] jobs, in order of time, with a line of garbage.
fn log() -> Vec<String> {
    let mut lines = vec![];
    for job in 0..JOBS {
        lines.push((job * 10, event("job.queued", job, job * 10, "")));
        lines.push((job * 10 + 5, event("job.scheduled", job, job * 10 + 5, "")));
        lines.push((job * 10 + 25, event("job.finished", job, job * 10 + 25, r#","status":"success""#)));
    }
    lines.push((50, "garbage".to_owned()));
    lines.sort_by_key(|(second, _)| *second);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Every project archives its logs.
fn archiving() -> RetentionInput {
    let default = Some(Policy { log_retention_days: 30, archive: true });
    RetentionInput { policies: Arc::new(Policies { default, ..Policies::default() }), ..RetentionInput::default() }
}

fn end(epoch: u64, last: bool) -> EpochEnd {
    let state = if last { CatchUp::CaughtUp } else { CatchUp::Behind };
    let partitions = vec![PartitionProgress { partition: 0, next_offset: NextOffset(1), state }];
    EpochEnd {
        epoch: Epoch(epoch),
        next_epoch: Epoch(epoch + 1),
        partitions,
        wall: None,
        last,
        retention: Some(Arc::new(archiving())),
    }
}

fn feed(feeder: &mut Feeder, lines: &[String], lines_an_epoch: usize) {
    let epochs = lines.chunks(lines_an_epoch).len() as u64;
    for (epoch, lines) in (1..).zip(lines.chunks(lines_an_epoch)) {
        for batch in lines.chunks(7) {
            let mut bytes = String::new();
            for line in batch {
                writeln!(bytes, "{line}").unwrap();
            }
            feeder.batch(Batch { bytes: bytes.into_bytes(), ..Batch::default() }).unwrap();
        }
        feeder.end(end(epoch, epoch == epochs)).unwrap();
    }
}

fn run(lines: &[String], workers: usize, lines_an_epoch: usize) -> Vec<EpochOutput> {
    run_with(Settings::default(), lines, workers, lines_an_epoch)
}

fn run_with(settings: Settings, lines: &[String], workers: usize, lines_an_epoch: usize) -> Vec<EpochOutput> {
    let config = graph::Config {
        settings: Arc::new(settings),
        workers,
        clock: Clock::Log,
        names: Names::new(100),
        first_epoch: Epoch(1),
        sweep: None,
    };
    let mut running = graph::start(config).unwrap();
    feed(&mut running.feeder, lines, lines_an_epoch);
    drop(running.feeder);
    let outputs = running.outputs.iter().collect();
    running.workers.join().unwrap();
    outputs
}

fn fold(outputs: &[EpochOutput]) -> Vec<Snapshot> {
    let mut registry = Registry::new(&Settings::default());
    outputs.iter().map(|o| registry.fold(o.end.epoch, o.stream_time, o.deltas.clone())).collect()
}

#[test]
fn any_number_of_workers_gives_the_same_epochs() {
    let lines = log();
    let one = run(&lines, 1, 100);
    let snapshots = fold(&one);
    assert_eq!(one.iter().map(|o| o.end.epoch.0).collect::<Vec<_>>(), (1..=13).collect::<Vec<_>>());
    assert_eq!(one.iter().map(|o| o.records).sum::<u64>(), 3 * u64::from(JOBS) + 1);
    let last = snapshots.last().unwrap();
    assert_eq!(last.stream_time, StreamTime(1_767_225_600_000 + i64::from(JOBS * 10 + 15) * 1000));
    let durations = &last.totals.job_duration[0];
    assert_eq!((durations.count(), durations.sum_ms), (u64::from(JOBS), i64::from(JOBS) * 20_000));
    assert_eq!((last.totals.jobs_running, last.totals.jobs_pending), (0, 0));
    for workers in [2, 4] {
        let several = run(&lines, workers, 100);
        for (a, b) in snapshots.iter().zip(fold(&several)) {
            assert_eq!((a.epoch, a.stream_time, &a.totals), (b.epoch, b.stream_time, &b.totals), "{workers} workers");
            assert_eq!(a.jobs_scheduled, b.jobs_scheduled);
        }
    }
}

#[test]
fn with_retention_on_every_ended_job_is_asked_for_and_told_to_the_ledger() {
    let settings = Settings { retention: Retention { on: true, ..Retention::default() }, ..Settings::default() };
    let mut lines = log();
    let archived = |job: u32, second| event("log.archived", job, second, r#","result":"success""#);
    lines.push(archived(3, 4_100));
    lines.push(archived(4, 4_100));
    lines.push(event("job.queued", JOBS, 30_000, ""));
    let one = run_with(settings.clone(), &lines, 1, 100);
    let asked: Vec<_> = one.iter().flat_map(|o| &o.retention.decisions).collect();
    assert_eq!(asked.len(), JOBS as usize, "they are archived only after the time on which they were asked for");
    let last = one.last().unwrap();
    assert_eq!(last.retention.waiting, u64::from(JOBS) - 2);
    for workers in [2, 4] {
        let several = run_with(settings.clone(), &lines, workers, 100);
        for (a, b) in one.iter().zip(&several) {
            assert_eq!(a.retention, b.retention, "{workers} workers");
        }
    }
    assert!(run(&lines, 2, 100).iter().all(|o| o.retention == RetentionOutput::default()), "off");
}

/// The example that the contract has of each type, alone: decoded, routed, taken in.
#[test]
fn every_type_of_event_reaches_a_machine_that_knows_it() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/examples/valid");
    for kind in Kind::ALL {
        let file = examples.join(format!("{}.json", kind.name()));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let example: serde_json::Value = serde_json::from_str(&text).unwrap();
        let output = run(&[example.to_string()], 1, 1).pop().unwrap();
        assert_eq!(output.deltas.quality.events[kind as usize], 1, "{}", kind.name());
        assert!(output.touched > 0, "{}: no machine keeps anything of it", kind.name());
    }
}

#[test]
fn what_was_read_of_a_partition_before_a_restart_still_says_how_far_it_is() {
    let config = graph::Config {
        settings: Arc::new(Settings::default()),
        workers: 2,
        clock: Clock::Log,
        names: Names::new(100),
        first_epoch: Epoch(1),
        sweep: None,
    };
    let at = |second: i64| 1_767_225_600_000 + second * 1_000;
    let maxima = Maxima([(0, at(100)), (1, at(900))].into());
    let restore = Restore { stream_time: StreamTime(at(100)), maxima, blobs: Box::new(std::iter::empty()) };
    let mut running = graph::resume(config, restore).unwrap();
    let bytes = event("job.queued", 1, 500, "").into_bytes();
    running.feeder.batch(Batch { bytes, ..Batch::default() }).unwrap();
    let behind = |partition| PartitionProgress { partition, next_offset: NextOffset(1), state: CatchUp::Behind };
    running.feeder.end(EpochEnd { partitions: vec![behind(0), behind(1)], ..end(1, true) }).unwrap();
    drop(running.feeder);
    let times: Vec<_> = running.outputs.iter().map(|output| output.stream_time).collect();
    running.workers.join().unwrap();
    assert_eq!(times, [StreamTime(at(500))], "the other partition is at 900");
}

#[test]
fn garbage_is_handed_out_as_a_dead_letter_of_its_epoch() {
    let outputs = run(&log(), 2, 2_000);
    let letters: Vec<_> = outputs.iter().flat_map(|o| &o.dead_letters).collect();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value, b"garbage");
}

#[test]
fn each_ended_job_gives_a_result() {
    let outputs = run(&log(), 2, 333);
    let results: Vec<_> = outputs.iter().flat_map(|o| &o.results).collect();
    assert_eq!(results.len(), JOBS as usize);
    assert!(results.iter().all(|r| (r.wait_ms, r.duration_ms) == (Some(5_000), Some(20_000))));
}

#[test]
fn an_epoch_that_the_feeder_breaks_off_is_not_handed_out() {
    let config = graph::Config {
        settings: Arc::new(Settings::default()),
        workers: 2,
        clock: Clock::Log,
        names: Names::new(100),
        first_epoch: Epoch(1),
        sweep: None,
    };
    let mut running = graph::start(config).unwrap();
    feed(&mut running.feeder, &log()[..20], 20);
    let bytes = log()[20].clone().into_bytes();
    running.feeder.batch(Batch { bytes, ..Batch::default() }).unwrap();
    drop(running.feeder);
    assert_eq!(running.outputs.iter().count(), 1);
    running.workers.join().unwrap();
}
