//! The harness finds what it is for: planted faults are seen, and what is no fault is not.

use crate::support::{
    checker::{Checker, Fault},
    exposition::Exposition,
    load::{Flow, Load},
    reference::{differences, reference},
    scraper::Progress,
};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// A scrape with dataflow series and some of its own.
const SCRAPE: &str = r#"# HELP gocdnext_jobs_scheduled_total Job attempts dispatched to an agent.
# TYPE gocdnext_jobs_scheduled_total counter
gocdnext_jobs_scheduled_total{pipeline="a b",project="p"} 7
gocdnext_jobs_scheduled_total{pipeline="c",project="p"} 2
# TYPE gocdnext_jobs_running gauge
gocdnext_jobs_running 3
# TYPE gocdnext_job_queue_seconds histogram
gocdnext_job_queue_seconds_bucket{le="1"} 4
gocdnext_job_queue_seconds_bucket{le="+Inf"} 5
gocdnext_job_queue_seconds_sum 12.5
gocdnext_job_queue_seconds_count 5
# TYPE gocdnext_job_duration_seconds histogram
gocdnext_job_duration_seconds_bucket{status="success",le="1"} 1
gocdnext_job_duration_seconds_bucket{status="success",le="+Inf"} 1
gocdnext_job_duration_seconds_sum{status="success"} 0.5
gocdnext_job_duration_seconds_count{status="success"} 1
# TYPE gocdnext_flow_duplicates_total counter
gocdnext_flow_duplicates_total 9
# TYPE gocdnext_flow_committed_epoch gauge
gocdnext_flow_committed_epoch 1795000000100
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 4
"#;

/// Own health only.
const BARE: &str = "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 4\n";

fn parsed(text: &str) -> Exposition {
    Exposition::parse(text).unwrap()
}

/// What a checker says to these scrapes, each of a life.
fn look(scrapes: &[(u32, &str)]) -> Vec<Fault> {
    let mut checker = Checker::default();
    scrapes.iter().flat_map(|(life, text)| checker.look(*life, &parsed(text))).collect()
}

/// What it says to a second life in which one line of the scrape is another.
fn changed(from: &str, to: &str) -> Vec<Fault> {
    assert!(SCRAPE.contains(from));
    look(&[(1, SCRAPE), (2, &SCRAPE.replace(from, to))])
}

fn back(series: &str, from: f64, to: f64) -> Fault {
    Fault::SteppedBack { series: series.to_owned(), from, to }
}

#[test]
fn a_planted_step_back_is_found_by_label_set() {
    let two = r#"gocdnext_jobs_scheduled_total{pipeline="c",project="p"}"#;
    assert_eq!(changed(&format!("{two} 2"), &format!("{two} 1")), [back(two, 2.0, 1.0)]);
    let swapped = SCRAPE.replace("} 7", "} 3").replace("} 2", "} 6");
    let seven = r#"gocdnext_jobs_scheduled_total{pipeline="a b",project="p"}"#;
    assert_eq!(look(&[(1, SCRAPE), (2, &swapped)]), [back(seven, 7.0, 3.0)], "the sum is the same");
    assert_eq!(changed("_sum 12.5", "_sum 12.4"), [back("gocdnext_job_queue_seconds_sum", 12.5, 12.4)]);
    let bucket = r#"gocdnext_job_queue_seconds_bucket{le="1"}"#;
    assert_eq!(changed(&format!("{bucket} 4"), &format!("{bucket} 3")), [back(bucket, 4.0, 3.0)]);
    let own = "gocdnext_flow_duplicates_total";
    assert_eq!(changed(&format!("{own} 9"), &format!("{own} 8")), [back(own, 9.0, 8.0)]);
}

#[test]
fn it_is_measured_by_the_largest_of_all_lives() {
    let larger = SCRAPE.replace("_total 9", "_total 12");
    let fault = back("gocdnext_flow_duplicates_total", 12.0, 9.0);
    assert_eq!(look(&[(1, &larger), (2, BARE), (3, SCRAPE), (4, SCRAPE)]), [fault.clone(), fault]);
}

#[test]
fn a_process_counts_anew_but_not_back() {
    let less = SCRAPE.replace("seconds_total 4", "seconds_total 1");
    assert_eq!(look(&[(1, SCRAPE), (2, &less)]), []);
    assert_eq!(look(&[(1, SCRAPE), (1, &less)]), [back("process_cpu_seconds_total", 4.0, 1.0)]);
}

#[test]
fn an_epoch_that_goes_back_is_found_even_where_no_series_are_shown() {
    let epoch = "# TYPE gocdnext_flow_committed_epoch gauge\ngocdnext_flow_committed_epoch 1795000000099\n";
    let fault = Fault::EpochWentBack { from: 1_795_000_000_100, to: 1_795_000_000_099 };
    assert_eq!(look(&[(1, SCRAPE), (2, epoch)]), [fault]);
}

#[test]
fn a_series_may_be_absent_only_where_none_is_shown() {
    assert_eq!(look(&[(1, BARE), (1, SCRAPE), (2, BARE), (2, SCRAPE)]), []);
    assert_eq!(look(&[(1, SCRAPE), (1, BARE)]), [Fault::Withdrawn]);
    let series = r#"gocdnext_jobs_scheduled_total{pipeline="c",project="p"}"#;
    let without = SCRAPE.replace(&format!("{series} 2\n"), "");
    assert_eq!(look(&[(1, SCRAPE), (2, BARE), (2, &without)]), [Fault::Vanished { series: series.to_owned() }]);
}

#[test]
fn a_scrape_of_two_moments_is_found() {
    let torn = |from: &str, to: &str| {
        let faults = look(&[(1, &SCRAPE.replace(from, to))]);
        assert!(!faults.is_empty() && faults.iter().all(|fault| matches!(fault, Fault::Torn { .. })), "{faults:?}");
    };
    torn("queue_seconds_count 5", "queue_seconds_count 6");
    torn(r#"{le="1"} 4"#, r#"{le="1"} 6"#);
    torn(r#"{status="success",le="1"} 1"#, r#"{status="success",le="1"} 2"#);
    assert_eq!(look(&[(1, SCRAPE)]), []);
}

#[test]
fn what_is_no_exposition_is_refused() {
    for wrong in ["no_value\n", "# TYPE a counter\nb 1\n", "# TYPE a counter\na x\n", "# TYPE a counter\na 1\na 1\n"]
    {
        assert!(Exposition::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_epoch_is_new_if_no_former_life_can_have_committed_it() {
    let epoch = |epoch: u64| {
        parsed(&format!("# TYPE gocdnext_flow_committed_epoch gauge\ngocdnext_flow_committed_epoch {epoch}\n"))
    };
    let mut progress = Progress::default();
    for (life, seen, commits) in [(1, 10, 0), (1, 11, 1), (1, 11, 1), (1, 13, 2), (2, 14, 0), (2, 15, 1), (3, 15, 0)]
    {
        progress.see(life, &epoch(seen));
        assert_eq!((progress.commits, progress.moved.is_some()), (commits, commits > 0), "life {life}, epoch {seen}");
    }
}

/// The first records of a load as a file, in a folder for it and what is made of it.
fn log(folder: &Path, seed: u64, records: usize) -> PathBuf {
    let (path, mut lines) = (folder.join("log.ndjson"), Vec::new());
    for record in Load::new(seed).take(records) {
        lines.extend(record.value);
        lines.push(b'\n');
    }
    fs::write(&path, lines).unwrap();
    path
}

#[test]
fn the_load_has_what_tortures() {
    let records: Vec<_> = Load::new(3).take(40_000).collect();
    let distinct: HashSet<&[u8]> = records.iter().map(|record| &record.value[..]).collect();
    assert!(distinct.len() < 38_500, "{} distinct records: what is sent again is more", distinct.len());
    let back = records.windows(2).filter(|pair| pair[1].time_ms < pair[0].time_ms).count();
    assert!(back > 2, "stretches are sent again");
    assert!(Load::new(3).take(1_000).eq(records.into_iter().take(1_000)), "a seed gives one log");
}

#[test]
fn the_reference_is_a_function_of_the_log_and_a_missing_record_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), 5, 60_000);
    let whole = reference(&log, Flow::Steady).unwrap();
    assert!(whole.sum("gocdnext_jobs_lost_total") > Some(0.0), "jobs are lost");
    assert!(whole.sum("gocdnext_flow_rejected_total") > Some(0.0) && whole.sum("gocdnext_jobs_running") > Some(0.0));
    assert_eq!(differences(&whole, &whole), [""; 0]);

    let text = fs::read(&log).unwrap();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let webhook = |line: &&[u8]| String::from_utf8_lossy(line).contains("io.gocdnext.webhook.received");
    let one = lines.iter().position(webhook).unwrap();
    fs::write(&log, [lines[..one].concat(), lines[one + 1..].concat()].concat()).unwrap();
    let without = reference(&log, Flow::Steady).unwrap();
    assert!(!differences(&without, &whole).is_empty());
    assert!(differences(&Exposition::default(), &whole).len() > 100);
}
