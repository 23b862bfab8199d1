//! The proof of retention's rules (docs/rules.md, "Retention"): machines and decisions against the reference.
//!
//! Seeds of failures go to `retention.proptest-regressions`, which is committed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

mod archives;
mod drive;
mod machine;
#[path = "../model/mod.rs"]
#[allow(dead_code, reason = "the series' half of it is for the other properties")]
mod model;
mod partitions;
mod plan;
#[path = "../drive/stored.rs"]
#[allow(dead_code, reason = "the series have a ledger's lane")]
mod stored;

use dataflows::{
    event::{Event, RunEvent},
    retention::{self, Policies, Policy, RetentionInput, RetentionOutput},
    settings::Settings,
};
use drive::{Epochs, asked, became, joined, outputs, outputs_over_crashes, under};
use model::{
    Ms, SKEW, fired,
    generate::{self, Numbers, Plan},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, FileFailurePersistence, RngAlgorithm, TestRng, TestRunner},
};
use std::{fmt::Debug, sync::Arc};

/// So many cases; seeds of failures are kept beside this folder.
fn config(cases: u32) -> Config {
    let seeds = FileFailurePersistence::Direct("tests/retention.proptest-regressions");
    Config { cases, failure_persistence: Some(Box::new(seeds)), ..Config::default() }
}

fn input(policies: Policies) -> RetentionInput {
    RetentionInput { policies: Arc::new(policies), ..RetentionInput::default() }
}

fn told(epochs: &Epochs) -> String {
    let start = generate::START;
    let brief = |e: &RunEvent| {
        let (kind, time) = (e.kind.name(), e.time - start);
        format!("  {kind} at {time} run {} job {}/{} {:?} agent {}", e.run, e.job, e.attempt, e.status, e.agent)
    };
    let epoch = |(events, now, _): &(Vec<RunEvent>, Ms, Option<RetentionInput>)| {
        let events: Vec<String> = events.iter().map(brief).collect();
        format!("{}\n  closed at {}\n", events.join("\n"), now.saturating_sub(start))
    };
    epochs.iter().map(epoch).collect()
}

/// Where a test's stream time ends: on the edge of what falls due, or anywhere.
fn last_time(events: &[RunEvent], settings: &Settings, numbers: &mut Numbers) -> Ms {
    let anywhere = generate::START + 1_000 * Ms::try_from(numbers.below(1_500)).unwrap_or_default();
    let far = generate::START + 3_000_000;
    let edges: Vec<Ms> = archives::asks(events, far, &plan::policies(), settings).0.into_values().collect();
    if edges.is_empty() || numbers.below(3) == 0 {
        return anywhere;
    }
    let slack = 2 * SKEW + settings.late_grace_ms;
    edges[numbers.below(edges.len())] + slack + Ms::try_from(numbers.below(2)).unwrap_or_default()
}

fn same<T: PartialEq + Debug>(what: &str, model: &T, seen: &T, epochs: &Epochs) -> Result<(), TestCaseError> {
    if model == seen {
        return Ok(());
    }
    Err(TestCaseError::fail(format!("{what}:\nmodel {model:#?}\nseen {seen:#?}\n{}", told(epochs))))
}

/// Read in several ways by several workers, a punctual log gives the decisions and the ledger that its set gives.
fn punctual(plan: &Plan, seed: u64) -> Result<(), TestCaseError> {
    let settings = plan::settings();
    let mut numbers = Numbers(seed);
    let events = plan::punctual_events(plan, &settings, &mut numbers);
    let last = last_time(&events, &settings, &mut numbers);
    let all: Vec<Event> = events.iter().copied().map(Event::Run).collect();
    let (asks, fates) = archives::asks(&events, last, &plan::policies(), &settings);
    let ledger = archives::ledger(&events, last, &settings);
    for workers in [Some(1), Some(2), Some(4), None] {
        let log = generate::punctual_log(&all, last, &settings, &mut numbers);
        let epochs = under(log, |_| Some(input(plan::policies())));
        let given = match workers {
            Some(workers) => outputs(&epochs, workers, &settings),
            None => outputs_over_crashes(&epochs, &settings, &mut numbers),
        };
        same("asked for", &asks, &asked(&given).map_err(TestCaseError::fail)?, &epochs)?;
        same("what became of it", &fates, &became(&given), &epochs)?;
        same("the ledger", &ledger, &joined(&given), &epochs)?;
    }
    Ok(())
}

/// Policies that change from epoch to epoch, or are not known.
fn changing(seed: u64, epoch: usize) -> Option<RetentionInput> {
    let mut numbers = Numbers(seed.wrapping_add(epoch as u64 / 2));
    let policy = |archive| Policy { log_retention_days: 1, archive };
    let default = [None, Some(policy(false)), Some(policy(true))][numbers.below(3)];
    let own = (1..4).filter_map(|project| match numbers.below(4) {
        0 => None,
        number => Some((project, policy(number > 1))),
    });
    let policies = Policies { default, projects: own.collect() };
    (numbers.below(6) > 0).then(|| input(policies))
}

/// Any log under any policies gives the same in each epoch, whoever reads it; and nothing is asked for too early or for
/// a project that does not archive.
fn any_log(plan: &Plan, seed: u64) -> Result<(), TestCaseError> {
    let settings = plan::settings();
    let mut numbers = Numbers(seed);
    let mut events = generate::any_events(plan, &mut numbers);
    let jobs: Vec<RunEvent> =
        events.iter().filter_map(|event| if let Event::Run(event) = event { Some(*event) } else { None }).collect();
    events.extend(plan::outcomes(&jobs, &settings, &mut numbers).into_iter().map(Event::Run));
    let last = generate::START + 1_000 * Ms::try_from(numbers.below(1_500)).unwrap_or_default();
    let log = generate::any_log(&events, last, &settings, &mut numbers);
    let epochs = under(log, |epoch| changing(seed, epoch));
    let one = outputs(&epochs, 1, &settings);
    careful(&epochs, &one, &settings)?;
    for workers in [Some(2), Some(4), None] {
        let others = match workers {
            Some(workers) => outputs(&epochs, workers, &settings),
            None => outputs_over_crashes(&epochs, &settings, &mut numbers),
        };
        for (index, (one, other)) in one.iter().zip(&others).enumerate() {
            same(&format!("epoch {index}, {workers:?} workers"), one, other, &epochs)?;
        }
    }
    Ok(())
}

fn careful(epochs: &Epochs, outputs: &[RetentionOutput], settings: &Settings) -> Result<(), TestCaseError> {
    let (mut asked, mut over) = (0, 0);
    for ((_, now, input), output) in epochs.iter().zip(outputs) {
        asked +=
            output.decisions.iter().filter(|decision| decision.kind == retention::Kind::ArchiveLogs).count() as u64;
        over += output.fates.iter().sum::<u64>();
        prop_assert!(over <= asked, "what was asked for is over once: {over} of {asked}");
        for decision in &output.decisions {
            let dataflows::retention::Subject::Archive { ended_at, project, .. } = decision.subject else {
                return Err(TestCaseError::fail("not about an archive"));
            };
            let archives = input.as_ref().and_then(|input| input.policies.of(project)).is_some_and(|p| p.archive);
            let asks = decision.kind == dataflows::retention::Kind::ArchiveLogs;
            prop_assert!(archives || !asks, "{project} does not archive: {decision:?}");
            prop_assert!(decision.time >= ended_at + settings.retention.archive_grace_ms, "{decision:?}");
            let resumed = asks && decision.time == *now;
            fired::fired_if("held, then asked for when its project archives", resumed);
            let in_time = *now > decision.time + 2 * SKEW + settings.late_grace_ms;
            prop_assert!(resumed || in_time, "closed at {now}: {decision:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn a_punctual_log_asks_for_what_its_set_asks_for(plan in generate::plan(), seed: u64) {
        punctual(&plan, seed)?;
    }

    #[test]
    fn any_log_gives_the_same_to_any_number_of_workers_over_crashes(plan in generate::plan(), seed: u64) {
        any_log(&plan, seed)?;
    }
}

/// The same properties over fixed seeds, so that what fires is the same every time: no rule may go untested.
#[test]
fn every_rule_fires() -> Result<(), String> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    fired::take();
    for seed in 0..400 {
        let plan = generate::plan().new_tree(&mut runner).map_err(|e| e.to_string())?.current();
        punctual(&plan, seed).and_then(|()| any_log(&plan, seed)).map_err(|e| format!("seed {seed}: {e}"))?;
    }
    let counts = fired::take();
    for rule in archives::RULES {
        println!("{:>9} {rule}", counts.get(rule).copied().unwrap_or_default());
    }
    let never: Vec<_> = archives::RULES.iter().filter(|rule| !counts.contains_key(*rule)).collect();
    assert!(never.is_empty(), "never fired: {never:?}");
    Ok(())
}

/// With retention off nothing of it is made, kept or stored.
#[test]
fn off_it_gives_nothing() {
    let settings = Settings { retention: dataflows::settings::Retention::default(), ..plan::settings() };
    let mut runner = TestRunner::deterministic();
    for seed in 0..50 {
        let plan = generate::plan().new_tree(&mut runner).unwrap().current();
        let mut numbers = Numbers(seed);
        let events = plan::punctual_events(&plan, &settings, &mut numbers);
        let events: Vec<Event> = events.into_iter().map(Event::Run).collect();
        let log = generate::punctual_log(&events, generate::START + 900_000, &settings, &mut numbers);
        let epochs = under(log, |_| Some(input(plan::policies())));
        assert!(outputs(&epochs, 2, &settings).iter().all(|output| *output == RetentionOutput::default()));
    }
}
