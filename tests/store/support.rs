//! What the cases share: a place for the state in either database, and the ways to write to it.

use crate::postgres::{self, Server};
use gocdnext_flow::store::{Additions, Blob, Commit, Manifest, Options, StateUrl, Store, StoreError};
use sqlx::{Connection, Executor, PgConnection, Row, SqliteConnection};
use std::{path::Path, time::Duration};
use tempfile::TempDir;

/// Makes a test of each case, one a database.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::support::Place::sqlite()).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(place) = crate::support::Place::postgres() {
                    super::$case(place).await;
                }
            })*
        }
    };
}
pub(crate) use on_both;

/// An empty place for a state.
pub struct Place {
    pub url: StateUrl,
    raw: String,
    at: At,
}

enum At {
    Sqlite(TempDir),
    Postgres(&'static Server, String),
}

impl Place {
    pub fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let raw = format!("sqlite://{}?mode=rwc", path.display());
        Self { url: StateUrl::sqlite(path), raw, at: At::Sqlite(dir) }
    }

    /// `None`: SKIPPED.
    pub fn postgres() -> Option<Self> {
        postgres::shared().map(Self::on)
    }

    /// A database of its own on a server.
    pub fn on(server: &'static Server) -> Self {
        let database = server.database();
        let raw = server.url(&database);
        Self { url: raw.parse().unwrap(), raw, at: At::Postgres(server, database) }
    }

    pub const fn is_sqlite(&self) -> bool {
        matches!(self.at, At::Sqlite(_))
    }

    pub fn path(&self) -> &Path {
        self.url.path().unwrap()
    }

    /// The server and the database's name.
    pub fn server(&self) -> (&Server, &str) {
        match &self.at {
            At::Postgres(server, database) => (server, database),
            At::Sqlite(dir) => panic!("{} is no server", dir.path().display()),
        }
    }

    pub async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    pub async fn try_open(&self) -> Result<Store, StoreError> {
        Store::open_with(&self.url, impatient()).await
    }

    /// A store that holds the lease, and its generation.
    pub async fn held(&self) -> (Store, u64) {
        let store = self.open().await;
        let generation = claim(&store).await;
        (store, generation)
    }

    /// Statements past the store.
    pub async fn sql(&self, sql: &'static str) {
        if self.is_sqlite() {
            SqliteConnection::connect(&self.raw).await.unwrap().execute(sqlx::raw_sql(sql)).await.unwrap();
        } else {
            PgConnection::connect(&self.raw).await.unwrap().execute(sqlx::raw_sql(sql)).await.unwrap();
        }
    }

    pub async fn number(&self, sql: &'static str) -> i64 {
        if self.is_sqlite() {
            SqliteConnection::connect(&self.raw).await.unwrap().fetch_one(sql).await.unwrap().get(0)
        } else {
            PgConnection::connect(&self.raw).await.unwrap().fetch_one(sql).await.unwrap().get(0)
        }
    }
}

/// Waits that are made to end in a test end soon.
pub fn impatient() -> Options {
    let (patience, lock_patience) = (Duration::from_secs(5), Duration::from_millis(1_500));
    Options { patience, lock_patience, ..Options::default() }
}

/// Takes the lease as it is.
pub async fn claim(store: &Store) -> u64 {
    let seen = store.lease().await.unwrap();
    store.claim(&seen, "test", "process").await.unwrap().expect("nobody else claims")
}

pub fn blob(epoch: u64, lane: u32, bytes: Vec<u8>) -> Blob {
    Blob { epoch, lane, bytes }
}

/// Bytes that differ from place to place.
pub fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

pub fn manifest(generation: u64, epoch: u64) -> Manifest {
    Manifest { epoch, generation, details: format!("{{\"of\":{epoch}}}"), ..Manifest::default() }
}

/// Commits `epoch` after `previous` with these blobs under a generation.
pub async fn commit(
    store: &Store,
    generation: u64,
    previous: u64,
    epoch: u64,
    blobs: &[Blob],
) -> Result<(), StoreError> {
    store
        .commit(&Commit { previous, manifest: &manifest(generation, epoch), blobs, additions: Additions::default() })
        .await
}

/// Commits `epoch` after the one before it, under the first generation or the one that was never claimed.
pub async fn commit_with(store: &Store, epoch: u64, additions: Additions<'_>) -> Result<(), StoreError> {
    store.commit(&Commit { previous: epoch - 1, manifest: &manifest(0, epoch), blobs: &[], additions }).await
}

/// All blobs of some epochs.
pub async fn all(store: &Store, from: u64, to: u64) -> Result<Vec<Blob>, StoreError> {
    let mut blobs = store.blobs(from, to);
    let mut found = Vec::new();
    while let Some(blob) = blobs.next().await? {
        found.push(blob);
    }
    Ok(found)
}

/// The reason of an error that may pass.
#[track_caller]
pub fn transient<T>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Transient { reason }) => reason,
        Err(other) => panic!("not transient: {other}"),
        Ok(_) => panic!("it went well"),
    }
}

/// The reason of an error that stays.
#[track_caller]
pub fn definite<T>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Definite { reason }) => reason,
        Err(other) => panic!("not definite: {other}"),
        Ok(_) => panic!("it went well"),
    }
}
