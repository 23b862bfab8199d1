//! What can go wrong with a file, and that it passes or does not.

use crate::support::{Place, blob, bytes, claim, commit, definite, impatient, transient};
use gocdnext_flow::store::{Options, StateUrl, Store};
use sqlx::{Connection, Executor, SqliteConnection};
use std::{
    fs,
    time::{Duration, Instant},
};

#[tokio::test]
async fn a_file_that_another_writes_to_is_busy_for_a_while() {
    let place = Place::sqlite();
    let (store, generation) = place.held().await;
    let other = format!("sqlite://{}", place.path().display());
    let mut other = SqliteConnection::connect(&other).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let begun = Instant::now();
    let reason = transient(commit(&store, generation, 0, 1, &[]).await);
    assert!(reason.contains("locked"), "{reason}");
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    transient(store.renew(generation).await);
    assert_eq!(store.manifest().await.unwrap().epoch, 0, "reading is not held up");
    drop(place.open().await);
    other.execute("ROLLBACK").await.unwrap();
    commit(&store, generation, 0, 1, &[]).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_passes_when_there_is_room_again() {
    let place = Place::sqlite();
    let full = Options { max_pages: Some(40), ..impatient() };
    let store = Store::open_with(&place.url, full).await.unwrap();
    let generation = claim(&store).await;
    commit(&store, generation, 0, 1, &[blob(1, 0, bytes(1_000))]).await.unwrap();
    for _ in 0..2 {
        let reason = transient(commit(&store, generation, 1, 2, &[blob(2, 0, bytes(5 << 20))]).await);
        assert!(reason.contains("full"), "{reason}");
    }
    assert_eq!(store.manifest().await.unwrap().epoch, 1);
    store.renew(generation).await.unwrap();
    let roomy = place.open().await;
    commit(&roomy, generation, 1, 2, &[blob(2, 0, bytes(5 << 20))]).await.unwrap();
}

#[tokio::test]
async fn a_read_only_file_can_be_read() {
    let place = Place::sqlite();
    let (store, generation) = place.held().await;
    commit(&store, generation, 0, 1, &[]).await.unwrap();
    let reader = Store::open_with(&place.url, Options { read_only: true, ..impatient() }).await.unwrap();
    assert_eq!(reader.manifest().await.unwrap().epoch, 1);
    let reason = transient(commit(&reader, generation, 1, 2, &[]).await);
    assert!(reason.contains("readonly"), "{reason}");
    let seen = reader.lease().await.unwrap();
    transient(reader.claim(&seen, "a", "b").await);
}

#[tokio::test]
async fn a_place_where_no_file_can_be_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let reason = definite(Store::open(&StateUrl::sqlite(dir.path().join("absent/state.db"))).await);
    assert!(reason.contains("there is no directory") && reason.contains("absent"), "{reason}");
    let reason = definite(Store::open(&StateUrl::sqlite(dir.path())).await);
    assert!(reason.contains("directory"), "{reason}");
    fs::write(dir.path().join("file"), "x").unwrap();
    definite(Store::open(&StateUrl::sqlite(dir.path().join("file/state.db"))).await);
}

/// What a program that was killed leaves behind is taken up by the next.
#[tokio::test]
async fn the_log_of_a_killed_writer_is_read() {
    let place = Place::sqlite();
    let (store, generation) = place.held().await;
    commit(&store, generation, 0, 1, &[blob(1, 0, bytes(100_000))]).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("state.db{suffix}");
        fs::copy(place.path().with_file_name(&name), copy.path().join(&name)).unwrap();
    }
    let copied = Store::open(&StateUrl::sqlite(copy.path().join("state.db"))).await.unwrap();
    assert_eq!(copied.manifest().await.unwrap().epoch, 1);
    assert_eq!(crate::support::all(&copied, 1, 1).await.unwrap(), [blob(1, 0, bytes(100_000))]);
}
