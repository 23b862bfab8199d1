//! The log ledger: what is known of each attempt that may have written a log.
//!
//! A row is the join of all that was ever told of it ([`LedgerRow::join`]), so order and repetition are nothing.

use super::{super::Store, ROWS_A_STATEMENT, copy::shown, hex, id, list};
use crate::store::{
    StoreError,
    connection::{
        Connection,
        Value::{self, Text},
    },
};
use dataflows::retention::{Archive, LedgerRow};
use serde_json::json;
use std::collections::BTreeMap;

pub(super) const TABLE: &str = "gocdnext_flow_log";

/// Joins rows to what is there.
pub(super) async fn merge(connection: &mut Connection, rows: &[LedgerRow]) -> Result<(), StoreError> {
    let rows = joined(rows);
    for rows in rows.chunks(ROWS_A_STATEMENT) {
        let text = list(rows.iter().map(to_json));
        let sql = if connection.is_sqlite() { MERGE_SQLITE } else { MERGE_POSTGRES };
        connection.execute(sql, &[Text(&text)]).await?;
    }
    Ok(())
}

pub(super) const MERGE_POSTGRES: &str = "\
    INSERT INTO gocdnext_flow_log AS kept \
        (job, run, attempt, project, dispatched, ended_at_ms, archive, archived_at_ms) \
    SELECT decode(row->>0, 'hex'), decode(row->>1, 'hex'), CAST(row->>2 AS BIGINT), decode(row->>3, 'hex'), \
           CAST(row->>4 AS BOOLEAN), CAST(row->>5 AS BIGINT), CAST(row->>6 AS BIGINT), CAST(row->>7 AS BIGINT) \
    FROM json_array_elements(CAST($1 AS JSON)) AS rows (row) \
    ON CONFLICT (job, run, attempt) DO UPDATE SET \
        project = LEAST(kept.project, excluded.project), \
        dispatched = kept.dispatched OR excluded.dispatched, \
        ended_at_ms = GREATEST(kept.ended_at_ms, excluded.ended_at_ms), \
        archive = GREATEST(kept.archive, excluded.archive), \
        archived_at_ms = GREATEST(kept.archived_at_ms, excluded.archived_at_ms)";

// of nothing and a number MAX makes nothing there
pub(super) const MERGE_SQLITE: &str = "\
    INSERT INTO gocdnext_flow_log \
        (job, run, attempt, project, dispatched, ended_at_ms, archive, archived_at_ms) \
    SELECT unhex(value->>0), unhex(value->>1), value->>2, unhex(value->>3), value->>4, value->>5, value->>6, value->>7 \
    FROM json_each($1) WHERE TRUE \
    ON CONFLICT (job, run, attempt) DO UPDATE SET \
        project = MIN(project, excluded.project), \
        dispatched = MAX(dispatched, excluded.dispatched), \
        ended_at_ms = COALESCE(MAX(ended_at_ms, excluded.ended_at_ms), ended_at_ms, excluded.ended_at_ms), \
        archive = MAX(archive, excluded.archive), \
        archived_at_ms = COALESCE(MAX(archived_at_ms, excluded.archived_at_ms), archived_at_ms, excluded.archived_at_ms)";

fn to_json(row: &LedgerRow) -> serde_json::Value {
    let LedgerRow { job, run, attempt, project, dispatched, ended_at, archive, archived_at } = row;
    let archive = *archive as u8;
    json!([hex(*job), hex(*run), attempt, hex(*project), dispatched, ended_at, archive, archived_at])
}

/// One row an attempt: a statement may not touch one twice.
fn joined(rows: &[LedgerRow]) -> Vec<LedgerRow> {
    let mut by_attempt = BTreeMap::new();
    for row in rows {
        by_attempt.entry(row.key()).and_modify(|known: &mut LedgerRow| known.join(row)).or_insert(*row);
    }
    by_attempt.into_values().collect()
}

/// Rows behind a key, as [`merge`] takes them: `after` is the key and their number.
pub(super) async fn page(
    connection: &mut Connection,
    after: [Value<'_>; 4],
) -> Result<Vec<serde_json::Value>, StoreError> {
    type Columns = (Vec<u8>, Vec<u8>, i64, Vec<u8>, bool, Option<i64>, i64, Option<i64>);
    let select = "SELECT job, run, attempt, project, dispatched, ended_at_ms, archive, archived_at_ms \
                  FROM gocdnext_flow_log WHERE (job, run, attempt) > ($1, $2, $3) ORDER BY job, run, attempt LIMIT $4";
    let rows: Vec<Columns> = connection.rows(select, &after).await?;
    let json = |(job, run, attempt, project, dispatched, ended_at, archive, archived_at): Columns| {
        let (job, run, project) = (shown(&job), shown(&run), shown(&project));
        json!([job, run, attempt, project, dispatched, ended_at, archive, archived_at])
    };
    Ok(rows.into_iter().map(json).collect())
}

type Columns = (Vec<u8>, Vec<u8>, i64, Vec<u8>, bool, Option<i64>, i64, Option<i64>);

fn row(columns: Columns) -> Result<LedgerRow, StoreError> {
    let (job, run, attempt, project, dispatched, ended_at, archive, archived_at) = columns;
    let damaged = |what: String| StoreError::damaged(TABLE, what);
    let known = u8::try_from(archive).ok().and_then(Archive::from_number);
    Ok(LedgerRow {
        job: id(TABLE, &job)?,
        run: id(TABLE, &run)?,
        attempt: u32::try_from(attempt).map_err(|_| damaged(format!("attempt {attempt}")))?,
        project: id(TABLE, &project)?,
        dispatched,
        ended_at,
        archive: known.ok_or_else(|| damaged(format!("archive {archive}")))?,
        archived_at,
    })
}

impl Store {
    /// All that is known of the attempts of these jobs.
    pub async fn log_rows(&self, jobs: &[u128]) -> Result<Vec<LedgerRow>, StoreError> {
        let mut lent = self.reads.lend().await?;
        let mut found = Vec::new();
        for jobs in jobs.chunks(ROWS_A_STATEMENT) {
            let text = list(jobs.iter().map(|job| hex(*job)));
            let sql = if lent.connection.is_sqlite() { ROWS_SQLITE } else { ROWS_POSTGRES };
            let rows: Vec<Columns> = lent.connection.rows(sql, &[Text(&text)]).await?;
            for columns in rows {
                found.push(row(columns)?);
            }
        }
        lent.give_back();
        Ok(found)
    }
}

const ROWS_POSTGRES: &str = "\
    SELECT job, run, attempt, project, dispatched, ended_at_ms, archive, archived_at_ms \
    FROM json_array_elements_text(CAST($1 AS JSON)) AS wanted (hex) \
    JOIN gocdnext_flow_log ON job = decode(wanted.hex, 'hex')";

const ROWS_SQLITE: &str = "\
    SELECT job, run, attempt, project, dispatched, ended_at_ms, archive, archived_at_ms \
    FROM json_each($1) AS wanted JOIN gocdnext_flow_log ON job = unhex(wanted.value)";
