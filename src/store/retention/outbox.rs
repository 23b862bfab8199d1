//! The outbox: decisions that are committed and not yet acknowledged by Kafka.

use super::{
    super::{Store, unsigned},
    ROWS_A_STATEMENT, list,
};
use crate::store::{
    StoreError,
    connection::{
        Connection,
        Value::{Number, Text},
    },
};
use serde_json::json;

const OUTBOX: &str = "gocdnext_flow_outbox";

/// One message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Of the event; the key of its record.
    pub id: String,
    /// The event, a JSON object.
    pub body: String,
}

/// Adds what is not there yet.
pub(super) async fn add(connection: &mut Connection, epoch: i64, messages: &[Outgoing]) -> Result<(), StoreError> {
    for messages in messages.chunks(ROWS_A_STATEMENT) {
        let text = list(messages.iter().map(|m| json!([m.id, m.body])));
        let sql = if connection.is_sqlite() { ADD_SQLITE } else { ADD_POSTGRES };
        connection.execute(sql, &[Text(&text), Number(epoch)]).await?;
    }
    Ok(())
}

const ADD_POSTGRES: &str = "\
    INSERT INTO gocdnext_flow_outbox (id, epoch, body) \
    SELECT row->>0, $2, row->>1 FROM json_array_elements(CAST($1 AS JSON)) AS rows (row) ON CONFLICT DO NOTHING";

const ADD_SQLITE: &str = "\
    INSERT INTO gocdnext_flow_outbox (id, epoch, body) \
    SELECT value->>0, $2, value->>1 FROM json_each($1) WHERE TRUE ON CONFLICT DO NOTHING";

impl Store {
    /// The oldest messages that wait.
    pub async fn outgoing(&self, at_most: u32) -> Result<Vec<Outgoing>, StoreError> {
        let mut lent = self.reads.lend().await?;
        let select = "SELECT id, body FROM gocdnext_flow_outbox ORDER BY epoch, id LIMIT $1";
        let rows: Vec<(String, String)> = lent.connection.rows(select, &[Number(i64::from(at_most))]).await?;
        lent.give_back();
        Ok(rows.into_iter().map(|(id, body)| Outgoing { id, body }).collect())
    }

    /// How many wait; counted no further than a million, so that it costs little however many there are.
    pub async fn waiting(&self) -> Result<u64, StoreError> {
        let mut lent = self.reads.lend().await?;
        let select =
            "SELECT CAST(COUNT(*) AS BIGINT) FROM (SELECT 1 FROM gocdnext_flow_outbox LIMIT 1000000) AS waiting";
        let (count,) = lent.connection.row::<(i64,)>(OUTBOX, select).await?;
        lent.give_back();
        unsigned(OUTBOX, count)
    }

    /// Kafka has acknowledged these.
    pub async fn sent(&self, messages: &[Outgoing]) -> Result<(), StoreError> {
        let mut lent = self.writes.lend().await?;
        for messages in messages.chunks(ROWS_A_STATEMENT) {
            let text = list(messages.iter().map(|m| m.id.as_str()));
            let delete = if lent.connection.is_sqlite() {
                "DELETE FROM gocdnext_flow_outbox WHERE id IN (SELECT value FROM json_each($1))"
            } else {
                "DELETE FROM gocdnext_flow_outbox WHERE id IN (SELECT json_array_elements_text(CAST($1 AS JSON)))"
            };
            lent.connection.execute(delete, &[Text(&text)]).await?;
        }
        lent.give_back();
        Ok(())
    }
}
