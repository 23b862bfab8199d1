//! Other state in place of what is there: whole, or not at all.

use crate::support::{Place, all, blob, bytes, claim, commit, definite, manifest, on_both};
use dataflows::retention::{Archive, LedgerRow, Policy};
use gocdnext_flow::store::{Additions, Commit, Manifest, Outgoing, Rows, Store, StoreError, Table};

on_both!(
    a_transfer_takes_the_place_of_what_was_there,
    a_transfer_that_is_not_finished_has_changed_nothing,
    a_transfer_of_one_who_was_superseded_is_refused,
    epochs_must_follow_each_other,
    rows_beside_the_blobs_travel_to_either_database,
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

/// All rows of a place, page by page.
async fn rows(store: &Store) -> Vec<Rows> {
    let mut snapshot = store.snapshot().await.unwrap();
    let mut pages = vec![];
    while let Some(page) = snapshot.next_rows().await.unwrap() {
        pages.push(page);
    }
    pages
}

/// More than one page of the log ledger, and some of all else.
async fn fill(store: &Store, generation: u64) {
    let row = |job: u32| LedgerRow {
        job: u128::from(job) << 64 | 7,
        run: u128::from(job) << 3,
        attempt: job % 3,
        dispatched: job.is_multiple_of(2),
        ended_at: job.is_multiple_of(5).then_some(i64::from(job)),
        archive: Archive::Skipped,
        ..LedgerRow::default()
    };
    let ledger: Vec<LedgerRow> = (1..6_000).map(row).collect();
    let message =
        |number: u32| Outgoing { id: format!("id-{number}"), body: format!("{{\"n\":\"\u{e9}{number}\"}}") };
    let outbox: Vec<Outgoing> = (1..5).map(message).collect();
    let additions = Additions { ledger: &ledger, outbox: &outbox };
    let commit = Commit { previous: 0, manifest: &after(generation, 5, 0), blobs: &[], additions };
    store.commit(&commit).await.unwrap();
    let policy = Policy { log_retention_days: 30, archive: true };
    store.set_policy(None, policy).await.unwrap();
    store.set_policy(Some(9), Policy { archive: false, ..policy }).await.unwrap();
    store.adopt("log_lines_y2026m01", "it was so", &[77, 78]).await.unwrap();
}

async fn rows_beside_the_blobs_travel_to_either_database(place: Place) {
    let (store, generation) = place.held().await;
    assert!(store.keeps_nothing().await.unwrap());
    fill(&store, generation).await;
    let all = rows(&store).await;
    assert_eq!(
        all.iter().map(|page| page.table).collect::<Vec<_>>(),
        [Table::Policies, Table::Log, Table::Log, Table::Outbox, Table::Adoptions, Table::AdoptedJobs]
    );
    for target in [Some(Place::sqlite()), Place::postgres()].into_iter().flatten() {
        let (other, generation) = target.held().await;
        other.set_policy(Some(5), Policy { log_retention_days: 1, archive: false }).await.unwrap();
        assert!(!other.keeps_nothing().await.unwrap());
        let mut transfer = other.transfer(0, generation).await.unwrap();
        transfer.clear_rows().await.unwrap();
        for page in &all {
            transfer.put_rows(page).await.unwrap();
        }
        transfer.finish(&after(generation, 3, 1)).await.unwrap();
        assert!(rows(&other).await == all, "the same, and none of those before");
        assert_eq!(other.policies().await.unwrap(), store.policies().await.unwrap());
        assert_eq!(other.adopted().await.unwrap(), store.adopted().await.unwrap());
    }
}
