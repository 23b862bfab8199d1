//! How large the state is, for people.

use super::{BLOB, LEASE, MANIFEST, StateUrl, Store, StoreError, unsigned};
use crate::database::{connection::Connection, url::Place};
use sqlx::AssertSqlSafe;
use std::{fs, path::Path};

/// Every table of the state's schema: what grows must be seen.
const TABLES: [&str; 8] = [
    MANIFEST,
    BLOB,
    LEASE,
    "gocdnext_flow_policy",
    "gocdnext_flow_log",
    "gocdnext_flow_outbox",
    "gocdnext_flow_adoption",
    "gocdnext_flow_adopted_job",
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    pub blobs: u64,
    /// In the blobs.
    pub bytes: u64,
    /// Of the file and its log, or of the tables with their indexes.
    pub disk_bytes: u64,
    /// Of the blobs; `None`: there is none.
    pub oldest_epoch: Option<u64>,
}

impl Store {
    /// Looks at every row: not for each scrape.
    pub async fn sizes(&self) -> Result<Sizes, StoreError> {
        let mut lent = self.reads.lend().await?;
        let sizes = read(&mut lent.connection, self.url()).await?;
        lent.give_back();
        Ok(sizes)
    }
}

pub(super) async fn read(connection: &mut Connection, url: &StateUrl) -> Result<Sizes, StoreError> {
    type Columns = (i64, i64, Option<i64>);
    let select = "SELECT CAST(COUNT(CASE WHEN chunk = 0 THEN 1 END) AS BIGINT), \
                  CAST(COALESCE(SUM(length(bytes)), 0) AS BIGINT), MIN(epoch) FROM gocdnext_flow_blob";
    let (blobs, bytes, oldest) = connection.row::<Columns>(BLOB, select).await?;
    let disk_bytes = match &url.0 {
        Place::Sqlite(path) => file_bytes(path),
        Place::Postgres(_) => table_bytes(connection).await?,
    };
    Ok(Sizes {
        blobs: unsigned(BLOB, blobs)?,
        bytes: unsigned(BLOB, bytes)?,
        disk_bytes,
        oldest_epoch: oldest.map(|epoch| unsigned(BLOB, epoch)).transpose()?,
    })
}

/// Of all tables on a server, with their indexes.
async fn table_bytes(connection: &mut Connection) -> Result<u64, StoreError> {
    let names = TABLES.map(|name| format!("('{name}')")).join(", ");
    let select = format!(
        "SELECT CAST(SUM(pg_total_relation_size(CAST(name AS REGCLASS))) AS BIGINT) FROM (VALUES {names}) AS tables (name)"
    );
    unsigned(BLOB, connection.row::<(i64,)>(BLOB, AssertSqlSafe(select)).await?.0)
}

/// Of the file and its write-ahead log; what cannot be seen counts nothing.
fn file_bytes(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    bytes(path) + bytes(Path::new(&log))
}

#[cfg(test)]
mod tests {
    use super::{super::SCHEMA, *};
    use sqlx::migrate::Migrator;
    use std::collections::BTreeSet;

    /// The tables that a schema's migrations make.
    fn made_by(migrator: &Migrator) -> BTreeSet<String> {
        let made = |sql: &str| -> Vec<String> {
            let behind = sql.split("CREATE TABLE ").skip(1);
            behind.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned).collect()
        };
        migrator.iter().flat_map(|migration| made(migration.sql.as_str())).collect()
    }

    #[test]
    fn every_table_counts() {
        let counted: BTreeSet<String> = TABLES.map(str::to_owned).into();
        assert_eq!(made_by(&SCHEMA.postgres), counted);
        assert_eq!(made_by(&SCHEMA.sqlite), counted);
    }
}
