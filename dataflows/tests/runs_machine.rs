//! The job and run machine, rule by rule (docs/rules.md): short histories, and what the series then say.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

use dataflows::{
    event::{Kind, RunEvent, Status},
    machines::{Close, Closed, Machine, RunsMachine},
    names::NameId,
    registry::{Registry, Snapshot},
    series::Limit,
    settings::{Limits, Settings},
    state::Sweep,
    time::{Epoch, Millis, StreamTime},
};
use std::sync::Arc;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;
/// Late grace and skew tolerance: a deadline is this long after a fact.
const GRACE: Millis = MINUTE + 2_000;

/// A machine and the registry behind it.
struct History {
    machine: RunsMachine,
    registry: Registry,
    settings: Settings,
    epoch: u64,
}

/// A job event of run 1, job 1, attempt 1; change what differs.
fn job(kind: Kind, time: Millis) -> RunEvent {
    RunEvent {
        kind,
        time,
        tie: 0,
        run: 1,
        project: 10,
        pipeline: 100,
        job: 1,
        agent: 0,
        trace: 0,
        attempt: 1,
        slug: NameId(1),
        name: NameId(2),
        status: Status::Success,
        dispatchable: true,
        exit_code: None,
    }
}

fn run(kind: Kind, time: Millis) -> RunEvent {
    RunEvent { job: 0, attempt: 0, name: NameId::OTHER, ..job(kind, time) }
}

impl History {
    fn new(settings: Settings) -> Self {
        let machine = RunsMachine::new(Arc::new(settings.clone()), 1);
        let registry = Registry::new(&settings);
        Self { machine, registry, settings, epoch: 0 }
    }

    fn standard() -> Self {
        Self::new(Settings::default())
    }

    /// One epoch: events, then its end at stream time `now`.
    fn epoch(&mut self, events: &[RunEvent], now: Millis) -> Snapshot {
        for event in events {
            self.machine.apply(event);
        }
        let mut closed = Closed::new(&self.settings);
        self.machine.close(Close { now: StreamTime(now), last: false, sweep: Sweep::default() }, &mut closed);
        self.epoch += 1;
        self.registry.fold(Epoch(self.epoch), StreamTime(now), closed.deltas)
    }
}

fn gauges(snapshot: &Snapshot) -> (i64, i64, i64, i64) {
    let t = &snapshot.totals;
    (t.runs_queued, t.jobs_pending, t.jobs_dispatchable, t.jobs_running)
}

fn scheduled(snapshot: &Snapshot) -> u64 {
    snapshot.jobs_scheduled.values().sum()
}

fn durations(snapshot: &Snapshot, status: Status) -> (u64, i64) {
    let histogram = &snapshot.totals.job_duration[status as usize];
    (histogram.count(), histogram.sum_ms)
}

fn waits(snapshot: &Snapshot) -> (u64, i64) {
    (snapshot.totals.job_queue.count(), snapshot.totals.job_queue.sum_ms)
}

#[test]
fn a_plain_life_moves_every_series_at_once() {
    let mut history = History::standard();
    let s = history.epoch(&[run(Kind::RunQueued, 0), job(Kind::JobQueued, 1_000)], 2_000);
    assert_eq!(gauges(&s), (1, 1, 1, 0));
    assert_eq!(s.oldest_dispatchable_ms(), 1_000);
    let s = history.epoch(&[job(Kind::JobScheduled, 5_000)], 5_000);
    assert_eq!((gauges(&s), scheduled(&s), waits(&s)), ((0, 1, 0, 1), 1, (1, 4_000)), "a dispatch starts the run");
    assert_eq!(s.oldest_dispatchable_ms(), 0);
    let end = [job(Kind::JobStarted, 5_100), job(Kind::JobFinished, 9_000), run(Kind::RunFinished, 9_500)];
    let s = history.epoch(&end, 10_000);
    assert_eq!((gauges(&s), durations(&s, Status::Success)), ((0, 0, 0, 0), (1, 4_000)));
    assert_eq!(history.machine.open_jobs(), 0, "settled and retired");
}

#[test]
fn every_order_and_duplicate_gives_the_same() {
    let life = [
        run(Kind::RunQueued, 0),
        run(Kind::RunStarted, 900),
        job(Kind::JobQueued, 1_000),
        job(Kind::JobScheduled, 5_000),
        job(Kind::JobFinished, 9_000),
        run(Kind::RunFinished, 9_500),
    ];
    for start in 0..life.len() {
        let mut history = History::standard();
        let rotated = life.iter().cycle().skip(start).take(2 * life.len());
        let mut last = None;
        for event in rotated {
            last = Some(history.epoch(&[*event], 10_000));
        }
        let s = last.unwrap();
        assert_eq!((scheduled(&s), waits(&s), durations(&s, Status::Success)), (1, (1, 4_000), (1, 4_000)));
        assert_eq!(s.totals.run_duration[Status::Success as usize].sum_ms, 8_600);
        assert_eq!((gauges(&s), s.totals.quality.duplicates), ((0, 0, 0, 0), 6), "from {start}");
    }
}

#[test]
fn a_job_of_a_later_stage_is_dispatchable_when_it_is_ready() {
    let mut history = History::standard();
    let waiting = RunEvent { dispatchable: false, ..job(Kind::JobQueued, 0) };
    assert_eq!(gauges(&history.epoch(&[waiting], 1_000)), (0, 1, 0, 0));
    let s = history.epoch(&[job(Kind::JobReady, 3_000)], 4_000);
    assert_eq!((gauges(&s), s.oldest_dispatchable_ms()), ((0, 1, 1, 0), 1_000));
    assert_eq!(waits(&history.epoch(&[job(Kind::JobScheduled, 7_000)], 7_000)), (1, 4_000));
}

#[test]
fn incomplete_facts_are_used_strictly_after_the_grace() {
    let mut history = History::standard();
    history.epoch(&[job(Kind::JobStarted, 0), job(Kind::JobFinished, 5_000)], 5_000);
    let s = history.epoch(&[], 5_000 + GRACE);
    assert_eq!(durations(&s, Status::Success), (0, 0));
    let s = history.epoch(&[], 5_001 + GRACE);
    assert_eq!((durations(&s, Status::Success), waits(&s)), ((1, 5_000), (0, 0)), "from started; no wait known");
}

#[test]
fn a_job_canceled_in_the_queue_gives_no_sample_and_no_dispatch() {
    let mut history = History::standard();
    let canceled = RunEvent { status: Status::Canceled, ..job(Kind::JobFinished, 5_000) };
    history.epoch(&[job(Kind::JobQueued, 0), canceled], 6_000);
    let s = history.epoch(&[], 5_001 + GRACE);
    assert_eq!((gauges(&s), scheduled(&s), durations(&s, Status::Canceled)), ((0, 0, 0, 0), 0, (0, 0)));
    let s = history.epoch(&[job(Kind::JobScheduled, 4_000)], HOUR);
    assert_eq!(scheduled(&s), 1, "evidence of dispatch counts whenever it is read");
    let s = history.epoch(&[job(Kind::JobScheduled, 4_000)], HOUR);
    assert_eq!((scheduled(&s), s.totals.quality.duplicates), (1, 1));
}

#[test]
fn a_finish_with_an_agent_proves_a_dispatch() {
    let mut history = History::standard();
    let s = history.epoch(&[run(Kind::RunQueued, 0), RunEvent { agent: 7, ..job(Kind::JobFinished, 5_000) }], 6_000);
    assert_eq!((gauges(&s), scheduled(&s)), ((0, 0, 0, 0), 1));
}

#[test]
fn of_two_ends_the_earlier_stands_until_it_is_settled() {
    let mut history = History::standard();
    let failed = RunEvent { status: Status::Failed, ..job(Kind::JobFinished, 6_000) };
    history.epoch(&[job(Kind::JobStarted, 0), failed], 7_000);
    let s = history.epoch(&[job(Kind::JobFinished, 5_000)], 8_000);
    assert_eq!(s.totals.quality.conflicts, 1);
    let s = history.epoch(&[], 5_001 + GRACE);
    assert_eq!((durations(&s, Status::Success), durations(&s, Status::Failed)), ((1, 5_000), (0, 0)));
    let s = history.epoch(&[RunEvent { time: 1_000, ..failed }], HOUR);
    assert_eq!((durations(&s, Status::Failed).0, s.totals.quality.conflicts), (0, 2), "the settled one stands");
}

#[test]
fn of_two_ends_at_one_time_the_smaller_fingerprint_stands() {
    let ends = [
        RunEvent { tie: 2, ..job(Kind::JobFinished, 5_000) },
        RunEvent { tie: 1, status: Status::Failed, ..job(Kind::JobFinished, 5_000) },
    ];
    for order in [[0, 1], [1, 0]] {
        let mut history = History::standard();
        history.epoch(&[job(Kind::JobStarted, 0), ends[order[0]], ends[order[1]]], 6_000);
        let s = history.epoch(&[], HOUR);
        assert_eq!((durations(&s, Status::Failed), durations(&s, Status::Success)), ((1, 5_000), (0, 0)));
    }
}

#[test]
fn a_reclaimed_attempt_gives_a_wait_but_no_duration_and_queues_the_next() {
    let mut history = History::standard();
    let first = [job(Kind::JobQueued, 0), job(Kind::JobScheduled, 1_000), job(Kind::JobRequeued, 9_000)];
    let s = history.epoch(&first, 10_000);
    assert_eq!((gauges(&s), waits(&s)), ((0, 1, 1, 0), (1, 1_000)));
    assert_eq!(s.oldest_dispatchable_ms(), 1_000);
    let second = |kind, time| RunEvent { attempt: 2, ..job(kind, time) };
    let s = history.epoch(&[second(Kind::JobScheduled, 12_000)], 12_000);
    assert_eq!((waits(&s).0, scheduled(&s)), (1, 2), "the requeue stands for its queued only in the end");
    let s = history.epoch(&[second(Kind::JobFinished, 15_000)], 15_001 + GRACE);
    assert_eq!((waits(&s), durations(&s, Status::Success)), ((2, 4_000), (1, 3_000)));
    let s = history.epoch(&[job(Kind::JobFinished, 9_500)], HOUR);
    assert_eq!(s.totals.quality.conflicts, 1, "a later terminal of a reclaimed attempt");
}

#[test]
fn a_real_queued_takes_the_place_of_the_reclaim() {
    let mut history = History::standard();
    history.epoch(&[job(Kind::JobStarted, 0), job(Kind::JobRequeued, 9_000)], 10_000);
    let second = RunEvent { attempt: 2, dispatchable: false, ..job(Kind::JobQueued, 9_700) };
    let s = history.epoch(&[second], 10_000);
    assert_eq!(gauges(&s), (0, 1, 0, 0));
}

#[test]
fn a_runs_finish_closes_its_open_jobs_and_a_jobs_own_finish_still_counts() {
    let mut history = History::standard();
    history.epoch(&[job(Kind::JobQueued, 0), job(Kind::JobScheduled, 1_000)], 2_000);
    let s = history.epoch(&[run(Kind::RunFinished, 5_000)], 6_000);
    assert_eq!((gauges(&s), s.totals.jobs_lost), ((0, 0, 0, 0), 0));
    let s = history.epoch(&[job(Kind::JobFinished, 4_000)], 6_000);
    assert_eq!(durations(&s, Status::Success), (1, 3_000));
    let other = RunEvent { job: 2, ..job(Kind::JobQueued, 4_500) };
    let s = history.epoch(&[other], 2 * HOUR);
    assert_eq!(gauges(&s), (0, 0, 0, 0), "the finish of a retired run is remembered");
}

#[test]
fn a_dispatched_job_is_lost_after_its_time_to_live_and_its_late_finish_counts() {
    let mut history = History::standard();
    history.epoch(&[job(Kind::JobQueued, 0), job(Kind::JobScheduled, 1_000)], 2_000);
    let s = history.epoch(&[], 1_000 + DAY + MINUTE);
    assert_eq!((gauges(&s), s.totals.jobs_lost), ((0, 1, 0, 1), 0));
    let s = history.epoch(&[], 1_001 + DAY + MINUTE);
    assert_eq!((gauges(&s), s.totals.jobs_lost), ((0, 0, 0, 0), 1));
    let s = history.epoch(&[job(Kind::JobFinished, 2 * DAY)], 2 * DAY);
    assert_eq!((durations(&s, Status::Success), s.totals.jobs_lost), ((1, 2 * DAY - 1_000), 1));
}

#[test]
fn a_loss_counts_even_if_the_finish_was_read_before_the_deadline_passed() {
    let mut history = History::standard();
    let life = [job(Kind::JobQueued, 0), job(Kind::JobScheduled, 1_000), job(Kind::JobFinished, 2 * DAY)];
    let s = history.epoch(&life, 5_000);
    assert_eq!((s.totals.jobs_lost, durations(&s, Status::Success).0), (0, 1));
    assert_eq!(history.epoch(&[], 1_001 + DAY + MINUTE).totals.jobs_lost, 1);
    assert_eq!(history.machine.open_jobs(), 0, "then it is retired");
}

#[test]
fn a_queued_job_and_a_queued_run_are_lost_after_the_queues_time_to_live() {
    let mut history = History::standard();
    history.epoch(&[run(Kind::RunQueued, 0), job(Kind::JobQueued, 0)], 0);
    assert_eq!(gauges(&history.epoch(&[], 14 * DAY + MINUTE)), (1, 1, 1, 0));
    let s = history.epoch(&[], 14 * DAY + MINUTE + 1);
    assert_eq!((gauges(&s), s.totals.jobs_lost), ((0, 0, 0, 0), 1));
    assert_eq!(s.oldest_dispatchable_ms(), 0);
    let s = history.epoch(&[job(Kind::JobStarted, 15 * DAY)], 15 * DAY);
    assert_eq!(gauges(&s), (0, 1, 0, 1), "a later fact applies as if it had never been lost");
}

#[test]
fn redelivery_within_the_window_moves_nothing_and_after_it_is_late() {
    let mut history = History::standard();
    let life = [job(Kind::JobQueued, 0), job(Kind::JobScheduled, 1_000), job(Kind::JobFinished, 5_000)];
    history.epoch(&life, 5_000);
    history.epoch(&[], 3 * DAY);
    let s = history.epoch(&life, 3 * DAY);
    assert_eq!((scheduled(&s), s.totals.quality.duplicates), (1, 3));
    // so old that nobody would have to know it, and known still: what came with it may be a grace later
    history.epoch(&[], 3 * DAY + MINUTE + 5_000);
    let s = history.epoch(&life, 3 * DAY + MINUTE + 5_001);
    assert_eq!((scheduled(&s), s.totals.quality.late, s.totals.quality.duplicates), (1, 0, 6));
    let s = history.epoch(&life, 4 * DAY);
    assert_eq!((scheduled(&s), s.totals.quality.late, s.totals.quality.duplicates), (1, 3, 6));
}

#[test]
fn a_dispatch_that_shows_after_retirement_is_of_the_smallest_pair_in_any_order() {
    let end = job(Kind::JobFinished, 1_000);
    let other = RunEvent { project: 9, ..job(Kind::JobStarted, 500) };
    let conflict = RunEvent { status: Status::Failed, agent: 7, ..job(Kind::JobFinished, 900) };
    let mut told = vec![job(Kind::JobScheduled, 400), other, conflict];
    let mut seen = vec![];
    for _ in 0..told.len() {
        told.rotate_left(1);
        for swap in [false, true] {
            if swap {
                told.swap(0, 1);
            }
            let mut history = History::standard();
            history.epoch(&[end], 1_000);
            history.epoch(&[], 10 * MINUTE);
            let s = history.epoch(&told, 10 * MINUTE);
            let counted: Vec<_> = s.jobs_scheduled.iter().map(|(pair, count)| (pair.project, *count)).collect();
            seen.push((counted, s.totals.quality.duplicates, s.totals.quality.conflicts));
        }
    }
    seen.dedup();
    assert_eq!(seen, [(vec![(Some(9), 1)], 1, 1)]);
}

#[test]
fn a_loss_depends_on_no_cut_though_its_time_to_live_is_shorter_than_the_grace() {
    let settings = Settings { job_ttl_ms: 10_000, ..Settings::default() };
    let run_ends = [run(Kind::RunQueued, 0), run(Kind::RunStarted, 1_000), run(Kind::RunFinished, 30_000)];
    for ticks in [vec![], vec![40_000, 50_000]] {
        let mut history = History::new(settings.clone());
        history.epoch(&run_ends, 30_000);
        for now in &ticks {
            history.epoch(&[], *now);
        }
        // read 45 s after its time
        history.epoch(&[job(Kind::JobStarted, 5_000)], 50_000);
        let s = history.epoch(&[], HOUR);
        assert_eq!(s.totals.jobs_lost, 1, "after {ticks:?}");
    }
}

#[test]
fn the_last_attempt_that_can_be_numbered_queues_no_next_one() {
    let mut history = History::standard();
    let last = |kind, time| RunEvent { attempt: u32::MAX, ..job(kind, time) };
    let s = history.epoch(&[last(Kind::JobScheduled, 9), last(Kind::JobRequeued, 10)], HOUR);
    assert_eq!((waits(&s), gauges(&s)), ((0, 0), (0, 0, 0, 0)));
}

/// Facts that lie within the window of each other, each read within the grace of its time (I1).
#[test]
fn a_fact_that_is_read_in_time_finds_what_came_a_window_before() {
    let last = 3 * DAY - 10_000;
    for ticks in [vec![], vec![3 * DAY + 30_000]] {
        let mut history = History::standard();
        history.epoch(&[job(Kind::JobStarted, 0), run(Kind::RunFinished, 1_000)], 1_000);
        for now in &ticks {
            history.epoch(&[], *now);
        }
        history.epoch(&[RunEvent { agent: 7, ..job(Kind::JobFinished, last) }], 3 * DAY + 40_000);
        let s = history.epoch(&[], 4 * DAY);
        assert_eq!((scheduled(&s), durations(&s, Status::Success)), (1, (1, last)), "a job, after {ticks:?}");

        let mut history = History::new(Settings { queue_ttl_ms: HOUR, ..Settings::default() });
        history.epoch(&[run(Kind::RunStarted, 0)], 0);
        for now in &ticks {
            history.epoch(&[], *now);
        }
        history.epoch(&[run(Kind::RunFinished, last)], 3 * DAY + 40_000);
        let s = history.epoch(&[], 4 * DAY);
        let taken = &s.totals.run_duration[Status::Success as usize];
        assert_eq!((taken.count(), taken.sum_ms), (1, last), "a run, after {ticks:?}");
    }
}

#[test]
fn within_an_epoch_a_late_event_is_taken_if_another_makes_its_attempt_known() {
    for swap in [false, true] {
        let mut history = History::standard();
        history.epoch(&[], 4 * DAY);
        let mut events = [job(Kind::JobScheduled, 0), job(Kind::JobFinished, 4 * DAY)];
        if swap {
            events.reverse();
        }
        let s = history.epoch(&events, 4 * DAY);
        assert_eq!((scheduled(&s), s.totals.quality.late), (1, 0));
    }
}

#[test]
fn within_an_epoch_late_events_make_each_other_known_in_any_order() {
    // the next attempt is known by the reclaim of the one before it, and that one by an event that is not late
    let next = |attempt, event: RunEvent| RunEvent { attempt, ..event };
    let events = [
        job(Kind::JobQueued, 4 * DAY),
        job(Kind::JobRequeued, 1_000),
        next(2, job(Kind::JobRequeued, 2_000)),
        next(3, job(Kind::JobScheduled, 3_000)),
    ];
    for rotated in 0..events.len() {
        for reversed in [false, true] {
            let mut events = events;
            events.rotate_left(rotated);
            if reversed {
                events.reverse();
            }
            let mut history = History::standard();
            history.epoch(&[], 4 * DAY);
            let s = history.epoch(&events, 4 * DAY);
            assert_eq!((scheduled(&s), s.totals.quality.late), (1, 0), "{rotated} {reversed}");
        }
    }
}

#[test]
fn every_bound_on_state_is_counted_when_it_bites() {
    let limits = Limits { max_open_jobs: 3, max_open_runs: 2, max_jobs_per_run: 2, ..Limits::default() };
    let mut history = History::new(Settings { limits, ..Settings::default() });
    let of = |run, job_id| RunEvent { run, job: job_id, ..job(Kind::JobQueued, 0) };
    let events = [of(1, 1), of(1, 2), of(1, 3), of(2, 1), of(2, 2), of(3, 1)];
    let s = history.epoch(&events, 0);
    let over = |limit: Limit| s.totals.quality.over_limit[limit as usize];
    assert_eq!((over(Limit::JobsPerRun), over(Limit::OpenJobs), over(Limit::OpenRuns)), (1, 1, 1));
    assert_eq!(s.totals.jobs_pending, 3);
}

#[test]
fn bounds_on_open_state_are_divided_among_the_workers_and_rounded_up() {
    let limits = Limits { max_open_jobs: 5, max_open_runs: 3, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let machine = RunsMachine::new(Arc::new(settings.clone()), 2);
    let mut history = History { machine, ..History::new(settings) };
    let of = |run, job_id| RunEvent { run, job: job_id, ..job(Kind::JobQueued, 0) };
    let s = history.epoch(&[of(1, 1), of(1, 2), of(2, 1), of(2, 2), of(3, 1)], 0);
    let over = |limit: Limit| s.totals.quality.over_limit[limit as usize];
    assert_eq!((over(Limit::OpenJobs), over(Limit::OpenRuns), s.totals.jobs_pending), (1, 1, 3));
}

#[test]
fn the_oldest_dispatchable_is_found_among_thousands() {
    let mut history = History::standard();
    let queued = |n: i64| RunEvent { job: u128::from(n.unsigned_abs()) + 1, ..job(Kind::JobQueued, n) };
    let all: Vec<RunEvent> = (0..5_000).map(queued).collect();
    assert_eq!(history.epoch(&all, 10_000).oldest_dispatchable_ms(), 10_000);
    let dispatched: Vec<RunEvent> =
        (0..4_000).map(|n| RunEvent { kind: Kind::JobScheduled, time: 10_000, ..queued(n) }).collect();
    let s = history.epoch(&dispatched, 10_000);
    assert_eq!((s.oldest_dispatchable_ms(), gauges(&s)), (6_000, (0, 5_000, 1_000, 4_000)));
}
