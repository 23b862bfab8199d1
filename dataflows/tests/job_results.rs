//! What the runs machine tells of each job that ended: the log lines of jobs and the summary of a replay are made of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

use dataflows::{
    event::{Kind, RunEvent, Status},
    graph::JobResult,
    machines::{Close, Closed, Machine, RunsMachine},
    names::NameId,
    settings::Settings,
    state::Sweep,
    time::{Millis, StreamTime},
};
use std::sync::Arc;

const HOUR: Millis = 3_600_000;
/// Late grace and skew tolerance: a deadline is this long after a fact.
const GRACE: Millis = 62_000;

/// A job event of run 1, job 3, attempt 1; change what differs.
fn job(kind: Kind, time: Millis) -> RunEvent {
    RunEvent {
        kind,
        time,
        tie: 0,
        run: 1,
        project: 10,
        pipeline: 100,
        job: 3,
        agent: 0,
        trace: 0,
        attempt: 1,
        slug: NameId(4),
        name: NameId(5),
        status: Status::Success,
        dispatchable: true,
        exit_code: None,
    }
}

fn machine(settings: Settings) -> RunsMachine {
    RunsMachine::new(Arc::new(settings), 1)
}

fn close(machine: &mut RunsMachine, now: Millis, last: bool) -> Vec<JobResult> {
    let mut closed = Closed::new(&Settings::default());
    machine.close(Close { now: StreamTime(now), last, sweep: Sweep::default() }, &mut closed);
    closed.results
}

/// What is told of these events by `now`, where the log goes on.
fn told(events: &[RunEvent], now: Millis) -> Vec<JobResult> {
    let mut machine = machine(Settings::default());
    for event in events {
        machine.apply(event);
    }
    close(&mut machine, now, false)
}

/// Of [`job`]; only its end is known.
fn bare(ended_at: Millis) -> JobResult {
    JobResult {
        run: 1,
        job: 3,
        attempt: 1,
        project: 10,
        pipeline: 100,
        slug: NameId(4),
        name: NameId(5),
        agent: 0,
        trace: 1,
        status: Some(Status::Success),
        exit_code: None,
        dispatchable_at: None,
        dispatched_at: None,
        ended_at: Some(ended_at),
        wait_ms: None,
        duration_ms: None,
    }
}

#[test]
fn an_ended_job_tells_all_that_is_known_of_it() {
    let life = [
        job(Kind::JobQueued, 1_000),
        RunEvent { agent: 7, trace: 9, ..job(Kind::JobScheduled, 4_000) },
        RunEvent { status: Status::Failed, exit_code: Some(2), ..job(Kind::JobFinished, 9_000) },
    ];
    let whole = JobResult {
        agent: 7,
        trace: 9,
        status: Some(Status::Failed),
        exit_code: Some(2),
        dispatchable_at: Some(1_000),
        dispatched_at: Some(4_000),
        wait_ms: Some(3_000),
        duration_ms: Some(5_000),
        ..bare(9_000)
    };
    assert_eq!(told(&life, 9_000), [whole], "at once: nothing can change it");
}

#[test]
fn a_job_of_which_only_the_end_is_known_tells_that_after_the_grace() {
    let end = [job(Kind::JobFinished, 9_000)];
    assert_eq!(told(&end, 9_000 + GRACE), []);
    assert_eq!(told(&end, 9_001 + GRACE), [bare(9_000)], "without a trace the run's id is one");
}

#[test]
fn a_job_canceled_in_the_queue_tells_since_when_it_waited() {
    let canceled = RunEvent { status: Status::Canceled, ..job(Kind::JobFinished, 9_000) };
    let waited = JobResult { status: Some(Status::Canceled), dispatchable_at: Some(2_000), ..bare(9_000) };
    assert_eq!(told(&[job(Kind::JobQueued, 2_000), canceled], HOUR), [waited]);
}

#[test]
fn a_dispatch_too_far_behind_the_end_is_told_though_it_gives_no_duration() {
    let behind = [job(Kind::JobFinished, 9_000), job(Kind::JobScheduled, 12_000), job(Kind::JobStarted, 13_000)];
    let told = told(&behind, HOUR);
    assert_eq!(told, [JobResult { dispatched_at: Some(12_000), ..bare(9_000) }]);
}

#[test]
fn a_reclaimed_attempt_has_no_status_and_no_duration_and_the_next_keeps_its_name() {
    let life = [
        job(Kind::JobQueued, 1_000),
        RunEvent { agent: 7, ..job(Kind::JobScheduled, 4_000) },
        RunEvent { agent: 7, ..job(Kind::JobRequeued, 9_000) },
        RunEvent { attempt: 2, name: NameId::OTHER, ..job(Kind::JobScheduled, 12_000) },
        RunEvent { attempt: 2, name: NameId::OTHER, ..job(Kind::JobFinished, 15_000) },
    ];
    let (dispatched_at, wait_ms) = (Some(4_000), Some(3_000));
    let first =
        JobResult { agent: 7, status: None, dispatchable_at: Some(1_000), dispatched_at, wait_ms, ..bare(9_000) };
    let (dispatched_at, wait_ms) = (Some(12_000), Some(3_000));
    let dispatchable_at = Some(9_000);
    let second =
        JobResult { attempt: 2, dispatchable_at, dispatched_at, wait_ms, duration_ms: Some(3_000), ..bare(15_000) };
    let mut all = told(&life, HOUR);
    all.sort_by_key(|result| result.attempt);
    assert_eq!(all, [first, second], "another agent takes the next attempt");
}

/// I1: agent, name, slug, pair and trace are not counted by, and still do not depend on the order.
#[test]
fn where_events_differ_about_names_the_smaller_stands_whatever_the_order() {
    let one = RunEvent { agent: 8, trace: 30, slug: NameId(6), name: NameId(9), ..job(Kind::JobQueued, 1_000) };
    let two = RunEvent { agent: 7, trace: 0, project: 11, name: NameId::OTHER, ..job(Kind::JobScheduled, 4_000) };
    let three = RunEvent { agent: 0, trace: 20, pipeline: 101, name: NameId(8), ..job(Kind::JobStarted, 5_000) };
    let end = RunEvent { agent: 9, trace: 40, name: NameId(10), ..job(Kind::JobFinished, 9_000) };
    let expected = JobResult {
        agent: 7,
        trace: 20,
        name: NameId(8),
        dispatchable_at: Some(1_000),
        dispatched_at: Some(4_000),
        wait_ms: Some(3_000),
        duration_ms: Some(5_000),
        ..bare(9_000)
    };
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1], [2, 0, 3, 1]];
    for order in orders {
        let events = order.map(|place| [one, two, three, end][place]);
        assert_eq!(told(&events, 9_000), [expected], "{order:?}");
    }
}

/// Attempts with something known of them, by job and attempt.
fn open(results: Vec<JobResult>) -> Vec<(u128, u32, Option<Millis>, Option<Millis>)> {
    let brief = |r: JobResult| (r.job, r.attempt, r.dispatched_at, r.ended_at);
    let mut open: Vec<_> = results.into_iter().map(brief).collect();
    open.sort_unstable();
    open
}

#[test]
fn at_the_end_of_the_log_those_still_open_are_told_and_no_others() {
    let mut machine = machine(Settings::default());
    let of = |job_id, kind, time| RunEvent { job: job_id, ..job(kind, time) };
    let events = [
        of(1, Kind::JobQueued, 1_000),
        of(1, Kind::JobScheduled, 2_000),
        of(1, Kind::JobFinished, 3_000),
        of(2, Kind::JobStarted, 4_000),
        of(3, Kind::JobFinished, 5_000),
        of(4, Kind::JobQueued, 6_000),
    ];
    for event in &events {
        machine.apply(event);
    }
    assert_eq!(open(close(&mut machine, 6_000, false)), [(1, 1, Some(2_000), Some(3_000))]);
    let expected = [(2, 1, Some(4_000), None), (3, 1, None, Some(5_000)), (4, 1, None, None)];
    assert_eq!(open(close(&mut machine, 6_000, true)), expected);
}

#[test]
fn nothing_is_told_where_nobody_asks() {
    let mut machine = machine(Settings { job_results: false, ..Settings::default() });
    machine.apply(&job(Kind::JobFinished, 9_000));
    assert_eq!(close(&mut machine, HOUR, false), []);
    machine.apply(&RunEvent { job: 4, ..job(Kind::JobQueued, 9_000) });
    assert_eq!(close(&mut machine, HOUR, true), []);
}
