//! A real year of jobs gives exactly the figures that any correct reading of it gives, in order or not (I1).
//!
//! The figures are those of `examples/kth-sp2/README.md`, which were taken from the rows by other means.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

use dataflows::{event::Status, feed::Records, registry::Snapshot, series::Quality};
use gocdnext_flow::{
    config::Config,
    sources::files::Files,
    wiring::{InputFormat, ReplayOptions, Replayed, read_files},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

const DAY_MS: i64 = 86_400_000;
const BOUNDS_S: [i64; 14] = [1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400];
const SUCCESS: [u64; 14] = [195, 514, 1248, 5179, 6398, 7576, 9140, 10332, 12350, 13624, 15501, 18548, 20050, 20451];
const FAILED: [u64; 14] = [7, 112, 345, 1589, 2043, 2420, 2948, 3273, 3919, 4304, 4656, 6029, 6813, 7775];

fn log() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kth-sp2/kth_sp2_jobs.csv.gz")
}

fn options(format: InputFormat, files: &[PathBuf]) -> ReplayOptions {
    let time_origin = (format == InputFormat::JobLog).then_some(843_480_031_000);
    ReplayOptions {
        files: files.to_vec(),
        format,
        time_origin,
        metrics_out: None,
        dead_letters: None,
        log_jobs: false,
        state: None,
    }
}

fn config(workers: usize) -> Config {
    let mut config = Config { workers, ..Config::default() };
    config.dataflow.job_ttl_ms = 10_000 * DAY_MS;
    config.dataflow.queue_ttl_ms = 10_000 * DAY_MS;
    config.dataflow.duration_buckets_ms = BOUNDS_S.map(|bound| bound * 1_000).to_vec();
    config
}

/// With the grace and the memory that an unordered log needs.
fn patient(workers: usize) -> Config {
    let mut config = config(workers);
    config.dataflow.late_grace_ms = 10_000 * DAY_MS;
    config.dataflow.dedup_window_ms = 10_000 * DAY_MS;
    config
}

/// The log's events as the importer makes them, in its order.
fn events() -> Vec<Vec<u8>> {
    let mut files = Files::open(&options(InputFormat::JobLog, &[log()])).unwrap();
    let mut lines = Vec::new();
    while let Some(step) = files.next(Vec::new()).unwrap() {
        assert!(matches!(step.batch.records, Records::Lines { .. }));
        assert!(step.rejected.is_empty());
        lines.extend(step.batch.bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
    }
    lines
}

fn cumulative(snapshot: &Snapshot, status: Status) -> Vec<u64> {
    let buckets = snapshot.totals.job_duration[status as usize].buckets.iter();
    let sums = buckets.scan(0, |sum, bucket| {
        *sum += bucket;
        Some(*sum)
    });
    sums.collect()
}

/// Every figure of the example's README.
fn assert_figures(replayed: &Replayed) {
    let (snapshot, summary) = (&replayed.snapshot, &replayed.summary);
    let totals = &snapshot.totals;
    let histogram = |status: Status| &totals.job_duration[status as usize];
    assert_eq!(summary.by_status, [20_541, 7_948, 0, 0, 0]);
    assert_eq!(histogram(Status::Success).count(), 20_541);
    assert_eq!(histogram(Status::Failed).count(), 7_948);
    assert_eq!(cumulative(snapshot, Status::Success), [&SUCCESS[..], &[20_541]].concat());
    assert_eq!(cumulative(snapshot, Status::Failed), [&FAILED[..], &[7_948]].concat());
    assert_eq!(histogram(Status::Success).sum_ms, 126_210_233_000);
    assert_eq!(histogram(Status::Failed).sum_ms, 126_673_554_000);
    assert_eq!((totals.job_queue.count(), totals.job_queue.sum_ms), (28_489, 438_457_452_000));
    assert_eq!((summary.wait.count, summary.wait.sum), (28_489, 438_457_452_000));
    assert_eq!((summary.duration.count, summary.duration.sum), (28_489, 252_883_787_000));
    let projects: HashSet<u128> = snapshot.pipelines.keys().map(|pair| pair.project).collect();
    assert_eq!((projects.len(), summary.projects), (214, 214));
    assert_eq!(snapshot.jobs_scheduled.values().sum::<u64>(), 28_489);
    assert_eq!((summary.most_running, summary.most_waiting), (45, 84));
    let gauges = [totals.jobs_running, totals.jobs_pending, totals.jobs_dispatchable, totals.runs_queued];
    assert_eq!(gauges, [0; 4], "the log ends with nothing open");
    assert_eq!((summary.open, summary.reclaimed, summary.lost, summary.late, summary.conflicts), (0, 0, 0, 0, 0));
}

#[test]
fn the_job_log_gives_every_figure_with_any_number_of_workers() {
    for workers in [1, 2, 4] {
        let replayed = read_files(config(workers), &options(InputFormat::JobLog, &[log()])).unwrap();
        assert_figures(&replayed);
        let summary = &replayed.summary;
        assert_eq!((summary.records, summary.events, summary.duplicates), (199_423, 199_423, 0));
    }
}

/// Lines that no decoder may take, in turn.
fn garbage(turn: usize, event: &[u8]) -> Vec<u8> {
    match turn % 5 {
        0 => b"%PDF-1.4 not an event\n".to_vec(),
        1 => [b"\xff\xfe", event].concat(),
        2 => [&event[..event.len() / 2], b"\n"].concat(),
        3 => [&[b'['; 500][..], b"\n"].concat(),
        _ => String::from_utf8_lossy(event).replace("\"run_id\"", "\"run_ib\"").into_bytes(),
    }
}

struct Disturbed {
    lines: Vec<Vec<u8>>,
    doubled: u64,
    garbage: Vec<Vec<u8>>,
}

/// Shuffles within `window` lines, sends one in ten twice, puts garbage between (one in a hundred).
fn disturb(events: &[Vec<u8>], window: usize, seed: u64) -> Disturbed {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut placed: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut disturbed = Disturbed { lines: Vec::new(), doubled: 0, garbage: Vec::new() };
    for (place, event) in events.iter().enumerate() {
        placed.push((place + random.random_range(0..window), event.clone()));
        if random.random_bool(0.1) {
            placed.push((place + random.random_range(0..window), event.clone()));
            disturbed.doubled += 1;
        }
        if random.random_bool(0.01) {
            let line = garbage(disturbed.garbage.len(), event);
            placed.push((place + random.random_range(0..window), line.clone()));
            disturbed.garbage.push(line);
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    disturbed.lines = placed.into_iter().map(|(_, line)| line).collect();
    disturbed
}

/// The values kept in a file of dead letters, sorted.
fn kept(path: &Path) -> Vec<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = fs::read_to_string(path).unwrap();
    let values = text.lines().map(|line| {
        let letter: serde_json::Value = serde_json::from_str(line).unwrap();
        match (letter["value"].as_str(), letter["value_base64"].as_str()) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(text)) => STANDARD.decode(text).unwrap(),
            other => panic!("one of both: {other:?}"),
        }
    });
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values
}

#[test]
fn shuffled_doubled_and_littered_it_gives_the_same() {
    let events = events();
    let directory = tempfile::tempdir().unwrap();
    for (workers, seed) in [(1, 11), (2, 12), (4, 13)] {
        let mut disturbed = disturb(&events, 5_000, seed);
        assert!(disturbed.doubled > 19_000 && disturbed.garbage.len() > 1_900);
        let (file, letters) = (directory.path().join("events.ndjson"), directory.path().join("rejected.ndjson"));
        fs::write(&file, disturbed.lines.concat()).unwrap();
        let mut options = options(InputFormat::Events, &[file]);
        options.dead_letters = Some(letters.clone());
        // odd epochs, to cut the log at places that mean nothing
        let config = Config { epoch_records: 7_777, ..patient(workers) };
        let replayed = read_files(config, &options).unwrap();
        assert_figures(&replayed);
        let summary = &replayed.summary;
        // a start that is read after its job has settled tells nothing new either
        assert!((disturbed.doubled..disturbed.doubled + 3 * 28_489).contains(&summary.duplicates));
        assert_eq!(summary.events, 199_423 + disturbed.doubled);
        assert_eq!(summary.rejected.iter().sum::<u64>(), disturbed.garbage.len() as u64);
        let lines = disturbed.garbage.iter_mut();
        lines.for_each(|line| line.truncate(line.len() - 1));
        disturbed.garbage.sort_unstable();
        assert_eq!(kept(&letters), disturbed.garbage, "every byte of the garbage is kept");
    }
}

/// The series that I1 speaks of, without names' numbers and exemplars.
fn series(replayed: Replayed) -> impl PartialEq + std::fmt::Debug {
    let mut snapshot = replayed.snapshot;
    let totals = &mut snapshot.totals;
    totals.quality = Quality::default();
    let histograms = totals.job_duration.iter_mut().chain(&mut totals.run_duration);
    for histogram in histograms.chain([&mut totals.job_queue]) {
        histogram.exemplars.clear();
    }
    (snapshot.stream_time, snapshot.totals, snapshot.jobs_scheduled)
}

#[test]
fn several_files_give_the_series_of_their_union() {
    // cut off in the middle of the year, so that jobs run and wait at the end
    let events = events()[..60_000].to_vec();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, lines: &[Vec<u8>]| {
        let path = directory.path().join(name);
        fs::write(&path, lines.concat()).unwrap();
        path
    };
    let whole = [write("whole", &events)];
    let in_turn = [write("later", &events[30_000..]), write("earlier", &events[..30_000])];
    let every = |n: usize| events.iter().skip(n).step_by(3).cloned().collect::<Vec<_>>();
    let overlapping = [write("a", &every(1)), write("b", &every(0)), write("c", &every(2))];
    let read = |files: &[PathBuf], workers| {
        let config = Config { epoch_records: 3_000, ..config(workers) };
        series(read_files(config, &options(InputFormat::Events, files)).unwrap())
    };
    let expected = read(&whole, 1);
    assert!(expected == read(&in_turn, 2), "later file first");
    assert!(expected == read(&overlapping, 2), "overlapping files");
}
