//! What keeps a partition that is old: each reason, and each of them alone.

use crate::support::{Place, State, jobs, on_both, order, outcome, run_all, word};
use dataflows::{
    retention::{Archive, Fact, LedgerRow, Policy},
    time::Millis,
};
use gocdnext_flow::{
    logs::Step,
    retention::{Order, Outcome, run},
};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::{runtime::Handle, task::block_in_place};

on_both!(
    what_is_not_known_of_policies_and_history_blocks,
    every_job_must_pass,
    many_jobs_are_asked_for_in_pages,
    what_changes_before_the_lock_counts,
    one_that_was_put_back_is_not_dropped_again,
    the_ledger_tells_until_it_is_acknowledged,
);

/// An old partition with three jobs that pass.
async fn old(place: &Place, state: &State) -> Vec<u128> {
    place.months(6).await;
    let jobs = jobs(1, 3);
    place.lines(6, &jobs, 10).await;
    state.archived(&jobs);
    jobs
}

async fn said(place: &Place, state: &State) -> String {
    let report = run_all(place, state).await;
    // the empty ones between may go, and are not what is looked at
    word(&outcome(&report, place, 6))
}

async fn what_is_not_known_of_policies_and_history_blocks(place: Place) {
    let state = State::new(&place);
    old(&place, &state).await;
    let good = state.change(|inner| inner.standing.clone());
    let lower = place.partition(6).lower;
    let default = Policy { log_retention_days: 0, archive: false };
    state.policies(|policies| {
        policies.default = None;
        policies.projects.insert(7, default);
    });
    assert_eq!(said(&place, &state).await, "no_policy");
    state.change(|inner| inner.standing = good.clone());
    state.change(|inner| inner.standing.input.complete_from = Some(lower + 1));
    assert_eq!(said(&place, &state).await, "incomplete_history");
    state.change(|inner| inner.standing.input.complete_from = None);
    assert_eq!(said(&place, &state).await, "incomplete_history");
    state.change(|inner| inner.standing = good.clone());
    state.change(|inner| inner.standing.moment.caught_up = false);
    assert_eq!(said(&place, &state).await, "not_caught_up");
    state.change(|inner| inner.standing = good.clone());
    state.policies(|policies| policies.projects.extend([(9, Policy { log_retention_days: 400, archive: false })]));
    assert_eq!(said(&place, &state).await, "Young", "the longest retention holds for all");
    state.change(|inner| {
        inner.standing = good.clone();
        inner.standing.moment.now.0 = Millis::MIN;
    });
    assert_eq!(said(&place, &state).await, "Young");
    assert!(!place.dropped().await.contains_key(&place.name(6)));
    state.change(|inner| inner.standing = good);
    assert_eq!(said(&place, &state).await, "Dropped");
}

async fn every_job_must_pass(place: Place) {
    let state = State::new(&place);
    let all = old(&place, &state).await;
    let good = state.change(|inner| inner.rows.clone());
    let last = all[2];
    let change = |change: fn(&mut LedgerRow)| {
        state.change(|inner| inner.rows.clone_from(&good));
        state.change(|inner| inner.rows.iter_mut().filter(|row| row.job == last).for_each(change));
    };
    change(|row| row.ended_at = None);
    assert_eq!(said(&place, &state).await, "archive_pending");
    change(|row| (row.archive, row.archived_at) = (Archive::None, None));
    assert_eq!(said(&place, &state).await, "archive_pending");
    change(|row| (row.archive, row.archived_at) = (Archive::Failed, None));
    assert_eq!(said(&place, &state).await, "archive_failed");
    // its lines were written after it was archived
    change(|row| row.archived_at = Some(1_000_000));
    assert_eq!(said(&place, &state).await, "archive_pending");
    // of several attempts each counts
    state.change(|inner| inner.rows.clone_from(&good));
    state.rows(&[last], |row| LedgerRow { attempt: 2, archive: Archive::None, archived_at: None, ..row });
    assert_eq!(said(&place, &state).await, "archive_pending");
    state.change(|inner| {
        inner.rows.clone_from(&good);
        inner.rows.retain(|row| row.job != last);
    });
    let report = run_all(&place, &state).await;
    let Outcome::Blocked(obstacle) = outcome(&report, &place, 6) else { panic!("{report:?}") };
    assert_eq!((obstacle.reason.name(), obstacle.jobs.as_slice()), ("unknown_job", &[last][..]));
    assert_eq!(obstacle.facts["jobs_unknown"], Fact::Number(1));
    assert_eq!((&obstacle.facts["rows"], &obstacle.facts["jobs"]), (&Fact::Number(30), &Fact::Number(3)));
    assert!(!place.dropped().await.contains_key(&place.name(6)));
    // where its project does not archive, it only has to have ended
    change(|row| (row.archive, row.archived_at) = (Archive::Failed, None));
    state.policies(|policies| policies.projects.extend([(7, Policy { log_retention_days: 1, archive: false })]));
    assert_eq!(said(&place, &state).await, "Dropped");
}

async fn many_jobs_are_asked_for_in_pages(place: Place) {
    let state = State::new(&place);
    place.months(4).await;
    let all = jobs(3, 2_500);
    place.lines(4, &all, 2).await;
    state.archived(&all[..2_499]);
    let report = run_all(&place, &state).await;
    let Outcome::Blocked(obstacle) = outcome(&report, &place, 4) else { panic!("{report:?}") };
    assert_eq!((obstacle.reason.name(), obstacle.jobs), ("unknown_job", vec![all[2_499]]));
    assert_eq!(obstacle.facts["jobs"], Fact::Number(2_500));
    state.archived(&all[2_499..]);
    let report = run_all(&place, &state).await;
    let Outcome::Dropped(dropped) = outcome(&report, &place, 4) else { panic!("{report:?}") };
    assert_eq!(dropped.rows, 5_000);
}

type Change = fn(&State, u128);

/// Between the first look and the lock: a new attempt, a line of a job that nobody knows, another policy.
async fn what_changes_before_the_lock_counts(place: Place) {
    let state = State::new(&place);
    let all = old(&place, &state).await;
    let good = state.change(|inner| (inner.standing.clone(), inner.rows.clone()));
    let changes: [(&str, Change); 3] = [
        ("archive_pending", |state, job| state.rows(&[job], |row| LedgerRow { attempt: 2, ended_at: None, ..row })),
        ("no_policy", |state, _| state.policies(|policies| policies.default = None)),
        ("not_caught_up", |state, _| state.change(|inner| inner.standing.moment.caught_up = false)),
    ];
    for (reason, change) in changes {
        let (changed, job) = (state.clone(), all[0]);
        let logs = place.probed(move |step| {
            if step == Step::Locked {
                change(&changed, job);
            }
            Ok(())
        });
        let report = run(&logs, &state, &Order { max_drops: 100, ..order() }).await.unwrap();
        assert_eq!(word(&outcome(&report, &place, 6)), reason);
        state.change(|inner| (inner.standing, inner.rows) = good.clone());
    }
    assert!(!place.dropped().await.contains_key(&place.name(6)));
    let (job, at) = (uuid::Uuid::from_u128(77), place.time(place.partition(6).lower));
    let line = if place.is_sqlite() {
        format!("INSERT INTO {} VALUES ('{job}', 1, '', {at}, '')", place.name(6))
    } else {
        format!("INSERT INTO job_runs VALUES ('{job}'); INSERT INTO log_lines VALUES ('{job}', 1, '', {at}, '')")
    };
    let (past, handle, written) = (place.past.clone(), Handle::current(), AtomicBool::new(false));
    let logs = place.probed(move |step| {
        if step == Step::BeforeLock && !written.swap(true, Relaxed) {
            block_in_place(|| handle.block_on(past.sql(line.clone())));
        }
        Ok(())
    });
    let report = run(&logs, &state, &order()).await.unwrap();
    assert_eq!(word(&outcome(&report, &place, 6)), "unknown_job");
}

async fn one_that_was_put_back_is_not_dropped_again(place: Place) {
    let state = State::new(&place);
    let all = old(&place, &state).await;
    assert_eq!(said(&place, &state).await, "Dropped");
    place.logs.ensure(place.month(6)).await.unwrap();
    place.lines(6, &all, 4).await;
    let report = run_all(&place, &state).await;
    let Outcome::Back(dropped) = outcome(&report, &place, 6) else { panic!("{report:?}") };
    assert_eq!((dropped.name, dropped.rows), (place.name(6), 30));
    assert_eq!(place.copy().await.len(), 12);
}

async fn the_ledger_tells_until_it_is_acknowledged(place: Place) {
    let state = State::new(&place);
    old(&place, &state).await;
    run_all(&place, &state).await;
    let told = place.logs.unacknowledged(100).await.unwrap();
    assert!(told.len() > 1);
    assert_eq!(place.logs.unacknowledged(1).await.unwrap(), told[..1]);
    let drop = told.iter().find(|drop| drop.name == place.name(6)).unwrap();
    let partition = place.partition(6);
    assert_eq!((drop.lower, drop.upper, drop.rows), (partition.lower, partition.upper, 30));
    assert_eq!(drop.decision, gocdnext_flow::retention::executor::drop_id(&drop.name));
    assert!(drop.dropped_at >= place.now);
    for drop in &told {
        place.logs.acknowledge(&drop.name).await.unwrap();
        place.logs.acknowledge(&drop.name).await.unwrap();
    }
    assert_eq!(place.logs.unacknowledged(100).await.unwrap(), []);
    assert_eq!(place.logs.dropped(&drop.name).await.unwrap().as_ref(), Some(drop));
}
