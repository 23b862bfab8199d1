//! What the epochs are told of retention: policies, the log database's partitions, since when our knowledge is whole.
//!
//! Kept up to date by a task, read by the source at the end of each epoch. What cannot be asked at present stays as it
//! was: policies change nothing by being out of reach. The catalogue is different: one that is old says nothing about
//! what is there now, so it is taken away.

use crate::{
    sources::stop::Stop,
    store::{Store, StoreError},
};
use arc_swap::{ArcSwap, ArcSwapOption};
use dataflows::{
    retention::{Catalogue, Obstacles, Policies, RetentionInput},
    time::Millis,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

/// `complete_from` is not known.
const NEVER: Millis = Millis::MAX;
/// How often policies are asked for.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub struct Inputs {
    policies: ArcSwapOption<Policies>,
    catalogue: ArcSwapOption<Catalogue>,
    /// The log database could not be asked last.
    away: AtomicBool,
    complete_from: AtomicI64,
    /// What was found in the way of drops when the partitions were read last.
    obstacles: ArcSwap<Obstacles>,
}

impl Inputs {
    #[must_use]
    pub fn new(complete_from: Option<Millis>) -> Self {
        let complete_from = AtomicI64::new(complete_from.unwrap_or(NEVER));
        let (policies, catalogue) = (ArcSwapOption::empty(), ArcSwapOption::empty());
        let away = AtomicBool::new(false);
        Self { policies, catalogue, away, complete_from, obstacles: ArcSwap::default() }
    }

    /// What an epoch that ends now is told; `None`: the policies are not known yet.
    #[must_use]
    pub fn current(&self) -> Option<Arc<RetentionInput>> {
        let policies = self.policies.load_full()?;
        let complete_from = Some(self.complete_from.load(Relaxed)).filter(|from| *from != NEVER);
        Some(Arc::new(RetentionInput { policies, catalogue: self.catalogue.load_full(), complete_from }))
    }

    /// From then on all events are known.
    pub fn complete_from(&self, from: Millis) {
        self.complete_from.store(from, Relaxed);
    }

    #[must_use]
    pub fn obstacles(&self) -> Arc<Obstacles> {
        self.obstacles.load_full()
    }

    /// After the partitions were read.
    pub fn found(&self, obstacles: Obstacles) {
        self.obstacles.store(Arc::new(obstacles));
    }

    /// Asks for the policies once.
    ///
    /// # Errors
    /// [`StoreError`]; the former ones hold on.
    pub async fn ask_policies(&self, store: &Store) -> Result<(), StoreError> {
        let found = store.policies().await?;
        if self.policies.load().as_deref() != Some(&found) {
            let default = found.default.as_ref().map_or_else(
                || "none".to_owned(),
                |policy| {
                    let archive = if policy.archive { "archived first" } else { "not archived" };
                    format!("{} days, {archive}", policy.log_retention_days)
                },
            );
            tracing::info!(default, projects = found.projects.len(), "these policies of retention hold from now on");
            self.policies.store(Some(Arc::new(found)));
        }
        Ok(())
    }

    /// What the log database has; `None`: it cannot be asked at present.
    pub fn catalogued(&self, catalogue: Option<Catalogue>) {
        self.away.store(catalogue.is_none(), Relaxed);
        self.catalogue.store(catalogue.map(Arc::new));
    }

    /// The log database cannot be asked: what a former life of the process knew of it holds no more. False before it was
    /// asked for the first time.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.away.load(Relaxed)
    }

    /// Keeps the policies up to date until stopped.
    pub async fn keep(self: Arc<Self>, store: Arc<Store>, stop: Arc<Stop>) {
        while !stop.is_stopped() {
            if let Err(error) = self.ask_policies(&store).await {
                tracing::debug!(%error, "the policies cannot be asked for now");
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::retention::Policy;

    #[tokio::test]
    async fn an_epoch_is_told_the_policies_as_they_are_and_nothing_before_they_are_known() {
        let directory = tempfile::tempdir().unwrap();
        let url = crate::store::StateUrl::sqlite(directory.path().join("state.db"));
        let store = Store::open(&url).await.unwrap();
        let inputs = Inputs::new(None);
        assert_eq!(inputs.current(), None);
        inputs.ask_policies(&store).await.unwrap();
        assert_eq!(inputs.current().unwrap().policies.default, None);
        let policy = Policy { log_retention_days: 30, archive: true };
        store.set_policy(None, policy).await.unwrap();
        inputs.ask_policies(&store).await.unwrap();
        assert_eq!(inputs.current().unwrap().policies.default, Some(policy));
        assert_eq!(inputs.current().unwrap().complete_from, None);
        inputs.complete_from(7);
        assert_eq!(inputs.current().unwrap().complete_from, Some(7));
    }
}
