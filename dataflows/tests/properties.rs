//! The proof of I1 and I3 (docs/rules.md, design section 1): the machines and the graph against the reference model.
//!
//! Seeds of failures go to `properties.proptest-regressions`, which is committed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

mod drive;
mod model;

use dataflows::{
    event::{Event, Kind, Status},
    registry::Snapshot,
    settings::{Retention, Settings},
};
use drive::graph::{self, StreamTimes};
use model::{
    Ms, fired,
    generate::{self, AttemptPlan, Log, Numbers, Plan, RunPlan},
    punctual,
    recorded::Recorded,
    shown::{Exactness, Lines, difference, lines_of},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, FileFailurePersistence, RngAlgorithm, TestRng, TestRunner},
};

const ALL: Exactness = Exactness { pairs: true, quality: true };
const SERIES: Exactness = Exactness { pairs: true, quality: false };
const SUMS: Exactness = Exactness { pairs: false, quality: true };

/// What an epoch that differs looks like, for the failure's message.
fn told(log: &Log, upto: usize) -> String {
    let epochs = log.iter().take(upto + 1).map(|(events, now)| {
        let events: Vec<String> = events.iter().map(brief).collect();
        format!("  {}\n  closed at {}\n", events.join("\n  "), now.saturating_sub(generate::START))
    });
    epochs.collect()
}

fn brief(event: &Event) -> String {
    let time = event.time() - generate::START;
    let name = event.kind().name();
    match event {
        Event::Run(e) => {
            let (run, job, n, flag) = (e.run, e.job, e.attempt, e.dispatchable);
            format!("{name} at {time} run {run} job {job}/{n} {:?} dispatchable {flag} agent {}", e.status, e.agent)
        }
        Event::Agent(e) => format!("{name} at {time} agent {}", e.agent),
        Event::Delivery(e) => format!("{name} at {time} key {} {:?}", e.key, e.what),
    }
}

/// What the recorded model shows at the end of each epoch.
fn recorded(log: &Log, settings: &Settings, exact: Exactness) -> Vec<Lines> {
    let mut model = Recorded::new(settings);
    log.iter().map(|(events, now)| model.epoch(events, *now).lines(*now, settings, exact)).collect()
}

/// Every epoch's snapshot is what the recorded model shows then (I3, I1 for any log).
fn holds_recorded(
    log: &Log,
    model: &[Lines],
    snapshots: &[Snapshot],
    settings: &Settings,
    exact: Exactness,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(log.len(), snapshots.len());
    for (index, (expected, snapshot)) in model.iter().zip(snapshots).enumerate() {
        fired::fired_if("pairs over a bound", snapshot.series_overflow > 0);
        if let Some(difference) = difference(expected, &lines_of(snapshot, settings, exact)) {
            return Err(TestCaseError::fail(format!("epoch {index}:\n{difference}\n{}", told(log, index))));
        }
    }
    Ok(())
}

/// The last snapshot is a function of the set and the final stream time (I1).
fn holds_punctual(events: &[Event], log: &Log, last: &Snapshot, settings: &Settings) -> Result<(), TestCaseError> {
    let now = last.stream_time.0;
    let expected = punctual::shown(events, now, settings).lines(now, settings, SERIES);
    match difference(&expected, &lines_of(last, settings, SERIES)) {
        None => Ok(()),
        Some(difference) => Err(TestCaseError::fail(format!("{difference}\n{}", told(log, log.len())))),
    }
}

/// The two models agree about a punctual log, however it is read: the rules themselves keep I1.
fn models_agree(plan: &Plan, seed: u64, settings: &Settings) -> Result<(), TestCaseError> {
    let events = generate::within_window(generate::punctual_events(plan, settings), settings);
    let mut numbers = Numbers(seed);
    let last = generate::last_time(&events, settings, &mut numbers);
    let expected = punctual::shown(&events, last, settings).lines(last, settings, SERIES);
    for _ in 0..3 {
        let log = generate::punctual_log(&events, last, settings, &mut numbers);
        let mut model = Recorded::new(settings);
        let shown = log.iter().map(|(events, now)| model.epoch(events, *now)).last().unwrap_or_default();
        if let Some(difference) = difference(&expected, &shown.lines(last, settings, SERIES)) {
            let told = told(&log, log.len());
            return Err(TestCaseError::fail(format!("punctual, then recorded:\n{difference}\n{told}")));
        }
    }
    Ok(())
}

/// Read in several ways by 1, 2 and 4 workers, a punctual log gives what the set gives.
fn machines_punctual(plan: &Plan, seed: u64, settings: &Settings) -> Result<(), TestCaseError> {
    let events = generate::within_window(generate::punctual_events(plan, settings), settings);
    let mut numbers = Numbers(seed);
    let last = generate::last_time(&events, settings, &mut numbers);
    for workers in [1, 2, 4] {
        let log = generate::punctual_log(&events, last, settings, &mut numbers);
        let snapshots = drive::machines::snapshots(&log, workers, settings);
        if let Some(last) = snapshots.last() {
            holds_punctual(&events, &log, last, settings)?;
        }
        let crashed = drive::machines::snapshots_over_crashes(&log, settings, &mut numbers);
        if let Some(last) = crashed.last() {
            holds_punctual(&events, &log, last, settings)?;
        }
    }
    Ok(())
}

/// Any log, read by 1, 2 and 4 workers, gives in each epoch what the recorded model gives.
fn machines_recorded(plan: &Plan, seed: u64, settings: &Settings, exact: Exactness) -> Result<(), TestCaseError> {
    let mut numbers = Numbers(seed);
    let events = generate::any_events(plan, &mut numbers);
    let last = generate::last_time(&events, settings, &mut numbers);
    let log = generate::any_log(&events, last, settings, &mut numbers);
    let model = recorded(&log, settings, exact);
    for workers in [1, 2, 4] {
        holds_recorded(&log, &model, &drive::machines::snapshots(&log, workers, settings), settings, exact)?;
    }
    let crashed = drive::machines::snapshots_over_crashes(&log, settings, &mut numbers);
    holds_recorded(&log, &model, &crashed, settings, exact)
}

/// Longer than a plan's events: nothing is forgotten.
const LONG_MEMORY_MS: Ms = 3_600_000;
/// So short that much is forgotten within a plan.
const SHORT_MEMORY_MS: Ms = 120_000;

/// Not much longer than a plan's runs, so that facts come when the others are about to be forgotten.
const TIGHT_MEMORY_MS: Ms = 20_000;

fn memory() -> impl Strategy<Value = Ms> {
    proptest::sample::select(vec![LONG_MEMORY_MS, SHORT_MEMORY_MS, TIGHT_MEMORY_MS])
}

/// So many cases; seeds of failures are kept beside this file.
fn config(cases: u32) -> Config {
    let seeds = FileFailurePersistence::Direct("tests/properties.proptest-regressions");
    Config { cases, failure_persistence: Some(Box::new(seeds)), ..Config::default() }
}

proptest! {
    #![proptest_config(config(800))]

    #[test]
    fn the_models_agree_about_punctual_logs(plan in generate::plan(), seed: u64, memory in memory()) {
        models_agree(&plan, seed, &generate::settings(memory))?;
    }

    #[test]
    fn i1_a_punctual_log_gives_what_its_set_gives(plan in generate::plan(), seed: u64, on: bool, memory in memory()) {
        // retention changes no series
        let retention = Retention { on, ..Retention::default() };
        machines_punctual(&plan, seed, &Settings { retention, ..generate::settings(memory) })?;
    }

    #[test]
    fn i1_i3_any_log_gives_in_each_epoch_what_the_model_gives(plan in generate::plan(), seed: u64, memory in memory()) {
        machines_recorded(&plan, seed, &generate::settings(memory), ALL)?;
    }
}

/// What the whole graph gives for a punctual log, written as JSON and read by several workers, is what its set gives.
fn graph_punctual(plan: &Plan, seed: u64, settings: &Settings) -> Result<(), TestCaseError> {
    let events = generate::within_window(generate::punctual_events(plan, settings), settings);
    let mut numbers = Numbers(seed);
    let last = generate::last_time(&events, settings, &mut numbers);
    for workers in [1, 2, 4] {
        let log = generate::punctual_log(&events, last, settings, &mut numbers);
        let lines = graph::lines(&log, settings);
        let snapshots = graph::snapshots(&lines, workers, settings, StreamTimes::Recorded, &mut numbers);
        let snapshots = snapshots.map_err(TestCaseError::fail)?;
        prop_assert_eq!(snapshots.len(), log.len());
        if let Some(last) = snapshots.last() {
            holds_punctual(&events, &log, last, settings)?;
        }
    }
    let log = generate::punctual_log(&events, last, settings, &mut numbers);
    let lines = graph::lines(&log, settings);
    let snapshots = graph::snapshots_over_crashes(&lines, settings, StreamTimes::Recorded, &mut numbers);
    let snapshots = snapshots.map_err(TestCaseError::fail)?;
    prop_assert_eq!(snapshots.len(), log.len());
    snapshots.last().map_or(Ok(()), |last| holds_punctual(&events, &log, last, settings))
}

/// Any log, with the stream times that the sequencer finds, gives in each epoch what the recorded model gives (I3).
fn graph_recorded(plan: &Plan, seed: u64, settings: &Settings, of: StreamTimes) -> Result<(), TestCaseError> {
    let mut numbers = Numbers(seed);
    let events = generate::any_events(plan, &mut numbers);
    let last = generate::last_time(&events, settings, &mut numbers);
    let lines = graph::lines(&generate::any_log(&events, last, settings, &mut numbers), settings);
    let read = graph::decoded(&lines, settings);
    for workers in [Some(1), Some(2), Some(4), None] {
        let snapshots = match workers {
            Some(workers) => graph::snapshots(&lines, workers, settings, of, &mut numbers),
            None => graph::snapshots_over_crashes(&lines, settings, of, &mut numbers),
        };
        let snapshots = snapshots.map_err(TestCaseError::fail)?;
        prop_assert_eq!(snapshots.len(), lines.len());
        let times: Vec<Ms> = snapshots.iter().map(|snapshot| snapshot.stream_time.0).collect();
        prop_assert!(times.is_sorted(), "stream time never goes back: {times:?}");
        let wanted = lines.iter().map(|(_, now)| *now);
        prop_assert!(of != StreamTimes::Recorded || times.iter().copied().eq(wanted), "stream time is the wall's");
        let log: Log = read.iter().cloned().zip(snapshots.iter().map(|snapshot| snapshot.stream_time.0)).collect();
        holds_recorded(&log, &recorded(&log, settings, ALL), &snapshots, settings, ALL)?;
    }
    Ok(())
}

proptest! {
    // each case starts seven workers
    #![proptest_config(config(100))]

    #[test]
    fn i1_the_graph_gives_for_a_punctual_log_what_its_set_gives(plan in generate::plan(), seed: u64, memory in memory()) {
        graph_punctual(&plan, seed, &generate::settings(memory))?;
    }

    #[test]
    fn i1_i3_the_graph_gives_for_any_log_what_the_model_gives(plan in generate::plan(), seed: u64, memory in memory(), wall: bool) {
        let of = if wall { StreamTimes::Recorded } else { StreamTimes::OfPartitions };
        graph_recorded(&plan, seed, &generate::settings(memory), of)?;
    }
}

/// So few named pairs that most dispatches are counted under `_other`.
fn crowded(mut settings: Settings) -> Settings {
    (settings.limits.max_projects, settings.limits.max_pipelines_per_project) = (2, 1);
    settings
}

/// The same properties over fixed seeds, so that what fires is the same every time: no rule may go untested.
#[test]
fn every_rule_fires() -> Result<(), String> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let (long, short) = (generate::settings(LONG_MEMORY_MS), generate::settings(SHORT_MEMORY_MS));
    fired::take();
    for seed in 0..500 {
        let plan = generate::plan().new_tree(&mut runner).map_err(|e| e.to_string())?.current();
        let all = models_agree(&plan, seed, &long)
            .and_then(|()| machines_punctual(&plan, seed, &long))
            .and_then(|()| machines_recorded(&plan, seed, &long, ALL))
            .and_then(|()| machines_recorded(&plan, seed, &short, ALL))
            .and_then(|()| machines_recorded(&plan, seed, &crowded(long.clone()), SUMS));
        all.map_err(|e| format!("seed {seed}: {e}"))?;
    }
    let counts = fired::take();
    let table: Vec<String> = fired::RULES
        .iter()
        .map(|rule| format!("{:>9} {rule}", counts.get(rule).copied().unwrap_or_default()))
        .collect();
    println!("{}", table.join("\n"));
    let never: Vec<_> = fired::RULES.iter().filter(|rule| !counts.contains_key(*rule)).collect();
    let unlisted: Vec<_> = counts.keys().filter(|rule| !fired::RULES.contains(rule)).collect();
    assert!(never.is_empty(), "never fired: {never:?}");
    assert!(unlisted.is_empty(), "missing from the list: {unlisted:?}");
    Ok(())
}

/// Too rare to be met by chance: the run is over, as far as read, before anything is read of its job.
#[test]
fn i1_a_job_is_lost_however_early_its_runs_later_finish_is_read() -> Result<(), TestCaseError> {
    let settings = generate::settings(LONG_MEMORY_MS);
    let at = generate::START;
    let (queued, ready, started, end) = (None, None, None, None);
    let job = AttemptPlan { queued, ready, scheduled: Some(1_000), started, end, agent: false };
    let finished = Some((300_000, Status::Success));
    let jobs = vec![(0, vec![job])];
    let run = RunPlan { project: 1, pipeline: 1, at, queued: true, started: Some(0), finished, jobs };
    let events = generate::punctual_events(&Plan { runs: vec![run], agents: vec![], deliveries: vec![] }, &settings);
    let (own, jobs): (Vec<_>, Vec<_>) = events.iter().partition(|event| event.kind() != Kind::JobScheduled);
    let log: Log = vec![(own, at), (jobs, at + 1_000), (vec![], at + 100_000)];
    let snapshots = drive::machines::snapshots(&log, 1, &settings);
    prop_assert_eq!(snapshots[2].totals.jobs_lost, 1);
    holds_punctual(&events, &log, &snapshots[2], &settings)
}
