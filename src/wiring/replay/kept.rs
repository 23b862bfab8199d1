//! The state of a replay: taken over from a former one, given back at the end.

use super::RunError;
use crate::{
    config::Config,
    lease::Held,
    published::Published,
    sources::{files::Marks, stop::Stop},
    store::{Options, StateUrl, Store},
    wiring::{Details, committer::Committer, durable::Durable, pipeline::END_WITHIN},
};
use anyhow::Context;
use dataflows::{graph::Running, ledger::Ledger, names::Names, settings::Settings, state::Pace, time::Epoch};
use std::{sync::Arc, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// See the module.
pub(super) struct Kept {
    held: Held,
    durable: Durable,
    pace: Pace,
    /// For the checks, which nobody asks for.
    published: Arc<Published>,
    /// Last, because all else lives on it.
    runtime: Runtime,
}

impl Kept {
    /// Waits for the lease.
    pub fn open(url: &StateUrl, config: &Config, names: Names) -> Result<Self, RunError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.context("starting the asynchronous runtime")?;
        let published = Published::new(names);
        runtime.block_on(fits(url, config))?;
        let (held, durable) = runtime.block_on(Durable::acquire(url, config, "", &published))?;
        if durable.manifest.epoch > 0 {
            tracing::info!(
                epoch = durable.manifest.epoch,
                files = durable.details.files.len(),
                "goes on where a former replay has ended; the series are of all, the summary is of what is read now"
            );
        }
        Ok(Self { held, durable, pace: Pace::default(), published, runtime })
    }

    pub const fn marks(&self) -> &Marks {
        &self.durable.details.files
    }

    /// Whether a former replay has left something.
    pub const fn goes_on(&self) -> bool {
        self.durable.manifest.epoch > 0
    }

    pub const fn first_epoch(&self) -> Epoch {
        Epoch(self.durable.manifest.epoch + 1)
    }

    /// Starts the graph where the state ends.
    pub fn resume(
        &self,
        mut graph: dataflows::graph::Config,
        settings: &Settings,
    ) -> Result<(Running, Ledger), RunError> {
        graph.sweep = Some(self.pace.clone());
        self.durable.resume(graph, settings)
    }

    pub fn committer(&self) -> Committer {
        let Durable { writer, manifest, details, .. } = &self.durable;
        let (published, stop) = (Arc::clone(&self.published), Arc::new(Stop::default()));
        Committer::new(writer.clone(), manifest, details.clone(), self.pace.clone(), published, stop)
    }

    /// The next one need not wait, unless the database does not answer now.
    pub fn close(self) {
        let released = self.runtime.block_on(self.held.release_within(END_WITHIN));
        if let Err(error) = released {
            tracing::debug!(%error, "the lease was not given back");
        }
        self.runtime.shutdown_timeout(Duration::from_millis(200));
    }
}

/// Refuses state of a pipeline at once, not when its lease is free. Whatever else is wrong shows when it is acquired.
async fn fits(url: &StateUrl, config: &Config) -> Result<(), RunError> {
    let looked = async { Store::open_with(url, Options::look_only()).await?.manifest().await };
    let Ok(manifest) = looked.await else { return Ok(()) };
    Details::read(&manifest, "", &config.dataflow).map(drop)
}
