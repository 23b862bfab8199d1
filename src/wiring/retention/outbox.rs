//! The outbox's way to Kafka: what was committed is sent until it is acknowledged, then taken out.
//!
//! A crash in between sends some again, with the same ids. It never holds up a commit: while Kafka is away the outbox
//! grows in the database. It waits for a notice of the publisher that a commit has added some; what came into the database
//! in other ways it finds by looking now and then.

use crate::{
    config::Config,
    published::Published,
    sinks::{
        courier::{Courier, Record},
        dead_letters::SinkError,
    },
    sources::stop::Stop,
    store::{Outgoing, Store, StoreError},
    wiring::unpassing::Unpassing,
};
use std::{
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};
use tokio::runtime::Handle;

/// Messages sent at a time.
const BATCH: u32 = 1_000;
/// How often it is looked for messages without a notice.
const LOOK_EVERY: Duration = Duration::from_secs(120);
/// How often those that wait are counted.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// After an error of the database.
const PAUSE: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    store: Arc<Store>,
    runtime: Handle,
    courier: Courier,
    stop: Arc<Stop>,
    /// Ends with the publisher.
    added: Receiver<()>,
    taking_out: Unpassing,
}

/// Told after a commit that has added messages; one that is not taken yet stands for all.
#[derive(Clone, Debug)]
pub struct Notice(SyncSender<()>);

impl Notice {
    pub fn give(&self) {
        // full: it will look anyway; gone: the pipeline ends
        let _ = self.0.try_send(());
    }
}

impl Outbox {
    /// Shows whether librdkafka takes the settings.
    pub fn new(
        config: &Config,
        store: Arc<Store>,
        runtime: Handle,
        stop: Arc<Stop>,
    ) -> Result<(Self, Notice), SinkError> {
        let courier = Courier::new(config, &config.decision_topic, "decisions", Arc::clone(&stop))?.uncut();
        let (tell, added) = sync_channel(1);
        Ok((Self { store, runtime, courier, stop, added, taking_out: Unpassing::default() }, Notice(tell)))
    }

    /// Sends until stopped.
    ///
    /// # Errors
    /// [`SinkError`] where no producer can be made.
    pub fn run(mut self) -> Result<(), SinkError> {
        while !self.stop.is_stopped() {
            match self.send_some() {
                Ok(sent) => {
                    if self.taking_out.works() {
                        tracing::info!("decisions are taken out of the outbox again");
                    }
                    if sent == 0 && self.added.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Disconnected) {
                        return Ok(());
                    }
                }
                Err(Trouble::Store(error)) => {
                    self.note(&error);
                    self.stop.pause(PAUSE);
                }
                Err(Trouble::Sink(_)) if self.stop.is_stopped() => return Ok(()),
                Err(Trouble::Sink(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// What does not pass by itself is said, once; of an outage others tell.
    fn note(&mut self, error: &StoreError) {
        if self.taking_out.failed(error) {
            tracing::warn!(%error, "decisions cannot be taken out of the outbox, and are sent again; keeps trying");
        } else {
            tracing::debug!(%error, "the outbox cannot be read now");
        }
    }

    /// The number sent.
    fn send_some(&mut self) -> Result<usize, Trouble> {
        let messages = self.runtime.block_on(self.store.outgoing(BATCH))?;
        if messages.is_empty() {
            return Ok(0);
        }
        let topic = self.courier.topic().to_owned();
        self.courier.deliver(messages.len(), |place, _| record(&topic, &messages[place], place))?;
        self.runtime.block_on(self.store.sent(&messages))?;
        Ok(messages.len())
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// Keeps it known how many wait, until stopped. Nothing but the database's disk bounds them: while their topic is absent
/// whoever looks after it must see them grow.
pub async fn keep_count(store: Arc<Store>, published: Arc<Published>, stop: Arc<Stop>) {
    while !stop.is_stopped() {
        match store.waiting().await {
            Ok(count) => published.own.outbox.store(count, Relaxed),
            Err(error) => tracing::debug!(%error, "the outbox cannot be counted now"),
        }
        tokio::time::sleep(COUNT_EVERY).await;
    }
}

/// Keyed by the event's id: those of one decision lie in one partition.
fn record<'a>(topic: &'a str, message: &'a Outgoing, place: usize) -> Record<'a> {
    let headers = rdkafka::message::OwnedHeaders::new()
        .insert(rdkafka::message::Header { key: "content-type", value: Some("application/cloudevents+json") });
    Record::with_opaque_to(topic, place).key(message.id.as_bytes()).payload(message.body.as_bytes()).headers(headers)
}
