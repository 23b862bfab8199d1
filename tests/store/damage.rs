//! What is stored and is not what was written is found and named.

use crate::support::{Place, all, blob, bytes, commit, impatient, on_both};
use gocdnext_flow::store::{ChunkId, Damage, Store, StoreError};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

on_both!(
    a_changed_chunk_is_named,
    a_change_of_any_column_is_named,
    a_missing_chunk_is_named,
    a_missing_lane_or_epoch_is_named,
    behind_each_damage_it_goes_on,
    a_change_of_the_manifest_is_named,
    a_missing_row_is_named,
    a_number_that_was_never_written_is_named,
);

const SIZE: usize = 9 << 20; // three chunks

async fn three_epochs(place: &Place) -> Store {
    let (store, generation) = place.held().await;
    for epoch in 1..=3 {
        let blobs = [blob(epoch, 0, bytes(SIZE)), blob(epoch, 65_535, bytes(5))];
        commit(&store, generation, epoch - 1, epoch, &blobs).await.unwrap();
    }
    store
}

fn damage<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Damage {
    match result {
        Err(StoreError::Damaged(damage)) => damage,
        other => panic!("not damaged: {:?}", other.map(drop)),
    }
}

async fn a_changed_chunk_is_named(place: Place) {
    let store = three_epochs(&place).await;
    let change = if place.is_sqlite() {
        "UPDATE gocdnext_flow_blob SET bytes = zeroblob(length(bytes)) WHERE epoch = 2 AND lane = 0 AND chunk = 1"
    } else {
        "UPDATE gocdnext_flow_blob SET bytes = set_byte(bytes, 1000, 77) WHERE epoch = 2 AND lane = 0 AND chunk = 1"
    };
    place.sql(change).await;
    assert_eq!(all(&store, 1, 1).await.unwrap().len(), 2, "what is whole is read");
    let found = damage(all(&store, 1, 3).await);
    assert_eq!(found.table, "gocdnext_flow_blob");
    assert_eq!(found.chunk, Some(ChunkId { epoch: 2, lane: 0, chunk: 1 }));
    assert!(found.to_string().contains("checksum"), "{found}");
}

async fn a_change_of_any_column_is_named(place: Place) {
    let store = three_epochs(&place).await;
    let whole = all(&store, 1, 3).await.unwrap();
    // of the first chunk of epoch 2; each is put back
    for (change, back, told) in [
        (
            "UPDATE gocdnext_flow_blob SET epoch = 4 WHERE epoch = 2 AND lane = 0 AND chunk = 0",
            "UPDATE gocdnext_flow_blob SET epoch = 2 WHERE epoch = 4",
            "epoch 2, lane 0, chunk 0",
        ),
        (
            "UPDATE gocdnext_flow_blob SET lane = 7 WHERE epoch = 2 AND lane = 0 AND chunk = 0",
            "UPDATE gocdnext_flow_blob SET lane = 0 WHERE epoch = 2 AND lane = 7",
            "epoch 2, lane 0, chunk 0",
        ),
        (
            "UPDATE gocdnext_flow_blob SET chunk = 9 WHERE epoch = 2 AND lane = 0 AND chunk = 0",
            "UPDATE gocdnext_flow_blob SET chunk = 0 WHERE epoch = 2 AND lane = 0 AND chunk = 9",
            "epoch 2, lane 0, chunk 0",
        ),
        (
            "UPDATE gocdnext_flow_blob SET chunks = 1 WHERE epoch = 2 AND lane = 0 AND chunk = 0",
            "UPDATE gocdnext_flow_blob SET chunks = 3 WHERE epoch = 2 AND lane = 0 AND chunk = 0",
            "epoch 2, lane 0, chunk 0: its checksum",
        ),
        (
            "UPDATE gocdnext_flow_blob SET epoch_rows = 3 WHERE epoch = 2 AND lane = 0 AND chunk = 0",
            "UPDATE gocdnext_flow_blob SET epoch_rows = 4 WHERE epoch = 2 AND lane = 0 AND chunk = 0",
            "epoch 2, lane 0, chunk 0: its checksum",
        ),
        (
            "UPDATE gocdnext_flow_blob SET previous_epoch = 0 WHERE epoch = 2 AND lane = 0 AND chunk = 0",
            "UPDATE gocdnext_flow_blob SET previous_epoch = 1 WHERE epoch = 2 AND lane = 0 AND chunk = 0",
            "epoch 2, lane 0, chunk 0: its checksum",
        ),
        (
            "UPDATE gocdnext_flow_blob SET checksum = checksum + 1 WHERE epoch = 2 AND lane = 0 AND chunk = 0",
            "UPDATE gocdnext_flow_blob SET checksum = checksum - 1 WHERE epoch = 2 AND lane = 0 AND chunk = 0",
            "epoch 2, lane 0, chunk 0: its checksum",
        ),
    ] {
        place.sql(change).await;
        let found = damage(all(&store, 1, 3).await).to_string();
        assert!(found.contains(told), "{change}: {found}");
        place.sql(back).await;
        assert!(all(&store, 1, 3).await.unwrap() == whole, "{back}");
    }
}

async fn a_missing_lane_or_epoch_is_named(place: Place) {
    let store = three_epochs(&place).await;
    for (sql, told) in [
        ("DELETE FROM gocdnext_flow_blob WHERE epoch = 3 AND lane = 65535", "epoch 3 has 3 of 4 rows"),
        ("DELETE FROM gocdnext_flow_blob WHERE epoch = 3", "all rows of epoch 3 are missing"),
        ("DELETE FROM gocdnext_flow_blob WHERE epoch = 2 AND lane = 0", "epoch 2 has 1 of 4 rows"),
        ("DELETE FROM gocdnext_flow_blob WHERE epoch = 1", "all rows of epoch 1 are missing"),
        ("DELETE FROM gocdnext_flow_blob", "all rows of epoch 3 are missing"),
    ] {
        place.sql(sql).await;
        let found = damage(all(&store, 1, 3).await).to_string();
        assert!(found.contains(told), "{sql}: {found}");
    }
}

async fn behind_each_damage_it_goes_on(place: Place) {
    let (store, generation) = place.held().await;
    for epoch in 1..=7 {
        let blobs = [blob(epoch, 0, bytes(5)), blob(epoch, 65_535, bytes(5))];
        commit(&store, generation, epoch - 1, epoch, &blobs).await.unwrap();
    }
    place.sql("DELETE FROM gocdnext_flow_blob WHERE epoch IN (2, 4, 7) OR (epoch = 5 AND lane > 0)").await;
    place.sql("UPDATE gocdnext_flow_blob SET checksum = checksum + 1 WHERE epoch = 6 AND lane = 0").await;
    let (mut damages, mut whole) = (vec![], vec![]);
    let mut snapshot = store.snapshot().await.unwrap();
    while let Some(found) = snapshot.next().await.unwrap() {
        match found {
            Ok(blob) => whole.push((blob.epoch, blob.lane)),
            Err(damage) => damages.push(damage.to_string()),
        }
    }
    let told = [
        "all rows of epoch 2 are missing",
        "all rows of epoch 4 are missing",
        "epoch 5 has 1 of 2 rows",
        "epoch 6, lane 0, chunk 0: its checksum",
        "all rows of epoch 7 are missing",
    ];
    assert_eq!(damages.len(), told.len(), "{damages:?}");
    for (damage, told) in damages.iter().zip(told) {
        assert!(damage.contains(told), "{told}: {damages:?}");
    }
    assert_eq!(whole, [(1, 0), (1, 65_535), (3, 0), (3, 65_535), (5, 0), (6, 65_535)]);
}

async fn a_change_of_the_manifest_is_named(place: Place) {
    let store = three_epochs(&place).await;
    for sql in [
        "UPDATE gocdnext_flow_manifest SET epoch = 2",
        "UPDATE gocdnext_flow_manifest SET epoch = 3, stream_time_ms = 0",
        "UPDATE gocdnext_flow_manifest SET stream_time_ms = NULL, horizon = 3",
        "UPDATE gocdnext_flow_manifest SET horizon = 0, details = '{\"of\":4}'",
        "UPDATE gocdnext_flow_manifest SET details = '{\"of\":3}', committed_at_ms = 1",
        "UPDATE gocdnext_flow_manifest SET committed_at_ms = 0, blob_epoch = 0",
    ] {
        place.sql(sql).await;
        let found = damage(store.manifest().await);
        assert!(found.to_string().starts_with("gocdnext_flow_manifest: its checksum"), "{sql}: {found}");
    }
    place.sql("UPDATE gocdnext_flow_manifest SET blob_epoch = 3").await;
    assert_eq!(store.manifest().await.unwrap().epoch, 3);
}

async fn a_missing_chunk_is_named(place: Place) {
    let store = three_epochs(&place).await;
    let gone = |sql, chunk| (sql, ChunkId { epoch: chunk, lane: 0, chunk: 3 - u32::try_from(chunk).unwrap() });
    // the last of epoch 1, the middle one of epoch 2, the first of epoch 3
    for (sql, id) in [
        gone("DELETE FROM gocdnext_flow_blob WHERE epoch = 3 AND lane = 0 AND chunk = 0", 3),
        gone("DELETE FROM gocdnext_flow_blob WHERE epoch = 2 AND lane = 0 AND chunk = 1", 2),
        gone("DELETE FROM gocdnext_flow_blob WHERE epoch = 1 AND lane = 0 AND chunk = 2", 1),
    ] {
        place.sql(sql).await;
        assert_eq!(damage(all(&store, 1, 3).await).chunk, Some(id));
    }
    place.sql("DELETE FROM gocdnext_flow_blob WHERE epoch > 1 OR lane > 0").await;
    let id = ChunkId { epoch: 1, lane: 0, chunk: 2 };
    assert_eq!(damage(all(&store, 1, 3).await).chunk, Some(id), "at the very end, too");
}

async fn a_missing_row_is_named(place: Place) {
    let store = three_epochs(&place).await;
    place.sql("DELETE FROM gocdnext_flow_manifest").await;
    assert_eq!(damage(store.manifest().await).table, "gocdnext_flow_manifest");
    place.sql("DELETE FROM gocdnext_flow_lease").await;
    assert_eq!(damage(store.lease().await).table, "gocdnext_flow_lease");
}

async fn a_number_that_was_never_written_is_named(place: Place) {
    let store = three_epochs(&place).await;
    place.sql("UPDATE gocdnext_flow_manifest SET horizon = -1").await;
    assert_eq!(damage(store.manifest().await).table, "gocdnext_flow_manifest");
    place.sql("UPDATE gocdnext_flow_manifest SET horizon = 0").await;
    place.sql("UPDATE gocdnext_flow_blob SET lane = -1 WHERE epoch = 2 AND lane = 0").await;
    assert_eq!(damage(all(&store, 1, 3).await).table, "gocdnext_flow_blob");
}

#[tokio::test]
async fn a_damaged_file_is_told() {
    let place = Place::sqlite();
    drop(three_epochs(&place).await);
    place.sql("PRAGMA wal_checkpoint(TRUNCATE)").await;
    // every page behind the first ones
    let file = File::options().write(true).open(place.path()).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&vec![0xaa; usize::try_from(length).unwrap() - (64 << 10)], 64 << 10).unwrap();
    damage(all(&place.open().await, 0, 10).await);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_told() {
    let place = Place::sqlite();
    fs::write(place.path(), "epoch,generation\n".repeat(1_000)).unwrap();
    let reason = damage(Store::open_with(&place.url, impatient()).await).reason;
    assert!(reason.contains("not a database") && reason.contains("state.db"), "{reason}");
}
