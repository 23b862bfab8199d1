//! Other state in place of what is there: whole, or not at all.

use crate::support::{Place, all, blob, bytes, claim, commit, definite, manifest, on_both};
use gocdnext_flow::store::{Additions, Commit, Manifest, StoreError};

on_both!(
    a_transfer_takes_the_place_of_what_was_there,
    a_transfer_that_is_not_finished_has_changed_nothing,
    a_transfer_of_one_who_was_superseded_is_refused,
    epochs_must_follow_each_other,
);

const LARGE: usize = 9 << 20; // three chunks

fn after(generation: u64, epoch: u64, horizon: u64) -> Manifest {
    Manifest { horizon, ..manifest(generation, epoch) }
}

async fn a_transfer_takes_the_place_of_what_was_there(place: Place) {
    let (store, generation) = place.held().await;
    commit(&store, generation, 0, 5, &[blob(5, 0, bytes(9))]).await.unwrap();
    let whole = vec![blob(7, 0, bytes(LARGE)), blob(7, 65_535, vec![]), blob(9, 1, bytes(3))];
    let mut transfer = store.transfer(5, generation).await.unwrap();
    transfer.put(&whole[..2]).await.unwrap();
    transfer.put(&[]).await.unwrap();
    transfer.put(&whole[2..]).await.unwrap();
    transfer.finish(&after(generation, 11, 6)).await.unwrap();
    assert_eq!(store.manifest().await.unwrap(), after(generation, 11, 6));
    assert!(all(&store, 0, 20).await.unwrap() == whole);
    while store.collect(20, 1 << 20).await.unwrap() > 0 {}
    assert_eq!(place.number("SELECT MIN(epoch) FROM gocdnext_flow_blob").await, 7);
    let (next, more) = (after(generation, 12, 6), [blob(12, 0, bytes(1))]);
    store
        .commit(&Commit { previous: 11, manifest: &next, blobs: &more, additions: Additions::default() })
        .await
        .unwrap();
    assert_eq!(all(&store, 0, 20).await.unwrap().len(), 4, "and it goes on");
}

async fn a_transfer_that_is_not_finished_has_changed_nothing(place: Place) {
    let (store, generation) = place.held().await;
    commit(&store, generation, 0, 5, &[blob(5, 0, bytes(9))]).await.unwrap();
    let mut transfer = store.transfer(5, generation).await.unwrap();
    transfer.put(&[blob(7, 0, bytes(LARGE))]).await.unwrap();
    drop(transfer);
    assert_eq!(all(&store, 0, 20).await.unwrap(), [blob(5, 0, bytes(9))]);
    commit(&store, generation, 5, 7, &[blob(7, 0, bytes(2))]).await.unwrap();
    assert_eq!(place.number("SELECT COUNT(*) FROM gocdnext_flow_blob").await, 2);
}

async fn a_transfer_of_one_who_was_superseded_is_refused(place: Place) {
    let (store, generation) = place.held().await;
    let other = place.open().await;
    claim(&other).await;
    assert_eq!(store.transfer(0, generation).await.map(drop), Err(StoreError::Fenced));
    assert_eq!(other.transfer(1, generation + 1).await.map(drop), Err(StoreError::Fenced), "another epoch");
    if !place.is_sqlite() {
        // SQLite lets nobody claim meanwhile
        let transfer = other.transfer(0, generation + 1).await.unwrap();
        claim(&store).await;
        assert_eq!(transfer.finish(&after(generation + 1, 3, 1)).await, Err(StoreError::Fenced));
    }
    assert_eq!(store.manifest().await.unwrap().epoch, 0);
}

async fn epochs_must_follow_each_other(place: Place) {
    let (store, generation) = place.held().await;
    commit(&store, generation, 0, 5, &[blob(5, 0, bytes(9))]).await.unwrap();
    let mut transfer = store.transfer(5, generation).await.unwrap();
    assert!(definite(transfer.put(&[blob(5, 1, bytes(1))]).await).contains("epoch 5 cannot follow epoch 5"));
    transfer.put(&[blob(8, 0, bytes(1))]).await.unwrap();
    definite(transfer.put(&[blob(8, 1, bytes(1))]).await);
    definite(transfer.put(&[blob(9, 0, bytes(1)), blob(10, 0, bytes(1))]).await);
    drop(transfer);
    let wrong =
        [after(generation, 7, 6), after(generation, 8, 5), after(generation, 8, 9), after(generation + 1, 8, 6)];
    for manifest in wrong {
        let mut transfer = store.transfer(5, generation).await.unwrap();
        transfer.put(&[blob(8, 0, bytes(1))]).await.unwrap();
        definite(transfer.finish(&manifest).await);
    }
    assert_eq!(store.manifest().await.unwrap().epoch, 5);
}
