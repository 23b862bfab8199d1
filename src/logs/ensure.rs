//! Making the partition of a month.
//!
//! In PostgreSQL the table is made by itself and then attached, which takes a weaker lock on `log_lines` than making it as
//! a partition: those who write there go on.

use super::{LogDatabase, LogsError, catalogue, layout::Layout, probe::Step};
use crate::database::connection::{Connection, Value};
use dataflows::retention::{Partition, month::Month};

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    Made,
    /// It is there already.
    There,
    /// It can only be made after somebody has done something about it.
    Refused {
        why: String,
    },
}

impl LogDatabase {
    /// Makes the partition of a month be there. Any number may do so at once.
    pub async fn ensure(&self, month: Month) -> Result<Ensured, LogsError> {
        self.probe.at(Step::BeforeEnsure)?;
        let made = self.make(&month.partition()).await;
        self.probe.at(Step::Ensured)?;
        match made {
            Err(LogsError::Definite { reason }) => {
                // another may have been faster
                let mut connection = self.begin(false).await?;
                let there = catalogue::entry(&mut connection, &month.partition().name).await?.is_some();
                Ok(if there { Ensured::There } else { Ensured::Refused { why: reason } })
            }
            other => other,
        }
    }

    async fn make(&self, partition: &Partition) -> Result<Ensured, LogsError> {
        let mut connection = self.begin(true).await?;
        let layout = Layout::read(&mut connection).await?;
        if catalogue::entry(&mut connection, &partition.name).await?.is_some() {
            return Ok(Ensured::There);
        }
        if connection.is_sqlite() {
            make_sqlite(&mut connection, &layout, partition).await?;
        } else {
            make_postgres(&mut connection, &layout, partition).await?;
        }
        Ok(Ensured::Made)
    }
}

async fn make_postgres(connection: &mut Connection, layout: &Layout, partition: &Partition) -> Result<(), LogsError> {
    let (table, parent) = (layout.table(&partition.name), layout.table("log_lines"));
    let bound =
        |time| jiff::Timestamp::from_millisecond(time).map_err(|error| LogsError::definite(error.to_string()));
    let (lower, upper) = (bound(partition.lower)?, bound(partition.upper)?);
    let sql = format!(
        "CREATE TABLE {table} (LIKE {parent} INCLUDING ALL EXCLUDING IDENTITY); \
         ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES FROM ('{lower}') TO ('{upper}'); COMMIT"
    );
    Ok(connection.batch(sql).await?)
}

async fn make_sqlite(connection: &mut Connection, layout: &Layout, partition: &Partition) -> Result<(), LogsError> {
    let Partition { name, lower, upper, .. } = partition;
    let bounds = [Value::Number(*lower), Value::Number(*upper)];
    let select = "SELECT COUNT(*) FROM log_lines_default WHERE at >= $1 AND at < $2";
    let stray: Vec<(i64,)> = connection.rows(select, &bounds).await?;
    if stray.first().is_none_or(|(lines,)| *lines > 0) {
        return Err(LogsError::definite(format!("lines of {name} lie in log_lines_default: move them away first")));
    }
    let sql = format!(
        "CREATE TABLE {} (job_run_id TEXT NOT NULL, seq BIGINT NOT NULL, stream TEXT NOT NULL, at BIGINT NOT NULL, \
         text TEXT NOT NULL, PRIMARY KEY (job_run_id, seq, at)) WITHOUT ROWID; \
         INSERT INTO gocdnext_flow_log_partitions (name, lower_ms, upper_ms) VALUES ('{name}', {lower}, {upper}); \
         COMMIT",
        layout.table(name)
    );
    Ok(connection.batch(sql).await?)
}
