//! Commits: whole or not at all, fenced, in chunks, read back in order.

use crate::support::{Place, all, blob, bytes, claim, commit, definite, manifest, on_both};
use gocdnext_flow::store::{Additions, Commit, Manifest, StoreError};

on_both!(
    an_empty_state_has_an_empty_manifest,
    a_commit_is_read_back_also_by_another,
    a_commit_at_the_wrong_epoch_or_generation_changes_nothing,
    blobs_of_any_size_come_back_as_they_were,
    blobs_come_in_the_order_of_epoch_and_lane_whatever_the_page,
    what_could_not_be_read_again_is_refused,
);

async fn an_empty_state_has_an_empty_manifest(place: Place) {
    let store = place.open().await;
    assert_eq!(store.manifest().await, Ok(Manifest { details: "{}".into(), ..Manifest::default() }));
    assert_eq!(all(&store, 0, u64::MAX).await, Ok(vec![]));
    assert_eq!(store.collect(u64::MAX, u64::MAX).await, Ok(0));
}

async fn a_commit_is_read_back_also_by_another(place: Place) {
    let (store, generation) = place.held().await;
    let blobs = [blob(1_700_000_000_000, 0, bytes(1_000)), blob(1_700_000_000_000, 65_535, vec![])];
    let committed = Manifest {
        epoch: 1_700_000_000_000,
        generation,
        stream_time_ms: Some(-5),
        horizon: 7,
        details: r#"{"offsets":[0,1],"name":"æ – '\""}"#.into(),
        committed_at_ms: 1_700_000_000_123,
    };
    store
        .commit(&Commit { previous: 0, manifest: &committed, blobs: &blobs, additions: Additions::default() })
        .await
        .unwrap();
    for store in [store, place.open().await] {
        assert_eq!(store.manifest().await.as_ref(), Ok(&committed));
        assert_eq!(all(&store, 0, u64::MAX).await.as_deref(), Ok(&blobs[..]));
        let sizes = store.sizes().await.unwrap();
        assert_eq!((sizes.blobs, sizes.bytes, sizes.oldest_epoch), (2, 1_000, Some(1_700_000_000_000)));
        assert!(sizes.disk_bytes > 1_000, "{sizes:?}");
    }
}

async fn a_commit_at_the_wrong_epoch_or_generation_changes_nothing(place: Place) {
    let (store, generation) = place.held().await;
    commit(&store, generation, 0, 5, &[blob(5, 0, bytes(10))]).await.unwrap();
    let wrong = [
        (generation, 4, 6, "a former epoch"),
        (generation, 5 + 1, 7, "a later epoch"),
        (generation - 1, 5, 6, "a former generation"),
        (generation + 1, 5, 6, "a later generation"),
        (generation, 0, 5, "the same again"),
    ];
    for (generation, previous, epoch, what) in wrong {
        let blobs = [blob(epoch, 0, bytes(20)), blob(epoch, 1, bytes(20))];
        assert_eq!(commit(&store, generation, previous, epoch, &blobs).await, Err(StoreError::Fenced), "{what}");
        assert_eq!(commit(&store, generation, previous, epoch, &[]).await, Err(StoreError::Fenced), "{what}");
    }
    assert_eq!(store.manifest().await.as_ref(), Ok(&manifest(generation, 5)));
    assert_eq!(all(&store, 0, u64::MAX).await, Ok(vec![blob(5, 0, bytes(10))]));
    commit(&store, generation, 5, 6, &[]).await.unwrap();
    let next = claim(&place.open().await).await;
    assert_eq!(commit(&store, generation, 6, 7, &[]).await, Err(StoreError::Fenced), "superseded");
    commit(&store, next, 6, 7, &[]).await.unwrap();
}

async fn blobs_of_any_size_come_back_as_they_were(place: Place) {
    const MIB: usize = 1 << 20;
    let (store, generation) = place.held().await;
    let sizes = [0, 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 8 * MIB, 20 * MIB + 7];
    let blobs: Vec<_> = (0..).zip(sizes).map(|(lane, size)| blob(9, lane, bytes(size))).collect();
    commit(&store, generation, 0, 9, &blobs).await.unwrap();
    assert!(all(&store, 9, 9).await.unwrap() == blobs, "they differ");
    let largest = place.number("SELECT CAST(MAX(length(bytes)) AS BIGINT) FROM gocdnext_flow_blob").await;
    assert!(largest <= 16 << 20, "{largest}");
    assert_eq!(store.sizes().await.unwrap().blobs, 7);
}

async fn blobs_come_in_the_order_of_epoch_and_lane_whatever_the_page(place: Place) {
    let (store, generation) = place.held().await;
    let mut written = Vec::new();
    for epoch in 1..=12 {
        // more rows than a page has, and now and then more bytes
        let size = if epoch % 4 == 0 { 200_000 } else { 3 };
        let blobs: Vec<_> = (0..100).map(|lane| blob(epoch, lane, bytes(size + lane as usize))).collect();
        let backwards: Vec<_> = blobs.iter().rev().cloned().collect();
        commit(&store, generation, epoch - 1, epoch, &backwards).await.unwrap();
        written.extend(blobs);
    }
    assert!(all(&store, 0, u64::MAX).await.unwrap() == written);
    assert!(all(&store, 3, 5).await.unwrap() == written[200..500]);
    assert!(all(&store, 13, 20).await.unwrap().is_empty());
    assert!(all(&store, 5, 3).await.unwrap().is_empty());
}

async fn what_could_not_be_read_again_is_refused(place: Place) {
    let (store, generation) = place.held().await;
    definite(commit(&store, generation, 5, 5, &[]).await);
    definite(commit(&store, generation, 0, 5, &[blob(4, 0, vec![])]).await);
    definite(commit(&store, generation, 0, u64::MAX, &[]).await);
    let beyond = Manifest { horizon: 6, ..manifest(generation, 5) };
    definite(
        store.commit(&Commit { previous: 0, manifest: &beyond, blobs: &[], additions: Additions::default() }).await,
    );
    assert_eq!(store.manifest().await.unwrap().epoch, 0);
}
