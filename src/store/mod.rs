//! The durable state in SQLite or PostgreSQL: a manifest, a log of blobs, a lease. On [`crate::database`].
//!
//! The store keeps bytes and numbers; what they mean is the business of those who write them. What must stay true:
//!
//! - an epoch's blobs and its manifest are committed together or not at all (I4);
//! - no commit and no renewal of a superseded generation succeeds (I7);
//! - no call waits for ever: a database that does not answer is a transient error within [`Options::patience`] a
//!   statement;
//! - the file or the tables stay bounded: what [`Store::collect`] frees is used again.

mod assembly;
pub mod blobs;
pub mod commit;
pub mod error;
pub mod lease;
pub mod probe;
pub mod retention;
pub mod sizes;
pub mod snapshot;
pub mod transfer;

pub use self::{
    blobs::Blobs,
    commit::Commit,
    error::{ChunkId, Damage, StoreError},
    lease::Lease,
    probe::{Fault, Step},
    retention::{Additions, Outgoing, Rows, Table},
    sizes::Sizes,
    snapshot::Snapshot,
    transfer::Transfer,
};

pub use crate::database::{DatabaseUrl as StateUrl, Options, UrlError};

use self::probe::{Ask, Probe};
use crate::database::{
    connection::{self, Link},
    open::{Schema, Target},
};
use std::{
    fmt,
    sync::{Arc, LazyLock},
};

/// The names of the tables, as damage is told.
const MANIFEST: &str = "gocdnext_flow_manifest";
const BLOB: &str = "gocdnext_flow_blob";
const LEASE: &str = "gocdnext_flow_lease";

/// Two programs may keep their tables in one database.
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let (sqlite, postgres) = (sqlx::migrate!("migrations/sqlite"), sqlx::migrate!("migrations/postgres"));
    Schema::new("gocdnext_flow_migrations", sqlite, postgres)
});

/// What is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// 0: nothing is.
    pub epoch: u64,
    /// Of the lease under which it was committed, or of a later one.
    pub generation: u64,
    pub stream_time_ms: Option<i64>,
    /// Blobs of earlier epochs are not needed.
    pub horizon: u64,
    /// JSON, opaque here.
    pub details: String,
    /// By the writer's wall clock, for people.
    pub committed_at_ms: i64,
}

/// What one lane wrote in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub epoch: u64,
    pub lane: u32,
    pub bytes: Vec<u8>,
}

/// See the module. A clone is the same store.
#[derive(Clone)]
pub struct Store {
    target: Arc<Target>,
    /// Commits and collection.
    writes: Arc<Link>,
    reads: Arc<Link>,
    /// Of its own, so that a long commit does not hold up a sign of life.
    lease: Arc<Link>,
    probe: Probe,
}

impl Store {
    /// Connects and brings the schema up to date; afterwards manifest and lease are there.
    pub async fn open(url: &StateUrl) -> Result<Self, StoreError> {
        Self::open_with(url, Options::default()).await
    }

    pub async fn open_with(url: &StateUrl, options: Options) -> Result<Self, StoreError> {
        let target = Arc::new(Target { url: url.clone(), options });
        let link = || Arc::new(Link::new(&target));
        let store = Self { writes: link(), reads: link(), lease: link(), probe: Probe::default(), target };
        let mut lent = store.writes.lend().await?;
        store.target.migrate(&SCHEMA, &mut lent.connection).await?;
        lent.give_back();
        Ok(store)
    }

    /// Closes what is open, for a program that ends: its connections would be cut off.
    pub async fn close(&self) -> Result<(), StoreError> {
        for link in [&self.reads, &self.lease, &self.writes] {
            link.close().await?;
        }
        Ok(())
    }

    /// Asks at each step what should go wrong; for tests.
    #[must_use]
    pub fn with_probe(self, ask: Ask) -> Self {
        Self { probe: Probe(Some(ask)), ..self }
    }

    #[must_use]
    pub fn url(&self) -> &StateUrl {
        &self.target.url
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("url", &self.target.url).field("probe", &self.probe).finish_non_exhaustive()
    }
}

/// As the databases have it.
fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::definite(format!("{number} is too large a number to store")))
}

fn unsigned(table: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::damaged(table, format!("{number} is no number that was written")))
}
