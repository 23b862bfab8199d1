//! All rows of retention's tables, for whoever copies the state from one database to another: as JSON texts that both take
//! apart by themselves.

use super::{ROWS_A_STATEMENT, hex, ledger};
use crate::store::{
    Snapshot, Store, StoreError, Transfer,
    connection::{
        Connection,
        Value::{Bytes, Number, Text},
    },
};
use serde_json::{Value, json};

/// The tables; their numbers are part of exported files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Table {
    Policies = 1,
    Log = 2,
    Outbox = 3,
    Adoptions = 4,
    AdoptedJobs = 5,
}

impl Table {
    pub const ALL: [Self; 5] = [Self::Policies, Self::Log, Self::Outbox, Self::Adoptions, Self::AdoptedJobs];

    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }
}

/// Some rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    pub table: Table,
    /// An array of arrays.
    pub json: String,
}

/// Where reading has come to.
#[derive(Debug, Default)]
pub struct Place {
    /// Of [`Table::ALL`].
    table: usize,
    /// The last row that was read of it.
    last: Option<Value>,
}

impl Snapshot {
    /// The next rows, in pages of bounded size.
    pub async fn next_rows(&mut self) -> Result<Option<Rows>, StoreError> {
        while let Some(table) = Table::ALL.get(self.place.table).copied() {
            let last = self.place.last.take();
            let rows = page(&mut self.connection, table, last.as_ref()).await?;
            let Some(newest) = rows.last().cloned() else {
                self.place.table += 1;
                continue;
            };
            self.place.last = Some(newest);
            return Ok(Some(Rows { table, json: Value::Array(rows).to_string() }));
        }
        Ok(None)
    }
}

async fn page(connection: &mut Connection, table: Table, last: Option<&Value>) -> Result<Vec<Value>, StoreError> {
    let text = |at: usize| last.and_then(|row| row[at].as_str()).unwrap_or_default();
    let limit = Number(i64::try_from(ROWS_A_STATEMENT).unwrap_or(i64::MAX));
    match table {
        // the default's key is empty, and there are few
        Table::Policies if last.is_some() => Ok(Vec::new()),
        Table::Policies => {
            let select = "SELECT project, log_retention_days, archive, changed_at_ms FROM gocdnext_flow_policy";
            let rows: Vec<(Vec<u8>, i64, bool, i64)> = connection.rows(select, &[]).await?;
            Ok(rows
                .into_iter()
                .map(|(project, days, archive, at)| json!([shown(&project), days, archive, at]))
                .collect())
        }
        Table::Log => {
            let (job, run) = (bytes(text(0)), bytes(text(1)));
            let attempt = last.and_then(|row| row[2].as_i64()).unwrap_or(-1);
            ledger::page(connection, [Bytes(&job), Bytes(&run), Number(attempt), limit]).await
        }
        Table::Outbox => {
            let select = "SELECT id, body, epoch FROM gocdnext_flow_outbox WHERE id > $1 ORDER BY id LIMIT $2";
            let rows: Vec<(String, String, i64)> = connection.rows(select, &[Text(text(0)), limit]).await?;
            Ok(rows.into_iter().map(|(id, body, epoch)| json!([id, body, epoch])).collect())
        }
        Table::Adoptions => {
            let select = "SELECT partition, reason, adopted_at_ms FROM gocdnext_flow_adoption \
                          WHERE partition > $1 ORDER BY partition LIMIT $2";
            let rows: Vec<(String, String, i64)> = connection.rows(select, &[Text(text(0)), limit]).await?;
            Ok(rows.into_iter().map(|(partition, reason, at)| json!([partition, reason, at])).collect())
        }
        Table::AdoptedJobs => {
            let select = "SELECT job, partition FROM gocdnext_flow_adopted_job WHERE job > $1 ORDER BY job LIMIT $2";
            let after = bytes(text(0));
            let rows: Vec<(Vec<u8>, String)> = connection.rows(select, &[Bytes(&after), limit]).await?;
            Ok(rows.into_iter().map(|(job, partition)| json!([shown(&job), partition])).collect())
        }
    }
}

/// Ids are of 16 bytes, or, where they stand for none, of no bytes.
pub(super) fn shown(id: &[u8]) -> String {
    <[u8; 16]>::try_from(id).map_or_else(|_| String::new(), |id| hex(u128::from_be_bytes(id)))
}

fn bytes(shown: &str) -> Vec<u8> {
    u128::from_str_radix(shown, 16).map_or_else(|_| Vec::new(), |id| id.to_be_bytes().to_vec())
}

impl Store {
    /// Whether there are no rows at all.
    pub async fn keeps_nothing(&self) -> Result<bool, StoreError> {
        let select = "SELECT CAST((SELECT COUNT(*) FROM gocdnext_flow_policy) \
                      + (SELECT COUNT(*) FROM gocdnext_flow_adoption) \
                      + (SELECT COUNT(*) FROM (SELECT 1 FROM gocdnext_flow_log LIMIT 1) AS log) \
                      + (SELECT COUNT(*) FROM (SELECT 1 FROM gocdnext_flow_outbox LIMIT 1) AS outbox) AS BIGINT)";
        let mut lent = self.reads.lend().await?;
        let (rows,) = lent.connection.row::<(i64,)>(ledger::TABLE, select).await?;
        lent.give_back();
        Ok(rows == 0)
    }
}

impl Transfer<'_> {
    /// Throws away all rows that are there.
    pub async fn clear_rows(&mut self) -> Result<(), StoreError> {
        let statements: &[&'static str] = if self.connection().is_sqlite() {
            &[
                "DELETE FROM gocdnext_flow_policy",
                "DELETE FROM gocdnext_flow_log",
                "DELETE FROM gocdnext_flow_outbox",
                "DELETE FROM gocdnext_flow_adoption",
                "DELETE FROM gocdnext_flow_adopted_job",
            ]
        } else {
            &["TRUNCATE gocdnext_flow_policy, gocdnext_flow_log, gocdnext_flow_outbox, gocdnext_flow_adoption, \
               gocdnext_flow_adopted_job"]
        };
        for statement in statements {
            self.connection().execute(*statement, &[]).await?;
        }
        Ok(())
    }

    /// Puts rows in.
    pub async fn put_rows(&mut self, rows: &Rows) -> Result<(), StoreError> {
        let connection = self.connection();
        let [sqlite, postgres] = match rows.table {
            Table::Policies => PUT_POLICIES,
            Table::Log => [ledger::MERGE_SQLITE, ledger::MERGE_POSTGRES],
            Table::Outbox => PUT_OUTBOX,
            Table::Adoptions => PUT_ADOPTIONS,
            Table::AdoptedJobs => PUT_ADOPTED_JOBS,
        };
        let sql = if connection.is_sqlite() { sqlite } else { postgres };
        connection.execute(sql, &[Text(&rows.json)]).await?;
        Ok(())
    }
}

const PUT_POLICIES: [&str; 2] = [
    "INSERT INTO gocdnext_flow_policy (project, log_retention_days, archive, changed_at_ms) \
     SELECT unhex(value->>0), value->>1, value->>2, value->>3 FROM json_each($1)",
    "INSERT INTO gocdnext_flow_policy (project, log_retention_days, archive, changed_at_ms) \
     SELECT decode(row->>0, 'hex'), CAST(row->>1 AS BIGINT), CAST(row->>2 AS BOOLEAN), CAST(row->>3 AS BIGINT) \
     FROM json_array_elements(CAST($1 AS JSON)) AS rows (row)",
];

const PUT_OUTBOX: [&str; 2] = [
    "INSERT INTO gocdnext_flow_outbox (id, body, epoch) SELECT value->>0, value->>1, value->>2 FROM json_each($1)",
    "INSERT INTO gocdnext_flow_outbox (id, body, epoch) SELECT row->>0, row->>1, CAST(row->>2 AS BIGINT) \
     FROM json_array_elements(CAST($1 AS JSON)) AS rows (row)",
];

const PUT_ADOPTIONS: [&str; 2] = [
    "INSERT INTO gocdnext_flow_adoption (partition, reason, adopted_at_ms) \
     SELECT value->>0, value->>1, value->>2 FROM json_each($1)",
    "INSERT INTO gocdnext_flow_adoption (partition, reason, adopted_at_ms) \
     SELECT row->>0, row->>1, CAST(row->>2 AS BIGINT) FROM json_array_elements(CAST($1 AS JSON)) AS rows (row)",
];

const PUT_ADOPTED_JOBS: [&str; 2] = [
    "INSERT INTO gocdnext_flow_adopted_job (job, partition) \
     SELECT unhex(value->>0), value->>1 FROM json_each($1)",
    "INSERT INTO gocdnext_flow_adopted_job (job, partition) \
     SELECT decode(row->>0, 'hex'), row->>1 FROM json_array_elements(CAST($1 AS JSON)) AS rows (row)",
];
