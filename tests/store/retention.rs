//! What retention keeps: rows that join, an outbox that loses nothing, policies, adoptions.

use crate::support::{Place, commit_with, on_both};
use dataflows::retention::{Archive, LedgerRow, Policies, Policy};
use gocdnext_flow::store::{Additions, Outgoing, StoreError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

on_both!(
    rows_join_as_the_dataflow_joins_them,
    the_outbox_gives_each_message_until_it_is_sent,
    a_commit_that_is_fenced_adds_nothing,
    policies_are_set_read_and_removed,
    adopted_jobs_are_those_that_were_listed,
);

fn random_row(numbers: &mut ChaCha8Rng) -> LedgerRow {
    let mut time = || numbers.random_bool(0.6).then(|| numbers.random_range(-50..50_i64));
    let (ended_at, archived_at) = (time(), time());
    LedgerRow {
        // both halves of the sign bit
        job: [1, u128::MAX - 1, 7][numbers.random_range(0..3)],
        run: numbers.random_range(0..2),
        attempt: numbers.random_range(1..3),
        project: [3, u128::MAX][numbers.random_range(0..2)],
        dispatched: numbers.random_bool(0.5),
        ended_at,
        archive: Archive::ALL[numbers.random_range(0..4)],
        archived_at,
    }
}

async fn rows_join_as_the_dataflow_joins_them(place: Place) {
    let store = place.open().await;
    let mut numbers = ChaCha8Rng::seed_from_u64(9);
    let mut expected: BTreeMap<_, LedgerRow> = BTreeMap::new();
    for epoch in 1..30 {
        let rows: Vec<LedgerRow> = (0..numbers.random_range(0..20)).map(|_| random_row(&mut numbers)).collect();
        commit_with(&store, epoch, Additions { ledger: &rows, outbox: &[] }).await.unwrap();
        for row in rows {
            expected.entry(row.key()).and_modify(|known| known.join(&row)).or_insert(row);
        }
    }
    let mut found = store.log_rows(&[1, 7, u128::MAX - 1]).await.unwrap();
    found.sort_by_key(LedgerRow::key);
    assert_eq!(found, expected.into_values().collect::<Vec<_>>());
    assert!(found.len() > 8, "most attempts came up");
    assert_eq!(store.log_rows(&[2]).await.unwrap(), []);
}

fn message(number: u32) -> Outgoing {
    Outgoing { id: format!("id-{number}"), body: format!(r#"{{"n":{number},"text":"a \"quoted\" \u0001 ü"}}"#) }
}

async fn the_outbox_gives_each_message_until_it_is_sent(place: Place) {
    let store = place.open().await;
    let messages: Vec<Outgoing> = (0..4).map(message).collect();
    commit_with(&store, 1, Additions { ledger: &[], outbox: &messages[2..] }).await.unwrap();
    commit_with(&store, 2, Additions { ledger: &[], outbox: &messages }).await.unwrap();
    let waiting = [2, 3, 0, 1].map(message);
    assert_eq!(store.outgoing(10).await.unwrap(), waiting, "by epoch, each once");
    assert_eq!(store.outgoing(1).await.unwrap(), waiting[..1]);
    assert_eq!(store.waiting().await.unwrap(), 4);
    store.sent(&waiting[..3]).await.unwrap();
    store.sent(&waiting[..3]).await.unwrap();
    assert_eq!(store.outgoing(10).await.unwrap(), waiting[3..]);
    assert_eq!(store.waiting().await.unwrap(), 1);
}

async fn a_commit_that_is_fenced_adds_nothing(place: Place) {
    let store = place.open().await;
    commit_with(&store, 1, Additions::default()).await.unwrap();
    let lease = store.lease().await.unwrap();
    store.claim(&lease, "b", "other").await.unwrap().unwrap();
    let row = LedgerRow { job: 5, ..LedgerRow::default() };
    let additions = Additions { ledger: &[row], outbox: &[message(1)] };
    let refused = commit_with(&store, 2, additions).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    assert_eq!(store.log_rows(&[5]).await.unwrap(), []);
    assert_eq!(store.outgoing(10).await.unwrap(), []);
}

async fn policies_are_set_read_and_removed(place: Place) {
    let store = place.open().await;
    assert_eq!(store.policies().await.unwrap(), Policies::default());
    let policy = |log_retention_days, archive| Policy { log_retention_days, archive };
    store.set_policy(None, policy(30, true)).await.unwrap();
    store.set_policy(Some(u128::MAX), policy(90, false)).await.unwrap();
    store.set_policy(Some(u128::MAX), policy(91, true)).await.unwrap();
    let both = Policies { default: Some(policy(30, true)), projects: [(u128::MAX, policy(91, true))].into() };
    assert_eq!(store.policies().await.unwrap(), both);
    assert!(store.remove_policy(Some(u128::MAX)).await.unwrap());
    assert!(!store.remove_policy(Some(u128::MAX)).await.unwrap());
    assert_eq!(store.policies().await.unwrap(), Policies { projects: BTreeMap::new(), ..both });
}

async fn adopted_jobs_are_those_that_were_listed(place: Place) {
    let store = place.open().await;
    store.adopt("log_lines_y2024m01", "from before", &[1, u128::MAX]).await.unwrap();
    store.adopt("log_lines_y2024m01", "from before", &[1, u128::MAX]).await.unwrap();
    store.adopt("log_lines_y2024m02", "more of it", &[3]).await.unwrap();
    let both = ["log_lines_y2024m01", "log_lines_y2024m02"].map(str::to_owned);
    assert_eq!(store.adopted().await.unwrap(), both.into());
    let mut found = store.adopted_jobs(&[1, 2, 3, u128::MAX]).await.unwrap();
    found.sort_unstable();
    assert_eq!(found, [1, 3, u128::MAX]);
    assert_eq!(store.log_rows(&[1]).await.unwrap(), [], "nothing is claimed to be known of them");
}
