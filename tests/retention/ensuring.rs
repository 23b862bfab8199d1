//! Partitions that are made ahead, and log databases that are laid out in another way.

use crate::support::{Place, State, jobs, on_both, order, run_all};
use dataflows::retention::partitions::missing;
use gocdnext_flow::{
    logs::{Ensured, LogDatabase, LogsError},
    retention::{Outcome, RetentionError, run},
};

on_both!(what_is_missing_is_made, two_make_the_same_at_once, lines_in_the_default_partition_stay_where_they_are);

async fn what_is_missing_is_made(place: Place) {
    let state = State::new(&place);
    let report = run_all(&place, &state).await;
    let made: Vec<(String, Outcome)> =
        report.ensured.iter().map(|(partition, outcome)| (partition.name.clone(), outcome.clone())).collect();
    let expected: Vec<_> = (0..=3).map(|ahead| (place.name(-ahead), Outcome::Ensured)).collect();
    assert_eq!(made, expected);
    let catalogue = place.logs.catalogue().await.unwrap();
    let listed: Vec<_> = (0..=3).map(|ahead| place.partition(-ahead)).collect();
    assert_eq!(catalogue.partitions, listed, "with their bounds, in order");
    assert_eq!(missing(&catalogue, 3), []);
    assert_eq!(run_all(&place, &state).await.ensured, []);
    assert_eq!(place.logs.ensure(place.month(-2)).await.unwrap(), Ensured::There);
    place.lines(-1, &jobs(1, 2), 3).await;
    assert_eq!(place.copy().await.len(), 6);
}

async fn two_make_the_same_at_once(place: Place) {
    let state = State::new(&place);
    let one = |logs: LogDatabase, state: State| tokio::spawn(async move { run(&logs, &state, &order()).await });
    let (a, b) = (one(place.logs.clone(), state.clone()), one(place.logs.clone(), state.clone()));
    for report in [a.await.unwrap().unwrap(), b.await.unwrap().unwrap()] {
        assert!(report.ensured.iter().all(|(_, outcome)| *outcome == Outcome::Ensured), "{report:?}");
    }
    assert_eq!(place.catalogue().await.len(), 4);
}

async fn lines_in_the_default_partition_stay_where_they_are(place: Place) {
    let state = State::new(&place);
    place.fill("log_lines_default", place.partition(-1).lower, &jobs(1, 1), 5).await;
    let report = run_all(&place, &state).await;
    let refused: Vec<_> =
        report.ensured.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Refused { .. })).collect();
    assert_eq!(refused.len(), 1, "{report:?}");
    assert_eq!(refused[0].0.name, place.name(-1));
    assert_eq!((place.copy().await.len(), place.catalogue().await.len()), (5, 3));
}

#[tokio::test]
async fn logs_that_are_laid_out_in_another_way_are_refused() {
    let Some(place) = Place::postgres().await else { return };
    let (server, database) = place.server();
    let state = State::new(&place);
    let refused = async || match run(&place.logs, &state, &order()).await {
        Err(RetentionError::Logs(error)) => error,
        other => panic!("{other:?}"),
    };
    server.sql(database, "DROP TABLE log_lines");
    assert!(matches!(refused().await, LogsError::Absent { .. }));
    for made in [
        "CREATE TABLE log_lines (job_run_id UUID, at TIMESTAMPTZ)",
        "CREATE TABLE log_lines (job_run_id UUID, at TIMESTAMP) PARTITION BY RANGE (at)",
        "CREATE TABLE log_lines (job_run_id UUID, at TIMESTAMPTZ, x TIMESTAMPTZ) PARTITION BY RANGE (x)",
        "CREATE TABLE log_lines (job_run_id UUID, at TIMESTAMPTZ) PARTITION BY LIST (at)",
        "CREATE TABLE log_lines (job UUID, at TIMESTAMPTZ) PARTITION BY RANGE (at)",
    ] {
        server.sql(database, made);
        assert!(matches!(refused().await, LogsError::Definite { .. }), "{made}");
        server.sql(database, "DROP TABLE log_lines");
    }
    server.sql(database, "CREATE TABLE log_lines (job_id UUID, at TIMESTAMPTZ) PARTITION BY RANGE (at)");
    place.months(5).await;
    let line = format!(
        "INSERT INTO log_lines SELECT CAST(id AS UUID), {} FROM (VALUES ('{}')) j (id)",
        place.time(place.partition(5).lower),
        uuid::Uuid::from_u128(jobs(1, 1)[0])
    );
    server.sql(database, &line);
    let said = crate::support::word(&crate::support::outcome(&run_all(&place, &state).await, &place, 5));
    assert_eq!(said, "unknown_job", "the other name of the column is known, too");
    server.sql(database, "INSERT INTO log_lines SELECT NULL, at FROM log_lines");
    state.archived(&jobs(1, 1));
    let said = crate::support::word(&crate::support::outcome(&run_all(&place, &state).await, &place, 5));
    assert_eq!(said, "unknown_job", "a line without a job");
}

/// It looks at a database that no executor has ever come to.
#[tokio::test]
async fn who_only_looks_makes_nothing() {
    let Some(place) = Place::postgres().await else { return };
    let (server, database) = place.server();
    server.sql(database, "DROP TABLE gocdnext_flow_drops, gocdnext_flow_logs_migrations");
    let look = LogDatabase::look(&place.url);
    let dry = gocdnext_flow::retention::Order { dry_run: true, ..order() };
    run(&look, &State::new(&place), &dry).await.unwrap();
    assert_eq!(look.unacknowledged(10).await.unwrap(), []);
    assert_eq!(server.sql(database, "SELECT COUNT(*) FROM pg_class WHERE relname LIKE 'gocdnext_flow%'"), "0");
    let absent = LogDatabase::look(&gocdnext_flow::logs::LogsUrl::sqlite("/nowhere/logs.db"));
    assert!(matches!(absent.catalogue().await, Err(LogsError::Absent { .. })));
}
