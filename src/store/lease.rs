//! The lease's row: who writes the state, and by which sign the others see that it lives.
//!
//! When one may claim it is `crate::lease`'s business. No clock is compared here: `renewed_at_ms` is for people.

use super::{LEASE, Store, StoreError, probe::Step, signed, unsigned};
use crate::clock::wall_ms;
use crate::database::connection::{
    Connection, Lent,
    Value::{Flag, Number, Text},
};

/// The row as somebody saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Goes up with each claim; 0: it was never held.
    pub generation: u64,
    /// Goes up with each sign of life.
    pub beat: u64,
    pub instance_id: String,
    /// Names the process.
    pub holder: String,
    pub released: bool,
    pub renewed_at_ms: i64,
}

impl Store {
    pub async fn lease(&self) -> Result<Lease, StoreError> {
        self.probe.at(Step::BeforeLease).await?;
        let mut lent = self.lease.lend().await?;
        let lease = read(&mut lent.connection).await?;
        lent.give_back();
        Ok(lease)
    }

    /// Takes the lease over as it was seen: the new generation. `None`: it has changed since.
    pub async fn claim(&self, seen: &Lease, instance_id: &str, holder: &str) -> Result<Option<u64>, StoreError> {
        self.probe.at(Step::BeforeClaim).await?;
        let mut lent = self.lease.lend().await?;
        lent.connection.begin().await?;
        let claimed = take(&mut lent.connection, seen, instance_id, holder).await?;
        lent.connection.commit().await?;
        lent.give_back();
        self.probe.at(Step::Claimed).await?;
        Ok(claimed)
    }

    /// A sign of life.
    pub async fn renew(&self, generation: u64) -> Result<(), StoreError> {
        self.probe.at(Step::BeforeRenew).await?;
        let update = "UPDATE gocdnext_flow_lease SET beat = beat + 1, renewed_at_ms = $1 \
                      WHERE id = 1 AND generation = $2 AND NOT released";
        one(self.lease.lend().await?, update, generation).await
    }

    /// Lets go of the lease: the next may claim it at once.
    pub async fn release(&self, generation: u64) -> Result<(), StoreError> {
        self.probe.at(Step::BeforeRelease).await?;
        let update = "UPDATE gocdnext_flow_lease SET released = TRUE, beat = beat + 1, renewed_at_ms = $1 \
                      WHERE id = 1 AND generation = $2";
        one(self.lease.lend().await?, update, generation).await
    }
}

/// An update of the holder's row, fenced when it is not the holder's any more.
async fn one(mut lent: Lent<'_>, update: &'static str, generation: u64) -> Result<(), StoreError> {
    let values = [Number(wall_ms()), Number(signed(generation)?)];
    let rows = lent.connection.execute(update, &values).await?;
    lent.give_back();
    if rows == 0 { Err(StoreError::Fenced) } else { Ok(()) }
}

pub(super) async fn read(connection: &mut Connection) -> Result<Lease, StoreError> {
    type Columns = (i64, i64, String, String, bool, i64);
    let select = "SELECT generation, beat, instance_id, holder, released, renewed_at_ms \
                  FROM gocdnext_flow_lease WHERE id = 1";
    let (generation, beat, instance_id, holder, released, renewed_at_ms) =
        connection.row::<Columns>(LEASE, select).await?;
    let (generation, beat) = (unsigned(LEASE, generation)?, unsigned(LEASE, beat)?);
    Ok(Lease { generation, beat, instance_id, holder, released, renewed_at_ms })
}

async fn take(
    connection: &mut Connection,
    seen: &Lease,
    instance_id: &str,
    holder: &str,
) -> Result<Option<u64>, StoreError> {
    let update = "UPDATE gocdnext_flow_lease SET generation = generation + 1, beat = beat + 1, instance_id = $1, \
                  holder = $2, released = FALSE, renewed_at_ms = $3 \
                  WHERE id = 1 AND generation = $4 AND beat = $5 AND released = $6";
    let values = [
        Text(instance_id),
        Text(holder),
        Number(wall_ms()),
        Number(signed(seen.generation)?),
        Number(signed(seen.beat)?),
        Flag(seen.released),
    ];
    if connection.execute(update, &values).await? == 0 {
        return Ok(None);
    }
    let generation = seen.generation + 1;
    let fence = "UPDATE gocdnext_flow_manifest SET generation = $1 WHERE id = 1";
    connection.execute(fence, &[Number(signed(generation)?)]).await?;
    Ok(Some(generation))
}
