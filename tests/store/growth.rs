//! What is collected makes room: the state on disk stays bounded however long it is written to.

use crate::{
    postgres::Server,
    support::{Place, all, blob, bytes, commit, on_both},
};
use gocdnext_flow::store::{Additions, Commit, Manifest, StoreError};

on_both!(
    only_what_lies_below_the_horizon_is_collected,
    collecting_goes_in_small_steps,
    who_reads_what_another_deletes_is_told,
);

/// So many epochs of a MiB each, of which six are needed at a time.
const EPOCHS: u64 = 160;
/// So many epochs from one vacuum to the next: about twice the dead rows at which the server would begin one.
const VACUUM_EPOCHS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collected_room_is_used_again_in_sqlite() {
    collected_room_is_used_again(&Place::sqlite()).await;
}

/// Room of deleted rows is free once they are vacuumed, which the server does by itself when it gets to it. Here nothing
/// may depend on how busy the machine is: this one does not, and is told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collected_room_is_used_again_in_postgres() {
    let Some(server) = Server::start(&[("fsync", "off"), ("autovacuum", "off")]) else { return };
    collected_room_is_used_again(&Place::on(Box::leak(Box::new(server)))).await;
}

async fn collected_room_is_used_again(place: &Place) {
    let (store, generation) = place.held().await;
    // the most that was used on disk, by quarters of the run
    let mut largest = [0_u64; 4];
    for epoch in 1..=EPOCHS {
        let horizon = epoch.saturating_sub(5);
        let manifest = Manifest { epoch, generation, horizon, ..Manifest::default() };
        let blobs = [blob(epoch, 0, bytes(1 << 20)), blob(epoch, 1, bytes(100))];
        store
            .commit(&Commit {
                previous: epoch - 1,
                manifest: &manifest,
                blobs: &blobs,
                additions: Additions::default(),
            })
            .await
            .unwrap();
        while store.collect(horizon, 4 << 20).await.unwrap() > 0 {}
        let quarter = usize::try_from((epoch - 1) * 4 / EPOCHS).unwrap();
        largest[quarter] = largest[quarter].max(store.sizes().await.unwrap().disk_bytes);
        if !place.is_sqlite() && epoch % VACUUM_EPOCHS == 0 {
            place.sql("VACUUM").await;
        }
    }
    let sizes = store.sizes().await.unwrap();
    assert_eq!((sizes.blobs, sizes.oldest_epoch), (12, Some(EPOCHS - 5)));
    println!("of {EPOCHS} MiB written, on disk at most, by quarters of the run: {:?} MiB", largest.map(|b| b >> 20));
    assert!(largest[0] < 60 << 20, "{largest:?}");
    assert!(largest[3] <= largest[1] + (4 << 20), "it grows: {largest:?}");
}

/// Each by what is dead in it; by default a fifth of what lives would have to be, too.
#[tokio::test]
async fn the_server_is_asked_to_vacuum_however_much_lives() {
    let Some(place) = Place::postgres() else { return };
    drop(place.open().await);
    let (server, database) = place.server();
    let asked = |of: &str| {
        let table = format!("SELECT {of} FROM pg_class WHERE relname = 'gocdnext_flow_blob'");
        server.sql(database, &format!("SELECT array_to_string(reloptions, ' ') FROM pg_class WHERE oid = ({table})"))
    };
    assert_eq!(asked("oid"), "autovacuum_vacuum_scale_factor=0 autovacuum_vacuum_threshold=200");
    assert_eq!(asked("reltoastrelid"), "autovacuum_vacuum_scale_factor=0 autovacuum_vacuum_threshold=5000");
}

async fn only_what_lies_below_the_horizon_is_collected(place: Place) {
    let (store, generation) = place.held().await;
    for epoch in 1..=6_u64 {
        let manifest = Manifest { epoch, generation, horizon: 3.min(epoch), ..Manifest::default() };
        let blobs = [blob(epoch, 0, bytes(10)), blob(epoch, 65_535, bytes(10))];
        store
            .commit(&Commit {
                previous: epoch - 1,
                manifest: &manifest,
                blobs: &blobs,
                additions: Additions::default(),
            })
            .await
            .unwrap();
    }
    assert_eq!(store.collect(2, u64::MAX).await, Ok(2), "epoch 1");
    assert_eq!(store.collect(2, u64::MAX).await, Ok(0));
    assert_eq!(store.collect(100, u64::MAX).await, Ok(2), "epoch 2, not what the manifest needs");
    assert_eq!(store.collect(100, u64::MAX).await, Ok(0));
    let left: Vec<_> = all(&store, 0, 100).await.unwrap().iter().map(|blob| blob.epoch).collect();
    assert_eq!(left, [3, 3, 4, 4, 5, 5, 6, 6]);
}

async fn collecting_goes_in_small_steps(place: Place) {
    let (store, generation) = place.held().await;
    let blobs: Vec<_> = (0..10).map(|lane| blob(1, lane, bytes(1_000))).collect();
    let manifest = Manifest { epoch: 1, generation, horizon: 1, ..Manifest::default() };
    store
        .commit(&Commit { previous: 0, manifest: &manifest, blobs: &blobs, additions: Additions::default() })
        .await
        .unwrap();
    let manifest = Manifest { epoch: 2, generation, horizon: 2, ..Manifest::default() };
    store
        .commit(&Commit { previous: 1, manifest: &manifest, blobs: &[], additions: Additions::default() })
        .await
        .unwrap();
    assert_eq!(store.collect(2, 3_500).await, Ok(3));
    assert_eq!(store.collect(2, 1).await, Ok(1), "a chunk that is larger than a step goes, too");
    assert_eq!(store.collect(2, u64::MAX).await, Ok(6));
    assert_eq!(store.collect(2, u64::MAX).await, Ok(0));
}

async fn who_reads_what_another_deletes_is_told(place: Place) {
    let (store, generation) = place.held().await;
    for epoch in 1..=3 {
        commit(&store, generation, epoch - 1, epoch, &[blob(epoch, 0, bytes(9 << 20))]).await.unwrap();
    }
    let reader = place.open().await;
    let mut reading = reader.blobs(0, u64::MAX);
    assert_eq!(reading.next().await.unwrap().map(|blob| blob.epoch), Some(1));
    let manifest = Manifest { epoch: 4, generation, horizon: 3, ..Manifest::default() };
    store
        .commit(&Commit { previous: 3, manifest: &manifest, blobs: &[], additions: Additions::default() })
        .await
        .unwrap();
    while store.collect(3, u64::MAX).await.unwrap() > 0 {}
    let mut rest = reading.next().await;
    while matches!(rest, Ok(Some(_))) {
        rest = reading.next().await;
    }
    assert_eq!(rest, Err(StoreError::Fenced), "no damage, but not whole either");
}
