//! `log_lines` in SQLite, for the embedded setup: what a server does by itself, that is to put each line into its
//! partition, is done here.

use super::{LogDatabase, LogsError};
use crate::database::connection::Value;
use dataflows::{
    event::Id,
    retention::{
        decision::Hyphenated,
        month::{DEFAULT_PARTITION, Month},
    },
    time::Millis,
};
use sqlx::AssertSqlSafe;
use std::collections::BTreeSet;

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub job: Id,
    pub seq: i64,
    pub at: Millis,
    pub text: String,
}

impl LogDatabase {
    /// Writes lines, all or none; one of no partition goes to the default one, one that is there already stays. Only an
    /// embedded database takes them from us.
    pub async fn append(&self, lines: &[Line]) -> Result<(), LogsError> {
        let mut connection = self.begin(true).await?;
        if !connection.is_sqlite() {
            return Err(LogsError::definite("only gocdnext writes log lines to a server"));
        }
        let listed: Vec<(String,)> = connection.rows("SELECT name FROM gocdnext_flow_log_partitions", &[]).await?;
        let there: BTreeSet<String> = listed.into_iter().map(|(name,)| name).collect();
        for line in lines {
            let month = Month::of(line.at).partition().name;
            let table = if there.contains(&month) { month.as_str() } else { DEFAULT_PARTITION };
            let sql = format!(
                "INSERT INTO {table} (job_run_id, seq, stream, at, text) VALUES ($1, $2, 'stdout', $3, $4) \
                 ON CONFLICT DO NOTHING"
            );
            let job = Hyphenated(line.job).to_string();
            let values =
                [Value::Text(&job), Value::Number(line.seq), Value::Number(line.at), Value::Text(&line.text)];
            connection.execute(AssertSqlSafe(sql), &values).await?;
        }
        Ok(connection.commit().await?)
    }
}
