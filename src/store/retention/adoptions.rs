//! Adoptions: partitions from before our time that somebody vouches for, and the jobs in them that nobody announced.

use super::{super::Store, ROWS_A_STATEMENT, hex, id, list};
use crate::clock::wall_ms;
use crate::store::{
    StoreError,
    connection::Value::{Number, Text},
};
use std::collections::BTreeSet;

const TABLE: &str = "gocdnext_flow_adopted_job";

impl Store {
    /// Records it, all or nothing; the newest reason stands.
    pub async fn adopt(&self, partition: &str, reason: &str, jobs: &[u128]) -> Result<(), StoreError> {
        let mut lent = self.writes.lend().await?;
        lent.connection.begin().await?;
        let vouch = "INSERT INTO gocdnext_flow_adoption (partition, reason, adopted_at_ms) VALUES ($1, $2, $3) \
                     ON CONFLICT (partition) DO UPDATE SET reason = excluded.reason, \
                     adopted_at_ms = excluded.adopted_at_ms";
        lent.connection.execute(vouch, &[Text(partition), Text(reason), Number(wall_ms())]).await?;
        for jobs in jobs.chunks(ROWS_A_STATEMENT) {
            let text = list(jobs.iter().map(|job| hex(*job)));
            let insert = if lent.connection.is_sqlite() {
                "INSERT INTO gocdnext_flow_adopted_job (job, partition) \
                 SELECT unhex(value), $2 FROM json_each($1) WHERE TRUE ON CONFLICT DO NOTHING"
            } else {
                "INSERT INTO gocdnext_flow_adopted_job (job, partition) \
                 SELECT decode(hex, 'hex'), $2 FROM json_array_elements_text(CAST($1 AS JSON)) AS jobs (hex) \
                 ON CONFLICT DO NOTHING"
            };
            lent.connection.execute(insert, &[Text(&text), Text(partition)]).await?;
        }
        lent.connection.commit().await?;
        lent.give_back();
        Ok(())
    }

    /// The partitions that somebody has vouched for.
    pub async fn adopted(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut lent = self.reads.lend().await?;
        let select = "SELECT partition FROM gocdnext_flow_adoption";
        let rows: Vec<(String,)> = lent.connection.rows(select, &[]).await?;
        lent.give_back();
        Ok(rows.into_iter().map(|(partition,)| partition).collect())
    }

    /// Those of these jobs that somebody has vouched for.
    pub async fn adopted_jobs(&self, jobs: &[u128]) -> Result<Vec<u128>, StoreError> {
        let mut lent = self.reads.lend().await?;
        let mut found = Vec::new();
        for jobs in jobs.chunks(ROWS_A_STATEMENT) {
            let text = list(jobs.iter().map(|job| hex(*job)));
            let select = if lent.connection.is_sqlite() {
                "SELECT job FROM json_each($1) AS wanted JOIN gocdnext_flow_adopted_job ON job = unhex(wanted.value)"
            } else {
                "SELECT job FROM json_array_elements_text(CAST($1 AS JSON)) AS wanted (hex) \
                 JOIN gocdnext_flow_adopted_job ON job = decode(wanted.hex, 'hex')"
            };
            let rows: Vec<(Vec<u8>,)> = lent.connection.rows(select, &[Text(&text)]).await?;
            for (job,) in rows {
                found.push(id(TABLE, &job)?);
            }
        }
        lent.give_back();
        Ok(found)
    }
}
