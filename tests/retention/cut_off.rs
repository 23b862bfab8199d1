//! An executor that is killed in any window, that loses its connection, or that is not alone: what is gone is in the drop
//! ledger, once, and what is not in it is there.

use crate::support::{Place, State, check_every_line, jobs, on_both, order, run_all};
use gocdnext_flow::{
    database::DatabaseError,
    logs::{LogDatabase, Step},
    retention::{Order, Outcome, Report, run},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

on_both!(
    killed_in_every_window_it_goes_on_where_it_was,
    killed_at_random_again_and_again,
    an_answer_that_is_lost_is_looked_up,
    two_at_once_drop_each_partition_once,
);

const MONTHS: i64 = 9;

/// Old partitions, all of which may go, but for one with a job that nobody knows.
async fn old(place: &Place, state: &State) {
    place.months(MONTHS).await;
    for before in 3..=MONTHS {
        let of_month = jobs(u32::try_from(before).unwrap(), 4);
        place.lines(before, &of_month, 25).await;
        state.archived(&of_month[usize::from(before == 5)..]);
    }
}

fn all() -> Order {
    Order { max_drops: 100, ..order() }
}

/// Runs until the probe panics, as the process would be gone.
async fn killed(logs: LogDatabase, state: &State) -> bool {
    let state = state.clone();
    tokio::spawn(async move { run(&logs, &state, &all()).await.map(drop) }).await.is_err()
}

/// What is left for good is in order.
async fn finished(place: &Place, state: &State, before: &BTreeSet<(String, i64, i64)>) {
    let runs = async {
        loop {
            let report = run_all(place, state).await;
            if report.partitions.iter().all(|(_, outcome)| !matches!(outcome, Outcome::Busy { .. })) {
                break;
            }
        }
    };
    runs.await;
    check_every_line(place, state, before).await;
    let there = place.catalogue().await;
    for old in 3..=MONTHS {
        assert_eq!(there.contains(&place.name(old)), old == 5, "{there:?}");
    }
}

async fn killed_in_every_window_it_goes_on_where_it_was(place: Place) {
    let state = State::new(&place);
    old(&place, &state).await;
    let before = place.copy().await;
    for step in Step::OF_DROP {
        let logs = place.probed(move |at| {
            assert!(at != step, "killed");
            Ok(())
        });
        assert!(killed(logs, &state).await, "{step:?} was not come by");
        check_every_line(&place, &state, &before).await;
    }
    assert_eq!(place.dropped().await.len(), 1, "the last of them was killed after it had dropped");
    finished(&place, &state, &before).await;
}

async fn killed_at_random_again_and_again(place: Place) {
    let state = State::new(&place);
    old(&place, &state).await;
    let before = place.copy().await;
    let mut kills = 0;
    for life in 0_usize.. {
        let left = Arc::new(AtomicUsize::new(1 + life * 7 % 23));
        let logs = place.probed(move |_| {
            assert!(left.fetch_sub(1, Relaxed) > 1, "killed");
            Ok(())
        });
        if !killed(logs, &state).await {
            break;
        }
        kills += 1;
        check_every_line(&place, &state, &before).await;
        assert!(kills < 200);
    }
    assert!(kills > 3);
    finished(&place, &state, &before).await;
}

async fn an_answer_that_is_lost_is_looked_up(place: Place) {
    let state = State::new(&place);
    old(&place, &state).await;
    let before = place.copy().await;
    let passed = AtomicUsize::new(0);
    let logs = place.probed(move |step| {
        if step == Step::Dropped && passed.fetch_add(1, Relaxed) == 0 {
            return Err(DatabaseError::Transient { reason: "lost".to_owned() });
        }
        Ok(())
    });
    let report = run(&logs, &state, &all()).await.unwrap();
    assert_eq!(names(&report).into_iter().collect::<BTreeSet<_>>(), place.dropped().await.into_keys().collect());
    finished(&place, &state, &before).await;
}

fn names(report: &Report) -> Vec<String> {
    let dropped = report.partitions.iter().filter_map(|(_, outcome)| match outcome {
        Outcome::Dropped(drop) => Some(drop.name.clone()),
        _ => None,
    });
    dropped.collect()
}

async fn two_at_once_drop_each_partition_once(place: Place) {
    let state = State::new(&place);
    old(&place, &state).await;
    let before = place.copy().await;
    let mut dropped = Vec::new();
    for _ in 0..3 {
        let one = |logs: LogDatabase, state: State| tokio::spawn(async move { run(&logs, &state, &all()).await });
        let (a, b) = (one(place.logs.clone(), state.clone()), one(place.logs.clone(), state.clone()));
        for report in [a.await.unwrap().unwrap(), b.await.unwrap().unwrap()] {
            dropped.extend(names(&report));
        }
    }
    dropped.sort();
    assert_eq!(dropped, place.dropped().await.into_keys().collect::<Vec<_>>());
    finished(&place, &state, &before).await;
}

/// The server ends the executor's connection in each window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_ended_in_any_window_is_tried_again() {
    let Some(place) = Place::postgres().await else { return };
    let state = State::new(&place);
    old(&place, &state).await;
    let before = place.copy().await;
    for at in Step::OF_DROP {
        let (server, database) = place.server();
        let (database, done) = (database.to_owned(), AtomicUsize::new(0));
        let logs = place.probed(move |step| {
            if step == at && done.fetch_add(1, Relaxed) == 0 {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                           AND application_name = 'gocdnext-flow'";
                server.sql(&database, end);
            }
            Ok(())
        });
        let report = run(&logs, &state, &Order { max_drops: 1, ..order() }).await.unwrap();
        assert_eq!(names(&report).len(), 1, "{at:?}: {report:?}");
        check_every_line(&place, &state, &before).await;
    }
    finished(&place, &state, &before).await;
}
