//! The state as the executor sees it: policies, how far the stream is, what is known of jobs; as last committed.

use crate::{
    retention::{Adoption, Known, Ledger, Standing},
    store::{Store, StoreError},
    wiring::{Details, stream_time},
};
use dataflows::{
    event::Id,
    retention::{RetentionInput, partitions::Moment},
};
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub struct StateLedger(pub Arc<Store>);

impl Ledger for StateLedger {
    async fn standing(&self) -> Result<Standing, StoreError> {
        let Self(store) = self;
        let manifest = store.manifest().await?;
        let details = Details::of(&manifest)
            .map_err(|error| StoreError::damaged("gocdnext_flow_manifest", format!("its details: {error}")))?;
        let policies = Arc::new(store.policies().await?);
        let input = RetentionInput { policies, catalogue: None, complete_from: details.complete_from };
        let moment = Moment { now: stream_time(&manifest), caught_up: details.caught_up };
        Ok(Standing { input, moment, adopted: store.adopted().await? })
    }

    async fn known(&self, jobs: &[Id]) -> Result<Known, StoreError> {
        Ok(Known { rows: self.0.log_rows(jobs).await?, adopted: self.0.adopted_jobs(jobs).await? })
    }

    async fn adopt(&self, adoption: &Adoption) -> Result<(), StoreError> {
        self.0.adopt(&adoption.partition, &adoption.reason, &adoption.jobs).await
    }
}
