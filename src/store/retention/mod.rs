//! What retention keeps beside the log of blobs: policies, the log ledger, the outbox. Untouched by a reset.
//!
//! Many rows travel as one JSON text, which both databases take apart by themselves: one statement, one round trip.

mod adoptions;
mod copy;
mod ledger;
mod outbox;
mod policies;

pub use copy::{Place, Rows, Table};
pub use outbox::Outgoing;

use super::{StoreError, connection::Connection};
use dataflows::retention::LedgerRow;

/// Rows in one statement: what must pass within the patience of one.
const ROWS_A_STATEMENT: usize = 5_000;

/// What an epoch adds, in its transaction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Additions<'a> {
    pub ledger: &'a [LedgerRow],
    pub outbox: &'a [Outgoing],
}

impl Additions<'_> {
    pub(super) async fn write(&self, connection: &mut Connection, epoch: i64) -> Result<(), StoreError> {
        ledger::merge(connection, self.ledger).await?;
        outbox::add(connection, epoch, self.outbox).await
    }
}

/// A JSON list as text.
fn list<T: Into<serde_json::Value>>(items: impl Iterator<Item = T>) -> String {
    items.collect::<serde_json::Value>().to_string()
}

/// An id as the JSON between us and the database has it.
fn hex(id: u128) -> String {
    format!("{id:032x}")
}

fn id(table: &'static str, bytes: &[u8]) -> Result<u128, StoreError> {
    let bytes: [u8; 16] =
        bytes.try_into().map_err(|_| StoreError::damaged(table, format!("an id of {} bytes", bytes.len())))?;
    Ok(u128::from_be_bytes(bytes))
}
