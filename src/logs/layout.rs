//! How `log_lines` is laid out in a database: where it lies, and what its columns are called.
//!
//! gocdnext's own is `log_lines (job_run_id UUID, seq, stream, at TIMESTAMPTZ, text) PARTITION BY RANGE (at)`. One that is
//! cut in another way is refused: what its partitions hold would not follow from their bounds.

use super::LogsError;
use crate::database::connection::Connection;
use dataflows::{retention::month::Month, time::Millis};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    sqlite: bool,
    /// Quoted, with its dot; empty in SQLite.
    schema: String,
    /// The column with the job.
    pub(super) job: &'static str,
}

impl Layout {
    pub(super) async fn read(connection: &mut Connection) -> Result<Self, LogsError> {
        if connection.is_sqlite() {
            let there = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'gocdnext_flow_log_partitions'";
            if connection.row::<(i64,)>("sqlite_master", there).await?.0 == 0 {
                return Err(LogsError::absent("the file has no log_lines"));
            }
            return Ok(Self { sqlite: true, schema: String::new(), job: "job_run_id" });
        }
        let select = "SELECT quote_ident(n.nspname), COALESCE(pg_get_partkeydef(c.oid), 'not at all'), \
                      COALESCE((SELECT string_agg(attname, ',') FROM pg_attribute WHERE attrelid = c.oid \
                      AND NOT attisdropped AND attname IN ('job_run_id', 'job_id')), ''), \
                      COALESCE((SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = c.oid \
                      AND NOT attisdropped AND attname = 'at'), 'nothing') \
                      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('log_lines')";
        let found: Vec<(String, String, String, String)> = connection.rows(select, &[]).await?;
        let Some((schema, key, jobs, at)) = found.into_iter().next() else {
            return Err(LogsError::absent("there is no table log_lines on the search path"));
        };
        if key != "RANGE (at)" || at != "timestamp with time zone" {
            return Err(LogsError::definite(format!(
                "log_lines must be partitioned by RANGE (at), a timestamp with time zone; it is {key}, and `at` is {at}"
            )));
        }
        let job = ["job_run_id", "job_id"].into_iter().find(|name| jobs.split(',').any(|job| job == *name));
        let job = job.ok_or_else(|| LogsError::definite("log_lines has neither job_run_id nor job_id"))?;
        Ok(Self { sqlite: false, schema: format!("{schema}."), job })
    }

    /// A table beside `log_lines`, as statements name it. Only names that need no quotes may come here.
    pub(super) fn table(&self, name: &str) -> String {
        debug_assert!(Month::from_name(name).is_some() || name == "log_lines", "{name}");
        format!("{}{name}", self.schema)
    }

    /// A time as statements write it.
    pub(super) fn time(&self, time: Millis) -> String {
        if self.sqlite { time.to_string() } else { format!("to_timestamp({time}::BIGINT / 1000.0)") }
    }

    /// The newest time of some lines, in Unix ms, rounded up.
    pub(super) const fn newest(&self) -> &'static str {
        if self.sqlite { "MAX(at)" } else { "CAST(ceil(extract(epoch FROM MAX(at)) * 1000) AS BIGINT)" }
    }

    /// As what a job is read.
    pub(super) fn job_as_text(&self) -> String {
        format!("CAST({} AS TEXT)", self.job)
    }
}
