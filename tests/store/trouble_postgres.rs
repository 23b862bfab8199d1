//! What can go wrong with a server, and that it passes or does not. No test runs where there is no PostgreSQL.

use crate::{
    postgres::Server,
    support::{Place, all, blob, bytes, claim, commit, definite, impatient, transient},
};
use gocdnext_flow::store::{Fault, StateUrl, Step, Store, StoreError};
use sqlx::{Connection, Executor, PgConnection};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Far more than any wait here should last, also on a busy machine, and far less than for ever.
const BOUND: Duration = Duration::from_secs(25);

async fn open(url: &str) -> Result<Store, StoreError> {
    Store::open_with(&url.parse::<StateUrl>().unwrap(), impatient()).await
}

#[tokio::test]
async fn who_is_not_let_in_is_told_at_once() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.server();
    let reason = definite(open(&server.url_as("flow", "wrong", database)).await);
    assert!(reason.contains("password authentication failed") && !reason.contains("wrong"), "{reason}");
    let reason = definite(open(&server.url_as("nobody", "right", database)).await);
    assert!(reason.contains("nobody"), "{reason}");
    let reason = definite(open(&server.url("absent")).await);
    assert!(reason.contains("\"absent\" does not exist"), "{reason}");
    let reason = definite(open(&format!("{}?sslmode=require", server.url(database))).await);
    assert!(reason.to_lowercase().contains("tls"), "{reason}");
}

#[tokio::test]
async fn missing_rights_are_told_and_few_are_needed() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.server();
    let role = format!("small_{database}");
    server.sql(database, &format!("CREATE ROLE {role} LOGIN PASSWORD 'right'"));
    let url = server.url_as(&role, "right", database);
    let reason = definite(open(&url).await);
    assert!(reason.contains("permission denied for schema"), "{reason}");
    // somebody else makes the tables
    drop(place.open().await);
    let reason = definite(open(&url).await);
    assert!(reason.contains("permission denied for table"), "{reason}");
    server.sql(database, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"));
    let store = open(&url).await.unwrap();
    let generation = claim(&store).await;
    commit(&store, generation, 0, 1, &[blob(1, 0, bytes(10))]).await.unwrap();
    store.sizes().await.unwrap();
    server.sql(database, &format!("REVOKE INSERT ON gocdnext_flow_blob FROM {role}"));
    definite(commit(&store, generation, 1, 2, &[blob(2, 0, bytes(10))]).await);
}

#[tokio::test]
async fn a_read_only_server_may_become_writable_again() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.server();
    drop(place.open().await);
    server.sql("postgres", &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    let store = place.open().await;
    let seen = store.lease().await.unwrap();
    let reason = transient(store.claim(&seen, "a", "b").await);
    assert!(reason.contains("25006"), "{reason}");
    server.sql("postgres", &format!("ALTER DATABASE {database} RESET default_transaction_read_only"));
    claim(&store).await;
}

#[tokio::test]
async fn errors_of_the_server_are_sorted_by_their_code() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.server();
    let (store, generation) = place.held().await;
    let planted = |code: &str| {
        let raise = format!("RAISE EXCEPTION 'planted' USING ERRCODE = '{code}'");
        let function = format!(
            "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {}; END'",
            raise.replace('\'', "''")
        );
        server.sql(database, &function);
    };
    planted("40001");
    server.sql(database, "CREATE TRIGGER fail BEFORE INSERT ON gocdnext_flow_blob EXECUTE FUNCTION fail()");
    for code in ["40001", "40P01", "53100", "53200", "53300", "55P03", "57P03", "58030", "25006"] {
        planted(code);
        let reason = transient(commit(&store, generation, 0, 1, &[blob(1, 0, vec![1])]).await);
        assert!(reason.contains(code), "{reason}");
    }
    for code in ["42501", "22023", "P0001", "23514"] {
        planted(code);
        definite(commit(&store, generation, 0, 1, &[blob(1, 0, vec![1])]).await);
    }
    planted("XX001");
    let damaged = commit(&store, generation, 0, 1, &[blob(1, 0, vec![1])]).await;
    assert!(matches!(damaged, Err(StoreError::Damaged(_))), "{damaged:?}");
    server.sql(database, "DROP TRIGGER fail ON gocdnext_flow_blob");
    commit(&store, generation, 0, 1, &[blob(1, 0, vec![1])]).await.unwrap();
}

#[tokio::test]
async fn a_statement_or_a_lock_that_takes_too_long_is_given_up() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.server();
    let (store, generation) = place.held().await;
    let mut other = PgConnection::connect(&server.url(database)).await.unwrap();
    other.execute("BEGIN; LOCK TABLE gocdnext_flow_manifest").await.unwrap();
    let begun = Instant::now();
    let reason = transient(commit(&store, generation, 0, 1, &[]).await);
    assert!(reason.contains("55P03"), "{reason}");
    transient(store.manifest().await);
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    store.renew(generation).await.unwrap();
    other.execute("ROLLBACK").await.unwrap();

    server.sql(
        database,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(300); RETURN NEW; END'; \
         CREATE TRIGGER slow BEFORE INSERT ON gocdnext_flow_blob FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let reason = transient(commit(&store, generation, 0, 1, &[blob(1, 0, vec![1])]).await);
    assert!(reason.contains("57014"), "{reason}");
    server.sql(database, "DROP TRIGGER slow ON gocdnext_flow_blob");
    commit(&store, generation, 0, 1, &[blob(1, 0, vec![1])]).await.unwrap();
}

/// Another session holds what the commit wants and wants what the commit holds; the commit is the one to be ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_tried_again() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.server();
    let url: StateUrl = server.url(database).parse().unwrap();
    // waits for locks longer than the server takes to see a deadlock
    let patient = gocdnext_flow::store::Options { lock_patience: Duration::from_secs(4), ..impatient() };
    let store = Store::open_with(&url, patient).await.unwrap();
    let generation = claim(&store).await;
    let other = Arc::new(tokio::sync::Mutex::new(PgConnection::connect(&server.url(database)).await.unwrap()));
    let begin = "SET deadlock_timeout = '60s'; BEGIN; SELECT 1 FROM gocdnext_flow_manifest FOR UPDATE";
    other.lock().await.execute(sqlx::raw_sql(begin)).await.unwrap();
    let session = Mutex::new(Some(Arc::clone(&other)));
    let probed = store.clone().with_probe(Arc::new(move |step| {
        if step == Step::BlobsWritten
            && let Some(other) = session.lock().unwrap().take()
        {
            tokio::spawn(async move {
                let insert = "INSERT INTO gocdnext_flow_blob VALUES (1, 0, 0, 1, 1, 0, 0, '')";
                // it gets its turn when the commit is ended
                let _ = other.lock().await.execute(insert).await;
            });
            return Err(Fault::Pause(Duration::from_millis(300)));
        }
        Ok(())
    }));
    let reason = transient(commit(&probed, generation, 0, 1, &[blob(1, 0, vec![1])]).await);
    assert!(reason.contains("40P01"), "{reason}");
    other.lock().await.execute("ROLLBACK").await.unwrap();
    commit(&probed, generation, 0, 1, &[blob(1, 0, vec![1])]).await.unwrap();
}

/// Where an administrator has made every transaction serializable, two writes to one row do not get along. Commits name their own
/// isolation.
#[tokio::test]
async fn a_serialization_failure_is_tried_again() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.server();
    server.sql("postgres", &format!("ALTER DATABASE {database} SET default_transaction_isolation = serializable"));
    let (store, generation) = place.held().await;
    let mut other = PgConnection::connect(&server.url(database)).await.unwrap();
    let begin = "BEGIN; UPDATE gocdnext_flow_lease SET beat = beat";
    other.execute(sqlx::raw_sql(begin)).await.unwrap();
    let end = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        other.execute("COMMIT").await.unwrap();
    };
    let (renewed, ()) = tokio::join!(store.renew(generation), end);
    let reason = transient(renewed);
    assert!(reason.contains("40001"), "{reason}");
    store.renew(generation).await.unwrap();
    commit(&store, generation, 0, 1, &[blob(1, 0, vec![1])]).await.unwrap();
}

/// The claim does not wait for the commit, and the commit finds out in its last step.
#[tokio::test]
async fn a_takeover_in_the_middle_of_a_commit_fences_it() {
    let Some(place) = Place::postgres() else { return };
    let (store, _) = place.held().await;
    for step in [Step::Begun, Step::ChunkWritten, Step::BlobsWritten] {
        let before = store.manifest().await.unwrap();
        let url = place.url.clone();
        let probed = store.clone().with_probe(Arc::new(move |at| {
            if at == step {
                let url = url.clone();
                let other = async move { claim(&Store::open_with(&url, impatient()).await.unwrap()).await };
                let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                std::thread::spawn(move || runtime().block_on(other)).join().unwrap();
            }
            Ok(())
        }));
        let late = commit(&probed, before.generation, 0, 1, &[blob(1, 0, vec![1])]).await;
        assert_eq!(late, Err(StoreError::Fenced), "{step:?}");
        let after = store.manifest().await.unwrap();
        assert_eq!((after.epoch, after.generation), (0, before.generation + 1), "{step:?}");
        assert_eq!(all(&store, 0, u64::MAX).await, Ok(vec![]), "{step:?}");
    }
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_made_anew() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.server();
    let (store, generation) = place.held().await;
    commit(&store, generation, 0, 1, &[]).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'gocdnext-flow'";
    server.sql(database, &format!("{end} AND datname = '{database}'"));
    transient(commit(&store, generation, 1, 2, &[]).await);
    commit(&store, generation, 1, 2, &[]).await.unwrap();
}

#[tokio::test]
async fn too_many_connections_pass() {
    let Some(server) =
        Server::start(&[("fsync", "off"), ("max_connections", "4"), ("superuser_reserved_connections", "0")])
    else {
        return;
    };
    let url = server.url("postgres");
    let mut others = Vec::new();
    while let Ok(other) = PgConnection::connect(&url).await {
        others.push(other);
    }
    let reason = transient(open(&url).await);
    assert!(reason.contains("53300"), "{reason}");
    drop(others);
    let begun = Instant::now();
    while open(&url).await.is_err() {
        assert!(begun.elapsed() < BOUND, "the slots are free again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// With `fsync`, since durability is what is looked at.
#[tokio::test]
async fn a_server_that_is_stopped_or_killed_comes_back_with_all_that_was_committed() {
    let Some(mut server) = Server::start(&[]) else { return };
    let database = server.database();
    let store = open(&server.url(&database)).await.unwrap();
    let generation = claim(&store).await;
    for epoch in 0..4 {
        commit(&store, generation, epoch, epoch + 1, &[blob(epoch + 1, 0, bytes(6 << 20))]).await.unwrap();
        let epoch = epoch + 1;
        if epoch % 2 == 0 {
            server.stop();
        } else {
            server.kill();
        }
        let begun = Instant::now();
        transient(commit(&store, generation, epoch, epoch + 1, &[]).await);
        transient(store.renew(generation).await);
        transient(store.manifest().await);
        transient(open(&server.url(&database)).await);
        assert!(begun.elapsed() < BOUND, "nothing waits for a server that is not there");
        server.restart();
        let manifest = loop {
            match store.manifest().await {
                Ok(manifest) => break manifest,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        };
        assert_eq!((manifest.epoch, manifest.generation), (epoch, generation));
        assert_eq!(all(&store, epoch, epoch).await.unwrap(), [blob(epoch, 0, bytes(6 << 20))]);
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_on_in_time() {
    let Some(server) = Server::start(&[("fsync", "off")]) else { return };
    let store = open(&server.url("postgres")).await.unwrap();
    let generation = claim(&store).await;
    commit(&store, generation, 0, 1, &[]).await.unwrap();
    store.manifest().await.unwrap();
    server.pause();
    let begun = Instant::now();
    let (renewed, committed, read, opened) = tokio::join!(
        store.renew(generation),
        commit(&store, generation, 1, 2, &[]),
        store.manifest(),
        Store::open_with(store.url(), impatient())
    );
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    for reason in [transient(renewed), transient(committed), transient(read), transient(opened)] {
        assert!(reason.contains("no answer"), "{reason}");
    }
    server.resume();
    // what was given up on may have come to pass, or not: the manifest tells, and then it is settled
    let manifest = store.manifest().await.unwrap();
    if manifest.epoch == 1 {
        let again = commit(&store, generation, 1, 2, &[]).await;
        assert!(matches!(again, Ok(()) | Err(StoreError::Fenced)), "{again:?}");
    }
    assert_eq!(store.manifest().await.unwrap().epoch, 2);
    store.renew(generation).await.unwrap();
}
