//! Policies: for how long logs are kept, and whether they are archived, by project and by default.

use super::{super::Store, id};
use crate::clock::wall_ms;
use crate::store::{
    StoreError,
    connection::Value::{Bytes, Flag, Number},
};
use dataflows::retention::{Policies, Policy};

const TABLE: &str = "gocdnext_flow_policy";

impl Store {
    /// All of them.
    pub async fn policies(&self) -> Result<Policies, StoreError> {
        let mut lent = self.reads.lend().await?;
        let select = "SELECT project, log_retention_days, archive FROM gocdnext_flow_policy";
        let rows: Vec<(Vec<u8>, i64, bool)> = lent.connection.rows(select, &[]).await?;
        lent.give_back();
        let mut policies = Policies::default();
        for (project, days, archive) in rows {
            let days = u32::try_from(days).map_err(|_| StoreError::damaged(TABLE, format!("{days} days")))?;
            let policy = Policy { log_retention_days: days, archive };
            if project.is_empty() {
                policies.default = Some(policy);
            } else {
                policies.projects.insert(id(TABLE, &project)?, policy);
            }
        }
        Ok(policies)
    }

    /// Sets the policy of a project, or (`None`) the one of all others.
    pub async fn set_policy(&self, project: Option<u128>, policy: Policy) -> Result<(), StoreError> {
        let set = "INSERT INTO gocdnext_flow_policy (project, log_retention_days, archive, changed_at_ms) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (project) DO UPDATE SET \
                   log_retention_days = excluded.log_retention_days, archive = excluded.archive, \
                   changed_at_ms = excluded.changed_at_ms";
        let key = key(project);
        let values = [Bytes(&key), Number(policy.log_retention_days.into()), Flag(policy.archive), Number(wall_ms())];
        let mut lent = self.writes.lend().await?;
        lent.connection.execute(set, &values).await?;
        lent.give_back();
        Ok(())
    }

    /// `false`: there was none.
    pub async fn remove_policy(&self, project: Option<u128>) -> Result<bool, StoreError> {
        let key = key(project);
        let mut lent = self.writes.lend().await?;
        let delete = "DELETE FROM gocdnext_flow_policy WHERE project = $1";
        let removed = lent.connection.execute(delete, &[Bytes(&key)]).await?;
        lent.give_back();
        Ok(removed > 0)
    }
}

/// No bytes: the default.
fn key(project: Option<u128>) -> Vec<u8> {
    project.map_or_else(Vec::new, |project| project.to_be_bytes().to_vec())
}
