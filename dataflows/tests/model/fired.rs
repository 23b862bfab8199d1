//! Which rules fired: the model tells, the coverage test fails where one never did.

use std::{cell::RefCell, collections::BTreeMap};

thread_local! {
    static COUNTS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Notes that a rule decided something.
pub fn fired(rule: &'static str) {
    COUNTS.with_borrow_mut(|counts| *counts.entry(rule).or_default() += 1);
}

/// Notes it only where it did.
pub fn fired_if(rule: &'static str, condition: bool) {
    if condition {
        fired(rule);
    }
}

/// The counts of this thread so far; starts over.
pub fn take() -> BTreeMap<&'static str, u64> {
    COUNTS.take()
}

/// Every rule that a test run must meet at least once.
pub const RULES: &[&str] = &[
    "wait at once",
    "wait at once, from ready",
    "wait graced",
    "wait from the virtual queue time",
    "wait from ready without queued",
    "wait negative counts 0",
    "wait without a sample",
    "wait: a fact too far behind",
    "wait taken by the end",
    "duration at once",
    "duration graced from scheduled",
    "duration graced from started",
    "duration negative counts 0",
    "duration: never dispatched",
    "duration: a fact too far behind",
    "duration: reclaimed gives none",
    "dispatch by scheduled",
    "dispatch by started alone",
    "dispatch by finished alone",
    "dispatch after retirement",
    "lost while dispatched",
    "lost while queued",
    "lost, then a later fact",
    "lost, then a late finish",
    "loss prevented by the run's finish",
    "closed by the run's finish",
    "own finish after the run's",
    "opened after the run's retired finish",
    "virtual queue time opens an attempt",
    "real queued takes the virtual one's place",
    "dispatchable since queued",
    "dispatchable since ready",
    "not dispatchable yet",
    "run queued",
    "run queue time-out",
    "run dispatched by its job",
    "run duration at once",
    "run duration graced",
    "run duration negative counts 0",
    "run duration without a start",
    "run forgotten without a finish",
    "conflict within grace",
    "conflict after settling",
    "conflict in a run",
    "duplicate of a fact",
    "duplicate of something retired",
    "duplicate delivery",
    "duplicate delivery within an epoch",
    "late attempt",
    "late run",
    "late agent",
    "late delivery",
    "known by another event of the epoch",
    "attempt forgotten, seen again",
    "run forgotten, seen again",
    "delivery forgotten, seen again",
    "lost attempt forgotten",
    "agent online",
    "agent disconnected",
    "agent expired",
    "agent revived",
    "agent forgotten",
    "pairs over a bound",
    "went on from what was stored",
    "a sweep made garbage of older state",
];
