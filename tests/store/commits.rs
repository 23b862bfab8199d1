//! Commits: whole, fenced, in chunks.

use crate::support::{all, blob, commit, sqlite};
use gocdnext_flow::store::{Manifest, Store, StoreError};

#[tokio::test]
async fn a_commit_is_read_back_and_cannot_be_made_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&sqlite(dir.path())).await.unwrap();
    assert_eq!(store.manifest().await.unwrap(), Manifest { details: "{}".into(), ..Manifest::default() });
    let seen = store.lease().await.unwrap();
    assert_eq!(store.claim(&seen, "a", "h").await, Ok(Some(1)));
    assert_eq!(store.claim(&seen, "a", "h").await, Ok(None));
    store.renew(1).await.unwrap();
    let blobs = [blob(5, 0, vec![1; 40 << 20]), blob(5, 65_535, vec![])];
    commit(&store, 1, 0, 5, &blobs).await.unwrap();
    assert_eq!(commit(&store, 1, 0, 5, &blobs).await, Err(StoreError::Fenced));
    assert!(all(&store, 0, 100).await.unwrap() == blobs);
    store.release(1).await.unwrap();
    assert_eq!(store.renew(1).await, Err(StoreError::Fenced));
    let again = Store::open(&sqlite(dir.path())).await.unwrap();
    assert_eq!(again.manifest().await.unwrap().epoch, 5);
}
