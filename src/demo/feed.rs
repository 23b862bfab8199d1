//! The fleet as it lives: its events go to the broker when they are due by the wall clock.

use super::logs::Ended;
use crate::{
    clock::wall_ms,
    config::Config,
    fleet::{Fleet, FleetOptions, Noise, NoiseOptions, Record},
    sinks::events::EventProducer,
};
use anyhow::Context;
use std::{
    iter::Peekable,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::oneshot;

/// A fleet whose past is on the broker.
pub struct Feed {
    records: Peekable<Noise<Fleet>>,
    producer: Arc<EventProducer>,
    /// Told of the jobs that end.
    ended: Option<Ended>,
}

/// A fleet that lives.
pub struct Living {
    thread: JoinHandle<anyhow::Result<()>>,
    /// Dropped to stop it.
    stop: Sender<()>,
}

impl Feed {
    /// Produces what has happened up to now.
    pub fn start(
        config: &Config,
        fleet: FleetOptions,
        noise: NoiseOptions,
        ended: Option<Ended>,
    ) -> anyhow::Result<Self> {
        let producer = EventProducer::new(&config.brokers, &config.topic, &config.kafka)?;
        let mut feed =
            Self { records: Noise::new(Fleet::new(fleet), noise).peekable(), producer: Arc::new(producer), ended };
        let now = wall_ms();
        while let Some(record) = feed.records.next_if(|record| record.time_ms <= now) {
            feed.send(&record)?;
        }
        feed.producer.finish()?;
        Ok(feed)
    }

    /// Goes on by the clock; the receiver hears of a failure.
    pub fn go_live(self) -> anyhow::Result<(Living, oneshot::Receiver<()>)> {
        let (stop, stopped) = channel();
        let (fail, failed) = oneshot::channel();
        let live = move || {
            let ended = self.live(&stopped);
            if ended.is_err() {
                // no one listens any more: the demo is ending anyway
                let _ = fail.send(());
            }
            ended
        };
        let thread =
            thread::Builder::new().name("fleet".into()).spawn(live).context("starting the fleet's thread")?;
        Ok((Living { thread, stop }, failed))
    }

    fn live(mut self, stopped: &Receiver<()>) -> anyhow::Result<()> {
        while let Some(record) = self.records.next() {
            let early = u64::try_from(record.time_ms - wall_ms()).unwrap_or_default();
            if early > 0 && stopped.recv_timeout(Duration::from_millis(early)) != Err(RecvTimeoutError::Timeout) {
                return Ok(());
            }
            self.send(&record)?;
        }
        Ok(())
    }

    fn send(&self, record: &Record) -> anyhow::Result<()> {
        self.ended.iter().for_each(|ended| ended.see(&record.value));
        Ok(self.producer.send(&record.key, &record.value)?)
    }
}

impl Living {
    /// Ends it, and says why it ended before.
    pub fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the fleet's thread failed")))
    }
}
