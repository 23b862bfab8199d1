//! The commit protocol, every interleaving of it: two instances, a database, a log, crashes, lost and late answers.
//!
//! Two models, each small enough to be explored whole: `epochs` (what is committed, restored, collected and shown; time
//! left out, so that nothing rests on it) and `lease` (who shows series when; with time). They decide by the service's own
//! functions (`wiring::outcome`, `lease::held_by`, `lease::silence`) where these are pure. A check that fails prints a shortest way to it. Each
//! way of getting the protocol wrong that somebody thought of is planted, and must be found.
//!
//! `cargo test --test commit_protocol -- --nocapture` shows the numbers of states and every trace; with `--ignored` it
//! explores further, which takes minutes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]
#![allow(clippy::trivially_copy_pass_by_ref, reason = "both models are passed alike")]
#![allow(clippy::cast_possible_truncation, reason = "no number here is larger than ten")]

mod epochs;
mod explorer;
mod lease;

use epochs::{Epochs, Record};
use explorer::{Explored, Model, Trace, explore};
use lease::Leases;
use std::ops::RangeInclusive;

const LOG: [Record; 3] = [Record::Of(0), Record::Of(1), Record::Bad];
/// One key an epoch: a cycle of the sweep takes two.
const SLOW_SWEEP: RangeInclusive<u8> = 1..=1;
/// All keys an epoch: each leaves garbage behind.
const FAST_SWEEP: RangeInclusive<u8> = 2..=2;

const fn epochs(last_epoch: u8, slices: RangeInclusive<u8>) -> Epochs {
    Epochs { log: &LOG, last_epoch, slices, instances: 2, flaw: None }
}

/// All promises hold, and from everywhere things still come to a good end.
fn holds<'a, M: Model>(what: &str, model: &'a M) -> Explored<'a, M> {
    let explored = explore(model).unwrap_or_else(|trace| panic!("{what}:\n{trace}"));
    println!("{what}: {}", explored.summary());
    explored.never_stuck().unwrap_or_else(|trace| panic!("{what}:\n{trace}"));
    explored
}

fn found<M: Model>(what: &str, model: &M, expected: &str) {
    let trace: Trace = match explore(model).and_then(|explored| explored.never_stuck()) {
        Ok(()) => panic!("{what}: nothing is found"),
        Err(trace) => trace,
    };
    println!("{what}:\n{trace}\n");
    assert!(trace.what.contains(expected), "{what} is found by another check than meant:\n{trace}");
}

#[test]
fn what_is_committed_is_the_log_and_what_is_shown_is_committed() {
    let slow = epochs(3, SLOW_SWEEP);
    let explored = holds("epochs, slow sweep", &slow);
    assert!(explored.states() > 200_000, "{}", explored.summary());
    let fast = epochs(3, FAST_SWEEP);
    let explored = holds("epochs, fast sweep", &fast);
    assert!(explored.states() > 100_000, "{}", explored.summary());
    assert_eq!(explored.kinds_of_actions(), 18, "all that may happen has happened");
}

#[test]
#[ignore = "takes minutes: millions of states"]
fn it_holds_over_more_epochs_and_any_pace_of_the_sweep() {
    holds("epochs, one more of them", &epochs(4, SLOW_SWEEP));
    holds("epochs, any sweep", &epochs(3, 1..=2));
}

#[test]
fn an_instance_alone_goes_on_by_itself() {
    let alone = Epochs { instances: 1, ..epochs(4, 1..=2) };
    holds("one instance", &alone);
    let flawed = Epochs { flaw: Some(epochs::Flaw::NeverSendsAgain), ..alone };
    found("never sends again", &flawed, "nothing leads to a good end");
}

#[test]
fn every_fault_planted_into_the_commit_is_found() {
    use epochs::Flaw::{
        ClaimsBlindly, CollectsEarly, CommitsBeforeLetters, NoFence, ReadsBeforeClaim, ShowsBeforeCommit,
        ShowsUnconfirmed, TakesUnknownForFailure, TakesUnknownForSuccess,
    };
    let faults = [
        (NoFence, "a superseded instance has committed"),
        (ClaimsBlindly, "two instances hold the current generation"),
        (ReadsBeforeClaim, "the holder shows 0, and 1 was shown before"),
        (ShowsUnconfirmed, "is shown as the state at"),
        (ShowsBeforeCommit, "offset 1 is shown, and 0 is committed"),
        (TakesUnknownForFailure, "offset 2 is shown, and 1 is committed"),
        (TakesUnknownForSuccess, "offset 1 is shown, and 0 is committed"),
        (CollectsEarly, "but a restore gives"),
        (CommitsBeforeLetters, "no dead letter was sent"),
    ];
    for (flaw, expected) in faults {
        found(&format!("{flaw:?}"), &Epochs { flaw: Some(flaw), ..epochs(3, 1..=2) }, expected);
    }
}

#[test]
fn with_ha_no_two_instances_ever_show_series() {
    let leases = Leases { ha: true, flaw: None };
    let explored = holds("leases with ha", &leases);
    assert!(explored.states() > 200_000, "{}", explored.summary());
    assert_eq!(explored.kinds_of_actions(), 15, "all that may happen has happened");
}

/// What `ha=false` does not promise: one that is paused, or cut off alone, shows what was true until it notices.
#[test]
fn without_ha_a_superseded_instance_may_show_an_old_epoch() {
    let leases = Leases { ha: false, flaw: None };
    let explored = holds("leases without ha", &leases);
    let both = |state: &_| leases.both(state).is_some_and(|(a, b)| a != b);
    let way = explored.way_to("both show series, one of them an old epoch", both);
    println!("{}", way.expect("the time is not up yet when another takes over"));
}

#[test]
fn every_fault_planted_into_the_lease_is_found() {
    use lease::Flaw::{
        AdoptsAsFresh, ClaimsLiving, CountsFromAnswer, ReleasesWhileShowing, SilentFromAsking, WaitsLess,
        WithdrawsByTask,
    };
    let faults = [
        ClaimsLiving,
        CountsFromAnswer,
        SilentFromAsking,
        AdoptsAsFresh,
        WithdrawsByTask,
        WaitsLess,
        ReleasesWhileShowing,
    ];
    for flaw in faults {
        found(&format!("{flaw:?}"), &Leases { ha: true, flaw: Some(flaw) }, "both show series");
    }
}
