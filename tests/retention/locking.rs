//! PostgreSQL: who writes does not wait for the executor, and what the executor checks cannot change under it.

use crate::support::{Place, State, check_every_line, jobs, order, outcome, run_all, word};
use dataflows::retention::decision::Hyphenated;
use gocdnext_flow::{
    logs::Step,
    retention::{Order, Outcome, run},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

async fn old(place: &Place, state: &State) -> u128 {
    place.months(4).await;
    let jobs = jobs(1, 2);
    place.lines(4, &jobs, 50).await;
    state.archived(&jobs);
    jobs[0]
}

/// In each window before the drop itself: everybody reads, everybody writes elsewhere, and none waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_partition_is_checked_nobody_else_waits() {
    let Some(place) = Place::postgres().await else { return };
    let state = State::new(&place);
    let job = Hyphenated(old(&place, &state).await);
    let (server, database) = place.server();
    let (current, locked) = (place.time(place.now), place.time(place.partition(4).lower));
    let (windows, seq) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(1_000));
    let under_lock = AtomicBool::new(false);
    let (seen, name) = (Arc::clone(&windows), database.to_owned());
    let logs = place.probed(move |step| {
        if matches!(step, Step::Locked | Step::Dropped) {
            under_lock.store(step == Step::Locked, Relaxed);
        }
        if under_lock.load(Relaxed) {
            let seq = seq.fetch_add(1, Relaxed);
            let others = format!(
                "SET lock_timeout = '1ms'; SELECT COUNT(*) FROM log_lines; \
                 INSERT INTO log_lines VALUES ('{job}', {seq}, '', {current}, ''), ('{job}', {seq}, '', to_timestamp(0), '')"
            );
            server.sql(&name, &others);
            let late = format!(
                "DO $$ BEGIN SET LOCAL lock_timeout = '1ms'; \
                 INSERT INTO log_lines VALUES ('{job}', {seq}, '', {locked}, ''); RAISE EXCEPTION 'it was written'; \
                 EXCEPTION WHEN lock_not_available THEN NULL; END $$"
            );
            server.sql(&name, &late);
            seen.fetch_add(1, Relaxed);
        }
        Ok(())
    });
    let report = run(&logs, &state, &Order { max_drops: 1, ..order() }).await.unwrap();
    assert_eq!(word(&outcome(&report, &place, 4)), "Dropped");
    assert!(windows.load(Relaxed) >= 4, "{windows:?}");
    assert_eq!(place.copy().await.len(), 2 * windows.load(Relaxed));
}

/// Somebody reads for long: the executor gives up each time before those behind it feel it, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_not_stand_in_front_of_writers() {
    let Some(place) = Place::postgres().await else { return };
    let state = State::new(&place);
    let job = Hyphenated(old(&place, &state).await);
    let (server, database) = place.server();
    let before = place.copy().await;
    let mut reader = PgConnection::connect(&server.url(database)).await.unwrap();
    reader.execute(sqlx::raw_sql("BEGIN; SELECT COUNT(*) FROM log_lines")).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (ending, url, at) = (Arc::clone(&stop), server.url(database), place.time(place.now));
    let writer = tokio::spawn(async move {
        let mut writer = PgConnection::connect(&url).await.unwrap();
        // far more than the executor may wait, far less than the reader stays
        writer.execute("SET lock_timeout = '10s'").await.unwrap();
        let mut written = 0_usize;
        while !ending.load(Relaxed) {
            let sql = format!("INSERT INTO log_lines VALUES ('{job}', {}, '', {at}, '')", 10_000 + written);
            writer.execute(AssertSqlSafe(sql)).await.unwrap();
            written += 1;
        }
        written
    });
    let report = run(&place.logs, &state, &order()).await.unwrap();
    let Outcome::Busy { why } = outcome(&report, &place, 4) else { panic!("{report:?}") };
    assert!(why.contains("55P03"), "{why}");
    assert!(place.dropped().await.is_empty());
    stop.store(true, Relaxed);
    let written = writer.await.unwrap();
    assert_eq!(place.copy().await.len(), before.len() + written);
    reader.execute("ROLLBACK").await.unwrap();
    assert_eq!(word(&outcome(&run_all(&place, &state).await, &place, 4)), "Dropped");
    check_every_line(&place, &state, &before).await;
}

/// Lines refer to jobs, and somebody is always about to write one: a drop needs nothing of their table.
#[tokio::test]
async fn whoever_writes_jobs_is_not_waited_for() {
    let Some(place) = Place::postgres().await else { return };
    let state = State::new(&place);
    old(&place, &state).await;
    run(&place.logs, &state, &Order { max_drops: 0, ..order() }).await.unwrap();
    let (server, database) = place.server();
    let mut other = PgConnection::connect(&server.url(database)).await.unwrap();
    other.execute(sqlx::raw_sql("BEGIN; INSERT INTO job_runs VALUES (gen_random_uuid())")).await.unwrap();
    let report = run_all(&place, &state).await;
    assert_eq!(word(&outcome(&report, &place, 4)), "Dropped", "{report:?}");
}

/// Who holds the advisory lock is the only one to drop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_executor_leaves_it_to_the_first() {
    let Some(place) = Place::postgres().await else { return };
    let state = State::new(&place);
    old(&place, &state).await;
    let (logs, other) = (place.logs.clone(), state.clone());
    let handle = tokio::runtime::Handle::current();
    let second = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&second);
    let first = place.probed(move |step| {
        if step == Step::Locked {
            let report = tokio::task::block_in_place(|| handle.block_on(run(&logs, &other, &order()))).unwrap();
            seen.lock().unwrap().extend(report.partitions.into_iter().map(|(_, outcome)| word(&outcome)));
        }
        Ok(())
    });
    let report = run(&first, &state, &Order { max_drops: 1, ..order() }).await.unwrap();
    assert_eq!(word(&outcome(&report, &place, 4)), "Dropped");
    let second = second.lock().unwrap();
    assert!(second.iter().any(|word| word == "Busy") && second.iter().all(|word| word != "Dropped"), "{second:?}");
}

/// What others built on a partition is theirs: it stays, and the rest goes on.
#[tokio::test]
async fn what_depends_on_a_partition_keeps_it() {
    let Some(place) = Place::postgres().await else { return };
    let state = State::new(&place);
    old(&place, &state).await;
    let (server, database) = place.server();
    server.sql(database, &format!("CREATE VIEW report AS SELECT * FROM {}", place.name(4)));
    let report = run_all(&place, &state).await;
    let Outcome::Refused { why } = outcome(&report, &place, 4) else { panic!("{report:?}") };
    assert!(why.contains("depend"), "{why}");
    assert_eq!(word(&outcome(&report, &place, 3)), "Dropped");
    assert_eq!(place.copy().await.len(), 100);
}

/// Lines that row security hides from us are not overlooked.
#[tokio::test]
async fn hidden_lines_are_not_overlooked() {
    let Some(place) = Place::postgres().await else { return };
    let state = State::new(&place);
    old(&place, &state).await;
    let (server, database) = place.server();
    let (role, name) = (format!("owner_{database}"), place.name(4));
    server.sql(
        database,
        &format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'right'; GRANT ALL ON SCHEMA public TO {role}; \
             ALTER TABLE log_lines OWNER TO {role}; ALTER TABLE {name} OWNER TO {role}; \
             ALTER TABLE log_lines_default OWNER TO {role}; \
             ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; ALTER TABLE {name} FORCE ROW LEVEL SECURITY; \
             GRANT ALL ON gocdnext_flow_drops, gocdnext_flow_logs_migrations, job_runs TO {role}"
        ),
    );
    let url = server.url_as(&role, "right", database).parse().unwrap();
    let logs = gocdnext_flow::logs::LogDatabase::open(&url).await.unwrap();
    state.change(|inner| inner.rows.clear());
    let report = run(&logs, &state, &order()).await.unwrap();
    let Outcome::Refused { why } = outcome(&report, &place, 4) else { panic!("{report:?}") };
    assert!(why.contains("row-level security"), "{why}");
}
