//! A commit that fails at any of its steps has happened or has not, and the manifest tells which.

use crate::support::{Place, all, blob, bytes, claim, commit, on_both, transient};
use gocdnext_flow::store::{Fault, Step, Store, StoreError};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

on_both!(
    a_fault_at_any_step_leaves_all_or_nothing,
    every_step_is_asked_in_its_order,
    a_commit_given_up_on_holds_nothing_up,
    a_claim_whose_answer_is_lost_is_seen_in_the_row,
    reading_goes_on_after_a_fault,
);

/// Fails at this step, the first time.
fn failing(store: &Store, at: Step) -> Store {
    let failed = Mutex::new(false);
    store.clone().with_probe(Arc::new(move |step| {
        let mut failed = failed.lock().unwrap();
        if step == at && !*failed {
            *failed = true;
            return Err(Fault::Error(StoreError::Transient { reason: "planted".into() }));
        }
        Ok(())
    }))
}

async fn a_fault_at_any_step_leaves_all_or_nothing(place: Place) {
    let (store, generation) = place.held().await;
    for (epoch, step) in (0..).zip(Step::ALL) {
        let probed = failing(&store, step);
        let blobs = [blob(epoch + 1, 0, bytes(5 << 20)), blob(epoch + 1, 1, bytes(7))];
        assert_eq!(transient(commit(&probed, generation, epoch, epoch + 1, &blobs).await), "planted", "{step:?}");
        let there = all(&store, epoch + 1, epoch + 1).await.unwrap();
        let manifest = store.manifest().await.unwrap();
        if step == Step::Committed {
            assert_eq!((manifest.epoch, there.len()), (epoch + 1, 2), "only the answer was lost");
            let again = commit(&probed, generation, epoch, epoch + 1, &blobs).await;
            assert_eq!(again, Err(StoreError::Fenced), "it is not made twice");
        } else {
            assert_eq!((manifest.epoch, there.len()), (epoch, 0), "{step:?}");
            commit(&probed, generation, epoch, epoch + 1, &blobs).await.unwrap();
        }
    }
    assert_eq!(all(&store, 0, 100).await.unwrap().len(), 2 * Step::ALL.len());
}

async fn every_step_is_asked_in_its_order(place: Place) {
    let (store, generation) = place.held().await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&asked);
    let probed = store.with_probe(Arc::new(move |step| {
        list.lock().unwrap().push(step);
        Ok(())
    }));
    commit(&probed, generation, 0, 1, &[blob(1, 0, bytes(9 << 20)), blob(1, 1, vec![])]).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), Step::ALL);
    asked.lock().unwrap().clear();
    probed.manifest().await.unwrap();
    all(&probed, 5, 6).await.unwrap();
    probed.collect(0, 0).await.unwrap();
    probed.renew(generation).await.unwrap();
    let next = claim(&probed).await;
    probed.release(next).await.unwrap();
    let expected = [
        Step::BeforeManifest,
        Step::BeforeBlobs,
        Step::BeforeCollect,
        Step::Collected,
        Step::BeforeRenew,
        Step::BeforeLease,
        Step::BeforeClaim,
        Step::Claimed,
        Step::BeforeRelease,
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
}

/// Whoever waits for a commit may go away in the middle of it.
async fn a_commit_given_up_on_holds_nothing_up(place: Place) {
    let (store, generation) = place.held().await;
    let slow = store.clone().with_probe(Arc::new(|step| match step {
        Step::ManifestWritten => Err(Fault::Pause(Duration::from_secs(60))),
        _ => Ok(()),
    }));
    let blobs = [blob(1, 0, bytes(10))];
    let given_up = tokio::time::timeout(Duration::from_secs(1), commit(&slow, generation, 0, 1, &blobs)).await;
    assert!(given_up.is_err());
    assert_eq!(store.manifest().await.unwrap().epoch, 0);
    commit(&store, generation, 0, 1, &blobs).await.unwrap();
}

async fn a_claim_whose_answer_is_lost_is_seen_in_the_row(place: Place) {
    let store = place.open().await;
    let probed = failing(&store, Step::Claimed);
    let seen = store.lease().await.unwrap();
    transient(probed.claim(&seen, "host", "me").await);
    let lease = store.lease().await.unwrap();
    assert_eq!((lease.generation, lease.holder.as_str()), (1, "me"));
}

async fn reading_goes_on_after_a_fault(place: Place) {
    let (store, generation) = place.held().await;
    for epoch in 1..=3 {
        commit(&store, generation, epoch - 1, epoch, &[blob(epoch, 0, bytes(6 << 20))]).await.unwrap();
    }
    let turn = Mutex::new(0);
    let probed = store.with_probe(Arc::new(move |step| {
        let mut turn = turn.lock().unwrap();
        *turn += 1;
        let failed = step == Step::BeforeBlobs && *turn % 2 == 0;
        if failed { Err(Fault::Error(StoreError::Transient { reason: "planted".into() })) } else { Ok(()) }
    }));
    let mut blobs = probed.blobs(1, 3);
    let (mut found, mut faults) = (Vec::new(), 0);
    loop {
        match blobs.next().await {
            Ok(Some(blob)) => found.push((blob.epoch, blob.bytes == bytes(6 << 20))),
            Ok(None) => break,
            Err(error) => faults += u32::from(error.is_transient()),
        }
    }
    assert_eq!(found, [(1, true), (2, true), (3, true)]);
    assert!(faults >= 1, "{faults}");
}
