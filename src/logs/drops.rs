//! The drop ledger: each partition that was dropped, written by the transaction that dropped it, and whether the world
//! has been told. From it `log.partition_dropped` is sent until it is acknowledged.

use super::{LogDatabase, LogsError, probe::Step};
use crate::database::connection::{Connection, Value::Number, Value::Text};
use dataflows::{event::Id, time::Millis};
use uuid::Uuid;

/// A partition that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    pub name: String,
    pub lower: Millis,
    pub upper: Millis,
    /// So many lines went with it.
    pub rows: u64,
    /// By the log database's clock.
    pub dropped_at: Millis,
    /// The id of the decision.
    pub decision: Id,
}

type Columns = (String, i64, i64, i64, i64, String);

impl LogDatabase {
    /// Drops of which nobody has acknowledged to have been told, the oldest first.
    pub async fn unacknowledged(&self, most: u32) -> Result<Vec<Drop>, LogsError> {
        let mut lent = self.link.lend().await?;
        let mut drops = Vec::new();
        if is_there(&mut lent.connection).await? {
            let select = "SELECT name, lower_ms, upper_ms, row_count, dropped_at_ms, decision \
                          FROM gocdnext_flow_drops WHERE NOT acknowledged ORDER BY dropped_at_ms, name LIMIT $1";
            let rows: Vec<Columns> = lent.connection.rows(select, &[Number(most.into())]).await?;
            drops = rows.into_iter().map(read).collect::<Result<_, _>>()?;
        }
        lent.give_back();
        Ok(drops)
    }

    /// The world has been told of this one.
    pub async fn acknowledge(&self, name: &str) -> Result<(), LogsError> {
        self.probe.at(Step::BeforeAcknowledge)?;
        let mut lent = self.link.lend().await?;
        let update = "UPDATE gocdnext_flow_drops SET acknowledged = TRUE WHERE name = $1";
        lent.connection.execute(update, &[Text(name)]).await?;
        lent.give_back();
        self.probe.at(Step::Acknowledged)?;
        Ok(())
    }

    /// The drop of a partition, if it was dropped by an executor.
    pub async fn dropped(&self, name: &str) -> Result<Option<Drop>, LogsError> {
        let mut lent = self.link.lend().await?;
        let mut found = None;
        if is_there(&mut lent.connection).await? {
            let select = "SELECT name, lower_ms, upper_ms, row_count, dropped_at_ms, decision \
                          FROM gocdnext_flow_drops WHERE name = $1";
            let rows: Vec<Columns> = lent.connection.rows(select, &[Text(name)]).await?;
            found = rows.into_iter().next().map(read).transpose()?;
        }
        lent.give_back();
        Ok(found)
    }
}

/// Who only looks may come before the first executor.
async fn is_there(connection: &mut Connection) -> Result<bool, LogsError> {
    let exists = if connection.is_sqlite() {
        "SELECT COUNT(*) FROM sqlite_master WHERE name = 'gocdnext_flow_drops'"
    } else {
        "SELECT COUNT(*) WHERE to_regclass('gocdnext_flow_drops') IS NOT NULL"
    };
    Ok(connection.row::<(i64,)>("the drop ledger", exists).await?.0 > 0)
}

fn read((name, lower, upper, rows, dropped_at, decision): Columns) -> Result<Drop, LogsError> {
    let decision = Uuid::try_parse(&decision)
        .map_err(|_| LogsError::definite(format!("gocdnext_flow_drops: {name} has no decision's id")))?;
    Ok(Drop { name, lower, upper, rows: rows.unsigned_abs(), dropped_at, decision: decision.as_u128() })
}
