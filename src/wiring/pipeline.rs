//! The live pipeline without HTTP: source, workers and publisher, each on threads of its own.
//!
//! No part ends by itself while the pipeline runs: the first that does brings the others down, and its error is the
//! pipeline's. The demo runs the same pipeline over its own broker.

use super::{
    RunError,
    committer::Committer,
    durable::{Durable, graph_config},
    publisher::{PublishError, Publisher},
    results::Takers,
    retention::{Drops, Executor, Outbox, keep_count},
};
use crate::{
    clock::wall_ms,
    config::Config,
    published::Published,
    retention::Inputs,
    sinks::kafka_letters::KafkaLetters,
    sources::kafka::{self, Shared, SourceError, StartAt},
};
use dataflows::{
    graph::Running,
    state::Pace,
    time::{Epoch, NextOffset},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::sync::mpsc;

/// How long the parts are given to end, and the lease to be given back; a client that waits for an absent broker is left
/// behind.
pub(super) const END_WITHIN: Duration = Duration::from_secs(3);

/// The part that commits and shows.
const PUBLISHER: &str = "publisher";

/// Why a part ended.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("{0}")]
    Other(String),
}

impl Fault {
    /// Whether it only says that another part has failed.
    const fn is_consequence(&self) -> bool {
        matches!(self, Self::Source(SourceError::Stopped(_)))
    }
}

impl From<Fault> for RunError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Source(error) => error.into(),
            Fault::Publish(PublishError::Commit(error)) => error.into(),
            other => Self::Runtime(other.into()),
        }
    }
}

type Ended = (&'static str, Result<(), Fault>);

/// See the module. Dropping it stops the parts without waiting for them.
#[derive(Debug)]
pub struct Pipeline {
    shared: Shared,
    ended: mpsc::UnboundedReceiver<Ended>,
    /// The ends that have come; kept here, for whoever waits may be called away in between.
    ends: Vec<Ended>,
}

impl Pipeline {
    /// Starts all parts where the state ends. Blocks while that is read. Partitions that the state does not know are read
    /// from their beginning.
    pub fn start(
        config: &Config,
        published: &Arc<Published>,
        durable: &Durable,
        results: Takers,
    ) -> Result<Self, RunError> {
        let Durable { writer, manifest, details, .. } = durable;
        let mut shared = Shared::new(Arc::clone(published), config);
        shared.stop = Arc::clone(&durable.stop);
        let mut settings = config.dataflow.clone();
        settings.retention.on = config.log_database.is_some();
        if settings.retention.on {
            let inputs = Inputs::new(details.complete_from);
            // an epoch without policies would hold back archives that are due
            writer.runtime.block_on(durable.patiently(async || inputs.ask_policies(&writer.store).await))?;
            shared.retention = Some(Arc::new(inputs));
        }
        if let Some(ends) = &details.first_ends {
            // nobody else has set them yet
            let _ = shared.first_ends.set(ends.iter().map(|(p, end)| (*p, NextOffset(*end))).collect());
        }
        let (first_epoch, pace) = (opening(config, Epoch(manifest.epoch)), Pace::default());
        let settings = Arc::new(settings);
        let graph = graph_config(&settings, config.workers, config.clock, &published.names, first_epoch, &pace);
        let (running, ledger) = durable.resume(graph, &settings)?;
        let Running { feeder, outputs, workers } = running;
        let start = StartAt { offsets: details.offsets(), topic_id: details.topic_id.clone() };
        let source = kafka::open(config, &shared, start, feeder, first_epoch).map_err(Fault::Source)?;
        let letters = KafkaLetters::new(config, Arc::clone(&shared.stop));
        let letters = letters.map_err(|error| RunError::Settings(error.into()))?;
        let (published, stop) = (Arc::clone(published), Arc::clone(&shared.stop));
        let told = Arc::clone(&published);
        let hears = Arc::clone(&told);
        let letters = letters.telling(Box::new(move |why| hears.own.hold_up(why)));
        let committer = Committer::new(writer.clone(), manifest, details.clone(), pace, published, stop);
        let mut last = Publisher::new(shared.clone(), ledger, committer, Box::new(letters), results);

        let (tell, ended) = mpsc::unbounded_channel();
        if let Some(inputs) = shared.retention.clone() {
            let (store, stop) = (Arc::clone(&writer.store), Arc::clone(&shared.stop));
            let outbox = Outbox::new(config, Arc::clone(&store), writer.runtime.clone(), Arc::clone(&stop));
            let (outbox, notice) = outbox.map_err(|error| RunError::Settings(error.into()))?;
            last.tell(notice);
            spawn("outbox", &tell, move || outbox.run().map_err(|error| Fault::Other(error.to_string())))?;
            if let Some(url) = config.log_database.clone() {
                let (inputs, runtime) = (Arc::clone(&inputs), writer.runtime.clone());
                let drops = Drops::new(config, &url, runtime.clone(), Arc::clone(&stop));
                let drops = drops.map_err(|error| RunError::Settings(error.into()))?;
                spawn("drops", &tell, move || drops.run().map_err(|error| Fault::Other(error.to_string())))?;
                let executor = Executor::new(config, url, Arc::clone(&store), inputs, runtime, Arc::clone(&stop));
                spawn("retention", &tell, move || {
                    executor.run();
                    Ok(())
                })?;
            }
            writer.runtime.spawn(keep_count(Arc::clone(&store), Arc::clone(&told), Arc::clone(&stop)));
            writer.runtime.spawn(inputs.keep(store, stop));
        }
        let kafka::Source { reader, watcher } = source;
        spawn("watcher", &tell, move || Ok(watcher.run()?))?;
        spawn("reader", &tell, move || Ok(reader.run()?))?;
        spawn(PUBLISHER, &tell, move || Ok(last.run(&outputs)?))?;
        spawn("workers", &tell, move || workers.join().map_err(Fault::Other))?;
        Ok(Self { shared, ended, ends: Vec::new() })
    }

    /// Waits until a part ends, which none should. May be dropped and called again: nothing is lost by it.
    pub async fn failed(&mut self) -> RunError {
        if self.ends.is_empty() {
            let first = self.ended.recv().await;
            self.ends.extend(first);
        }
        self.shared.stop.stop();
        self.rest().await;
        let part = self.ends.first().map_or("all of it", |(part, _)| part);
        let faults = self.ends.iter_mut().filter_map(|(_, result)| std::mem::replace(result, Ok(())).err());
        match faults.min_by_key(Fault::is_consequence) {
            Some(fault) => fault.into(),
            None => RunError::Runtime(anyhow::anyhow!("the pipeline has ended by itself, the {part} first")),
        }
    }

    /// Asks all parts to end, and waits until nothing is committed or shown any more.
    pub async fn stop_writing(&mut self) {
        self.shared.stop.stop();
        let written = async {
            while self.ends.iter().all(|(part, _)| *part != PUBLISHER) {
                let Some(end) = self.ended.recv().await else { return };
                self.ends.push(end);
            }
        };
        // a commit that hangs for longer is refused by the next holder's generation
        let _ = tokio::time::timeout(END_WITHIN, written).await;
    }

    /// Ends all parts; says whether all of them ended in time.
    pub async fn stop(mut self) -> bool {
        self.shared.stop.stop();
        self.rest().await
    }

    /// Takes in the other parts' ends, as far as they come in time, and says whether all did.
    async fn rest(&mut self) -> bool {
        let all = async {
            while let Some(end) = self.ended.recv().await {
                self.ends.push(end);
            }
        };
        tokio::time::timeout(END_WITHIN, all).await.is_ok()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.shared.stop.stop();
    }
}

/// The wall clock's epoch, but always after the last one committed.
fn opening(config: &Config, committed: Epoch) -> Epoch {
    let interval_ms = u64::try_from(config.epoch_interval.as_millis()).unwrap_or(u64::MAX);
    kafka::epoch_at(wall_ms(), interval_ms, committed)
}

fn spawn(
    part: &'static str,
    tell: &mpsc::UnboundedSender<Ended>,
    body: impl FnOnce() -> Result<(), Fault> + Send + 'static,
) -> Result<(), RunError> {
    let tell = tell.clone();
    let body = move || {
        let panicked = |_| Err(Fault::Other(format!("the {part} has failed; the reason stands above")));
        let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(panicked);
        // nobody listens any more once the pipeline is dropped
        let _ = tell.send((part, result));
    };
    let thread = thread::Builder::new().name(part.to_owned()).spawn(body);
    thread.map(drop).map_err(|error| RunError::Runtime(anyhow::Error::new(error).context("starting a thread")))
}
