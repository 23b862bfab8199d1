//! Opening: by many at once, beside others' tables, and never a state that a newer program has made.

use crate::support::{Place, claim, commit, definite, on_both};
use gocdnext_flow::store::{Store, StoreError};
use std::time::Duration;

on_both!(
    many_open_an_empty_place_at_once,
    what_is_there_is_left_alone,
    a_newer_schema_is_refused,
    a_schema_with_a_gap_is_made_whole_or_refused,
);

async fn many_open_an_empty_place_at_once(place: Place) {
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let url = place.url.clone();
            tokio::spawn(async move {
                loop {
                    match Store::open(&url).await {
                        // the file's journal is made by one at a time, and SQLite lets nobody wait for that
                        Err(StoreError::Transient { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                        opened => return opened,
                    }
                }
            })
        })
        .collect();
    for opened in opened {
        let store = opened.await.unwrap().unwrap();
        assert_eq!(store.manifest().await.unwrap().epoch, 0);
        assert_eq!(store.lease().await.unwrap().generation, 0);
    }
    assert_eq!(place.number("SELECT CAST(COUNT(*) AS BIGINT) FROM gocdnext_flow_manifest").await, 1);
}

async fn what_is_there_is_left_alone(place: Place) {
    place.sql("CREATE TABLE manifest (id BIGINT); INSERT INTO manifest VALUES (7)").await;
    let store = place.open().await;
    let generation = claim(&store).await;
    commit(&store, generation, 0, 3, &[]).await.unwrap();
    assert_eq!(place.open().await.manifest().await.unwrap().epoch, 3);
    assert_eq!(place.number("SELECT id FROM manifest").await, 7);
}

async fn a_newer_schema_is_refused(place: Place) {
    drop(place.open().await);
    place
        .sql(
            "INSERT INTO gocdnext_flow_migrations (version, description, success, checksum, execution_time) \
             SELECT 9001, 'later', success, checksum, 1 FROM gocdnext_flow_migrations WHERE version = 1",
        )
        .await;
    let Err(error @ StoreError::Newer { found: 9_001, .. }) = place.try_open().await else { panic!("it is refused") };
    assert!(error.to_string().contains("run the newer program"), "{error}");
}

/// Tables that are there without their mark: nothing is overwritten.
async fn a_schema_with_a_gap_is_made_whole_or_refused(place: Place) {
    let store = place.open().await;
    let generation = claim(&store).await;
    commit(&store, generation, 0, 3, &[]).await.unwrap();
    place.sql("DELETE FROM gocdnext_flow_migrations").await;
    let reason = definite(place.try_open().await);
    assert!(reason.contains("already exists"), "{reason}");
    assert_eq!(store.manifest().await.unwrap().epoch, 3);
}
