//! `rebucket`: a log read in two halves, the second with other bounds, and what comes of it in the end.

use crate::support::{Demo, Scratch, flow, shown, state, told, url};
use std::{collections::BTreeMap, fs, path::PathBuf};

const JOBS: &str = "gocdnext_job_duration_seconds";
const QUEUE: &str = "gocdnext_job_queue_seconds";

type Series = BTreeMap<String, String>;

/// A log in two files.
struct Log {
    scratch: Scratch,
    halves: [PathBuf; 2],
}

impl Log {
    fn new() -> Self {
        let scratch = Scratch::empty();
        let log = scratch.beside("log.ndjson");
        let noise = ["--disorder", "10s", "--duplicates", "5%", "--seed", "5", "--jobs", "2000"];
        told(flow().arg("generate").args(noise).arg("--out").arg(&log)).success();
        let text = fs::read(&log).unwrap();
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let (first, second) = lines.split_at(lines.len() / 2);
        let halves = [scratch.beside("first.ndjson"), scratch.beside("second.ndjson")];
        fs::write(&halves[0], first.concat()).unwrap();
        fs::write(&halves[1], second.concat()).unwrap();
        Self { scratch, halves }
    }

    /// The series of the dataflow after these halves.
    fn replay(&self, halves: &[PathBuf], more: &[&str]) -> Series {
        let metrics = self.scratch.beside("series.txt");
        let mut command = flow();
        command.arg("replay").args(halves).args(["--epoch-records", "300", "--metrics-out"]).arg(&metrics).args(more);
        told(&mut command).success();
        let text = fs::read_to_string(&metrics).unwrap();
        let samples =
            text.lines().filter(|line| line.starts_with("gocdnext_") && !line.starts_with("gocdnext_flow_"));
        samples
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Calls `rebucket` on the state that the first half has left.
    fn rebucket(&self, series: &str, more: &[&str]) -> crate::support::Told {
        state(&[&["rebucket", series][..], more].concat(), &self.scratch.url())
    }
}

/// Without the histograms of a family.
fn others(series: &Series, families: [&str; 2]) -> Series {
    let other = |name: &String| families.iter().all(|family| !name.starts_with(family));
    series.iter().filter(|(name, _)| other(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn count(series: &Series, name: &str) -> u64 {
    series[name].parse().unwrap()
}

#[test]
fn a_choice_of_the_old_bounds_carries_every_span_over() {
    let log = Log::new();
    let state_url = log.scratch.url();
    let bounds = ["--duration-buckets", "15s,1m,10m", "--queue-buckets", "2500ms,1m,12h"];
    let expected = log.replay(&log.halves, &bounds);
    log.replay(&log.halves[..1], &["--state", &state_url]);
    let before = shown(&state_url);
    let error = told(flow().arg("replay").arg(&log.halves[1]).args(["--state", &state_url]).args(bounds)).failure(4);
    assert!(error.contains(&format!("`gocdnext-flow state rebucket {JOBS}`")), "{error}");
    let said = log.rebucket(JOBS, &bounds[..2]).success();
    assert!(
        said.contains("duration_buckets = 15s,1m,10m for ") && said.contains("every span was carried over"),
        "{said}"
    );
    assert!(log.rebucket(QUEUE, &bounds[2..]).success().contains("every span was carried over"));
    assert!(log.rebucket(QUEUE, &bounds[2..]).success().contains("nothing to do"));
    let after = shown(&state_url);
    assert_eq!((&after["holds"], &after["offsets"]), (&before["holds"], &before["offsets"]));
    assert!(state(&["verify"], &state_url).success().ends_with("all is well\n"));
    // also by way of another database, whose epochs lie elsewhere
    let (file, moved) = (log.scratch.beside("moved.zst"), url(&log.scratch.beside("moved.db")));
    state(&["export", file.to_str().unwrap()], &state_url).success();
    for more in [&[][..], &["--replace", "--yes"]] {
        let import = ["import", file.to_str().unwrap()];
        state(&[&import[..], more].concat(), &moved).success();
        assert!(state(&["verify"], &moved).success().ends_with("all is well\n"));
    }
    for place in [&state_url, &moved] {
        let found = log.replay(&log.halves[1..], &[&["--state", place.as_str()][..], &bounds].concat());
        assert_eq!(found, expected);
    }
}

#[test]
fn with_a_bound_that_is_new_the_family_starts_over_and_all_else_stays() {
    let log = Log::new();
    let state_url = log.scratch.url();
    let bounds = ["--duration-buckets", "15s,77s"];
    let expected = log.replay(&log.halves, &bounds);
    let first = log.replay(&log.halves[..1], &["--state", &state_url]);
    let before = shown(&state_url);
    let error = log.rebucket(JOBS, &bounds).failure(2);
    let forgotten = [JOBS, "gocdnext_run_duration_seconds"].map(|family| {
        let counts = first.keys().filter(|name| name.starts_with(&format!("{family}_count")));
        counts.map(|name| count(&first, name)).sum::<u64>()
    });
    assert!(forgotten[0] > 100 && forgotten[1] > 10);
    let told = format!("start over from zero: {} spans are forgotten", forgotten.iter().sum::<u64>());
    assert!(error.contains("give --yes") && error.contains(&told), "{error}");
    assert_eq!(shown(&state_url)["epoch"], before["epoch"]);
    assert_eq!(shown(&state_url)["lease"]["released"], true);
    log.rebucket(JOBS, &[&bounds[..], &["--yes"]].concat()).success();
    assert!(state(&["verify"], &state_url).success().ends_with("all is well\n"));
    let found = log.replay(&log.halves[1..], &[&["--state", &state_url][..], &bounds].concat());
    let families = [JOBS, "gocdnext_run_duration_seconds"];
    assert_eq!(others(&found, families), others(&expected, families));
    for name in
        expected.keys().filter(|name| families.iter().any(|family| name.starts_with(&format!("{family}_count"))))
    {
        let in_first_half = first.get(name).map_or(0, |value| value.parse::<u64>().unwrap());
        assert_eq!(count(&found, name), count(&expected, name) - in_first_half, "{name}");
    }
}

#[test]
fn what_is_written_or_absent_or_empty_is_not_rebucketed() {
    let scratch = Scratch::empty();
    let call = || state(&["rebucket", QUEUE, "--queue-buckets", "7s", "--yes"], &scratch.url());
    assert!(call().failure(2).contains("there is no state"));
    let demo = Demo::start(&scratch.path);
    crate::looking::wait_for_epochs(&scratch.path, 1);
    assert!(call().failure(4).contains("writes this state: stop it first"));
    demo.terminate();
    assert!(call().success().contains("queue_buckets = 7s for gocdnext_job_queue_seconds: "));
    assert!(state(&["rebucket", "gocdnext_queue_depth"], &scratch.url()).failure(2).contains("possible values"));
}
