//! Short histories, rule by rule: what the machines of runs and archives say of one job.

use dataflows::{
    event::{Kind, RunEvent, Status},
    machines::{Close, Closed, JobsMachine, Work},
    names::NameId,
    retention::{self, Archive, Decision, Fate, LedgerRow, Policies, Policy, RetentionInput, RetentionOutput},
    route::Share,
    series::Limit,
    settings::{Limits, Retention, Settings},
    state::{self, Sweep},
    time::{Millis, StreamTime},
};
use std::sync::Arc;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;
/// After its end an archive is asked for strictly after the grace and the slack.
const ASKED: Millis = 5 * MINUTE + 4_000 + MINUTE;

struct History {
    machine: JobsMachine,
    settings: Settings,
    input: RetentionInput,
    over_limit: u64,
}

fn settings() -> Settings {
    Settings { retention: Retention { on: true, ..Retention::default() }, ..Settings::default() }
}

fn archive(on: bool) -> RetentionInput {
    let default = Some(Policy { log_retention_days: 30, archive: on });
    let policies = Arc::new(Policies { default, ..Policies::default() });
    RetentionInput { policies, ..RetentionInput::default() }
}

/// An event of run 1, the job and its attempt 1; change what differs.
fn event(kind: Kind, job: u128, time: Millis) -> RunEvent {
    RunEvent {
        kind,
        time,
        tie: 0,
        run: 1,
        project: 10,
        pipeline: 100,
        job,
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

impl History {
    fn new(settings: Settings) -> Self {
        let machine = JobsMachine::new(Arc::new(settings.clone()), 1);
        Self { machine, settings, input: archive(true), over_limit: 0 }
    }

    fn close(&mut self, now: Millis) -> RetentionOutput {
        let mut closed = Closed::new(&self.settings);
        let at = Close { now: StreamTime(now), last: false, sweep: Sweep::default() };
        self.machine.close(at, Some(&self.input), &mut closed);
        self.over_limit += closed.deltas.quality.over_limit[Limit::PendingArchives as usize];
        closed.retention.sort();
        closed.retention
    }

    fn epoch(&mut self, events: &[RunEvent], now: Millis) -> RetentionOutput {
        for event in events {
            self.machine.apply(event);
        }
        self.close(now)
    }

    /// A job that ran for a minute up to `time`.
    fn job(&mut self, job: u128, time: Millis) {
        let events = [Kind::JobQueued, Kind::JobScheduled, Kind::JobFinished];
        for (index, kind) in (0..).zip(events) {
            self.machine.apply(&event(kind, job, time - MINUTE + index * MINUTE / 2));
        }
    }
}

fn tried(decisions: &[Decision]) -> Vec<(u128, u32, Millis)> {
    let tried = decisions.iter().map(|decision| match decision.subject {
        retention::Subject::Archive { job, try_, .. } => (job, try_, decision.time),
        retention::Subject::Partition(_) => panic!("not about an archive: {decision:?}"),
    });
    tried.collect()
}

#[test]
fn a_jobs_log_is_asked_for_and_its_row_tells_what_is_known() {
    let mut history = History::new(settings());
    history.job(7, HOUR);
    let output = history.close(HOUR);
    let row = LedgerRow {
        job: 7,
        run: 1,
        attempt: 1,
        project: 10,
        dispatched: true,
        ended_at: Some(HOUR),
        ..LedgerRow::default()
    };
    assert_eq!(output.ledger_rows, [row]);
    assert_eq!((output.waiting, output.oldest_waiting), (1, Some(HOUR)));
    assert_eq!(history.close(HOUR + ASKED).decisions, []);
    let output = history.close(HOUR + ASKED + 1);
    let reason = "attempt 1 ended at 1970-01-01T01:00:00Z, and its log has no archive";
    assert_eq!(tried(&output.decisions), [(7, 1, HOUR + 5 * MINUTE)]);
    assert_eq!((output.decisions[0].reason.as_str(), output.decisions[0].project), (reason, Some(10)));
    let archived = event(Kind::LogArchived, 7, HOUR + 6 * MINUTE);
    let output = history.epoch(&[archived], 2 * HOUR);
    let (archive, archived_at) = (Archive::Success, Some(HOUR + 6 * MINUTE));
    assert_eq!(output.ledger_rows, [LedgerRow { dispatched: false, ended_at: None, archive, archived_at, ..row }]);
    assert_eq!((output.waiting, output.oldest_waiting), (0, None));
    assert_eq!(output.fates[Fate::Executed as usize], 1);
    assert_eq!(history.close(100 * HOUR), RetentionOutput::default(), "nothing is left of it");
}

#[test]
fn the_next_try_says_which_it_is() {
    let mut history = History::new(settings());
    history.job(7, HOUR);
    history.close(2 * HOUR);
    let failed = RunEvent { status: Status::Failed, ..event(Kind::LogArchived, 7, HOUR + 10 * MINUTE) };
    let output = history.epoch(&[failed], 3 * HOUR);
    assert_eq!(tried(&output.decisions), [(7, 2, HOUR + 15 * MINUTE)]);
    let reason = "attempt 1 ended at 1970-01-01T01:00:00Z; try 1 of 10 gave no archive of its log";
    assert_eq!(output.decisions[0].reason, reason);
    assert_eq!((output.failing, output.fates[Fate::Failed as usize]), (1, 1));
}

#[test]
fn what_comes_too_late_to_be_applied_is_written_down_and_asked_of_nobody() {
    let mut history = History::new(settings());
    history.close(100 * DAY);
    history.job(7, DAY);
    let output = history.epoch(&[RunEvent { agent: 5, ..event(Kind::JobFinished, 7, DAY) }], 100 * DAY + HOUR);
    let [row] = output.ledger_rows[..] else { panic!("{output:?}") };
    assert_eq!((row.job, row.dispatched, row.ended_at), (7, true, Some(DAY)));
    assert_eq!((output.decisions.len(), output.waiting), (0, 0), "a replay of last year asks for nothing");
}

#[test]
fn an_archive_on_the_edge_of_two_ends_is_of_both() {
    let mut history = History::new(settings());
    let (lost, ended) = (HOUR + DAY, HOUR + DAY + 3 * MINUTE);
    let archived = event(Kind::LogArchived, 7, ended - 2_000);
    let output = history.epoch(&[event(Kind::JobStarted, 7, HOUR), archived], lost + 2 * MINUTE);
    assert_eq!((output.ledger_rows[0].ended_at, output.waiting), (Some(lost), 1));
    let output = history.epoch(&[event(Kind::JobFinished, 7, ended)], ended + HOUR);
    assert_eq!((output.decisions.len(), output.waiting), (0, 0), "{output:?}");
    assert_eq!(output.ledger_rows[0].ended_at, Some(ended));
}

#[test]
fn what_a_bound_keeps_out_is_archived_all_the_same() {
    let limits = Limits { max_open_jobs: 1, ..Limits::default() };
    let mut history = History::new(Settings { limits, ..settings() });
    history.epoch(&[event(Kind::JobQueued, 1, HOUR)], HOUR);
    history.epoch(&[event(Kind::JobStarted, 7, HOUR)], HOUR);
    let output = history.epoch(&[event(Kind::JobFinished, 7, HOUR + MINUTE)], HOUR + MINUTE);
    assert_eq!((output.ledger_rows[0].dispatched, output.waiting), (true, 1));
    assert_eq!(tried(&history.close(2 * HOUR).decisions), [(7, 1, HOUR + 6 * MINUTE)]);
}

#[test]
fn a_dispatch_that_is_read_after_the_attempt_is_over_counts() {
    let mut history = History::new(settings());
    history.epoch(&[event(Kind::JobFinished, 7, HOUR)], HOUR + 10 * MINUTE);
    assert_eq!(history.close(HOUR + 20 * MINUTE).decisions, [], "it may have been canceled in the queue");
    let output = history.epoch(&[event(Kind::JobStarted, 7, HOUR - MINUTE)], 2 * HOUR);
    assert!(output.ledger_rows[0].dispatched);
    assert_eq!(tried(&output.decisions), [(7, 1, HOUR + 5 * MINUTE)]);
}

#[test]
fn a_job_that_is_read_after_its_run_is_over_is_closed_by_it() {
    let mut history = History::new(settings());
    let kinds = [Kind::RunQueued, Kind::RunStarted, Kind::RunFinished];
    let times = (0..).map(|index| HOUR - 2 * MINUTE + index * MINUTE);
    let run = kinds.into_iter().zip(times).map(|(kind, time)| RunEvent { attempt: 0, ..event(kind, 0, time) });
    history.epoch(&run.collect::<Vec<_>>(), HOUR + 1_000);
    history.epoch(&[event(Kind::JobStarted, 7, HOUR - MINUTE)], HOUR + 2_000);
    let output = history.close(HOUR + 2 * MINUTE);
    assert_eq!(output.ledger_rows.iter().map(|row| (row.job, row.ended_at)).collect::<Vec<_>>(), [(7, Some(HOUR))]);
    assert_eq!(history.close(HOUR + ASKED).decisions, []);
    assert_eq!(tried(&history.close(HOUR + ASKED + 1).decisions), [(7, 1, HOUR + 5 * MINUTE)]);
}

#[test]
fn at_the_bound_those_go_that_nobody_wants_archived_and_the_ledger_knows_all() {
    let limits = Limits { max_pending_archives: 2, ..Limits::default() };
    let mut history = History::new(Settings { limits, ..settings() });
    for job in 1..=3 {
        history.job(job, HOUR);
    }
    let output = history.close(HOUR);
    assert_eq!((output.waiting, history.over_limit, output.ledger_rows.len()), (2, 1, 3));
    history.input = archive(false);
    history.close(2 * HOUR);
    history.job(4, 2 * HOUR);
    let output = history.close(2 * HOUR);
    assert_eq!((output.waiting, history.over_limit), (1, 2), "one that is held made room");
}

#[test]
fn where_logs_are_not_archived_they_are_held_until_they_have_gone() {
    let mut history = History::new(settings());
    history.input = archive(false);
    history.job(7, HOUR);
    let output = history.close(DAY);
    assert_eq!((output.decisions.len(), output.waiting), (0, 0));
    history.input = archive(true);
    let output = history.close(2 * DAY);
    assert_eq!((tried(&output.decisions), output.waiting), (vec![(7, 1, 2 * DAY)], 1), "it begins to archive");
    history.input = archive(false);
    history.close(4 * DAY);
    history.close(HOUR + 92 * DAY + 1);
    history.input = archive(true);
    assert_eq!(history.close(94 * DAY).decisions, [], "30 days of retention and 62 more have passed");
}

/// What the machine stores of an epoch without anything read.
fn stored(machine: &mut JobsMachine, settings: &Settings, now: Millis) -> Vec<u8> {
    let at = Close { now: StreamTime(now), last: false, sweep: Sweep::ALL };
    machine.close(at, None, &mut Closed::new(settings));
    state::blob(Share::WHOLE, machine.sections(Sweep::ALL))
}

fn restored(blob: &[u8], settings: &Settings, now: Millis) -> JobsMachine {
    let mut machine = JobsMachine::new(Arc::new(settings.clone()), 1);
    for (table, entries) in state::parse(blob).unwrap().sections {
        machine.load(table, entries, &mut |_| true).unwrap();
    }
    machine.loaded(StreamTime(now)).unwrap();
    machine.record();
    machine
}

#[test]
fn state_from_before_retention_is_gone_on_from_and_the_other_way_round() {
    let (off, on) = (Settings { retention: Retention::default(), ..settings() }, settings());
    let mut machine = JobsMachine::new(Arc::new(off.clone()), 1);
    machine.record();
    machine.apply(&event(Kind::JobStarted, 7, HOUR));
    let before = stored(&mut machine, &off, HOUR);
    assert_eq!(before[0], 1, "an older version can go on from it");
    let mut history = History { machine: restored(&before, &on, HOUR), ..History::new(on.clone()) };
    let output = history.epoch(&[event(Kind::JobFinished, 7, 2 * HOUR)], 3 * HOUR);
    let [row] = output.ledger_rows[..] else { panic!("{output:?}") };
    assert_eq!((row.dispatched, row.ended_at, output.decisions.len()), (true, Some(2 * HOUR), 1));
    history.machine.record();
    history.job(8, 3 * HOUR);
    let with = stored(&mut history.machine, &on, 3 * HOUR);
    assert_eq!(with[0], 2, "an older version must not go on from it");
    assert_eq!(history.machine.archives.as_ref().unwrap().census().0, 2);
    assert!(restored(&with, &off, 3 * HOUR).archives.is_none());
    assert_eq!(restored(&with, &on, 3 * HOUR).archives.unwrap().census().0, 2);
}

#[test]
fn each_loss_of_an_attempt_whose_end_is_known_already_is_an_end_of_its_own() {
    let mut history = History::new(settings());
    let life =
        [(Kind::JobQueued, 0), (Kind::JobScheduled, HOUR), (Kind::JobStarted, 2 * DAY), (Kind::JobFinished, 5 * DAY)];
    let life = life.map(|(kind, time)| event(kind, 7, time));
    let mut ends = vec![];
    let mut note = |output: RetentionOutput| ends.extend(output.ledger_rows.iter().map(|row| row.ended_at));
    note(history.epoch(&life, 2 * HOUR));
    for day in 1..8 {
        note(history.close(day * DAY + 2 * HOUR));
    }
    assert_eq!(ends, [Some(5 * DAY), Some(HOUR + DAY), Some(3 * DAY)], "after the scheduling, and after the start");
}
