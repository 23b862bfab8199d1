//! The lease's row: one claim succeeds, a superseded holder learns it, a long commit is no silence.

use crate::support::{Place, blob, bytes, claim, commit, on_both};
use gocdnext_flow::store::{Fault, Step, StoreError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

on_both!(
    a_new_lease_is_free,
    each_sign_of_life_moves_the_beat,
    a_superseded_holder_is_fenced,
    of_many_claims_at_once_one_succeeds,
    a_long_commit_is_no_silence,
);

async fn a_new_lease_is_free(place: Place) {
    let store = place.open().await;
    let lease = store.lease().await.unwrap();
    assert_eq!((lease.generation, lease.released), (0, true));
    assert_eq!(store.claim(&lease, "host-a", "process-1").await, Ok(Some(1)));
    let lease = store.lease().await.unwrap();
    assert_eq!((lease.generation, lease.released), (1, false));
    assert_eq!((lease.instance_id.as_str(), lease.holder.as_str()), ("host-a", "process-1"));
    assert!(lease.renewed_at_ms > 1_700_000_000_000, "{lease:?}");
    assert_eq!(store.manifest().await.unwrap().generation, 1);
}

async fn each_sign_of_life_moves_the_beat(place: Place) {
    let (store, generation) = place.held().await;
    let claimed = store.lease().await.unwrap();
    store.renew(generation).await.unwrap();
    let renewed = store.lease().await.unwrap();
    assert!(renewed.beat > claimed.beat);
    assert_eq!(store.claim(&claimed, "other", "process-2").await, Ok(None), "it has moved since");
    store.release(generation).await.unwrap();
    let released = store.lease().await.unwrap();
    assert!(released.released && released.beat > renewed.beat);
    assert_eq!(store.claim(&renewed, "other", "process-2").await, Ok(None), "it has moved since");
    assert_eq!(store.renew(generation).await, Err(StoreError::Fenced), "released is released");
    assert_eq!(store.claim(&released, "other", "process-2").await, Ok(Some(generation + 1)));
}

async fn a_superseded_holder_is_fenced(place: Place) {
    let (first, generation) = place.held().await;
    first.renew(generation).await.unwrap();
    let second = place.open().await;
    let next = claim(&second).await;
    assert_eq!(next, generation + 1);
    assert_eq!(first.renew(generation).await, Err(StoreError::Fenced));
    assert_eq!(first.release(generation).await, Err(StoreError::Fenced));
    assert_eq!(commit(&first, generation, 0, 1, &[]).await, Err(StoreError::Fenced));
    second.renew(next).await.unwrap();
    commit(&second, next, 0, 1, &[]).await.unwrap();
}

async fn of_many_claims_at_once_one_succeeds(place: Place) {
    let store = place.open().await;
    for round in 0..5 {
        let seen = store.lease().await.unwrap();
        let claims: Vec<_> = (0..6)
            .map(|process| {
                let (url, seen) = (place.url.clone(), seen.clone());
                tokio::spawn(async move {
                    let store = gocdnext_flow::store::Store::open(&url).await.unwrap();
                    store.claim(&seen, "host", &format!("process-{process}")).await.unwrap()
                })
            })
            .collect();
        let mut winners = Vec::new();
        for claim in claims {
            winners.extend(claim.await.unwrap());
        }
        assert_eq!(winners, [round + 1]);
        assert_eq!(store.manifest().await.unwrap().generation, round + 1);
    }
}

/// Where the lease has a connection of its own it is renewed meanwhile; SQLite's one writer tells it by the commit.
async fn a_long_commit_is_no_silence(place: Place) {
    let (store, generation) = place.held().await;
    let before = store.lease().await.unwrap();
    let begun = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&begun);
    // one of them is waited for, the other given up on
    let pause = Duration::from_secs(if place.is_sqlite() { 4 } else { 600 });
    let slow = store.clone().with_probe(Arc::new(move |step| {
        if step == Step::BlobsWritten {
            tell.store(true, Relaxed);
            return Err(Fault::Pause(pause));
        }
        Ok(())
    }));
    let long = tokio::spawn(async move { commit(&slow, generation, 0, 1, &[blob(1, 0, bytes(5 << 20))]).await });
    while !begun.load(Relaxed) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.lease().await.unwrap(), before, "readers are not held up");
    let renewed = store.renew(generation).await;
    if place.is_sqlite() {
        // on a machine busy enough, the commit is over by now
        assert!(renewed.map_or_else(|error| error.is_transient(), |()| true));
        long.await.unwrap().unwrap();
        let other = place.open().await;
        assert_eq!(other.claim(&before, "other", "process").await, Ok(None), "the commit was a sign of life");
    } else {
        renewed.unwrap();
        assert_eq!(store.manifest().await.unwrap().epoch, 0, "the commit was under way all the while");
        long.abort();
    }
    store.renew(generation).await.unwrap();
}
