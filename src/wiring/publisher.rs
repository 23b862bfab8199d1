//! The publisher: takes the epochs in order, makes each durable, then shows it (I2, I3).
//!
//! The order within an epoch is the promise: dead letters acknowledged, registry moved, all of it committed, snapshot
//! shown, then what may be lost (log lines of jobs, offsets for lag tools), then room for another epoch.

use super::{
    committer::{CommitError, Committer},
    gate::Gate,
    pause,
    results::Takers,
    retention::Notice,
};
use crate::{
    clock::wall_ms,
    sinks::{
        dead_letters::{Sink, SinkError},
        decisions,
    },
    sources::kafka::Shared,
    store::Outgoing,
};
use dataflows::{
    graph::EpochOutput,
    ledger::Ledger,
    retention::{Decision, Shown, partitions::Moment},
};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed, mpsc::Receiver},
    time::Instant,
};

/// Why publishing ended.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Letters(#[from] SinkError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// See the module.
pub struct Publisher {
    shared: Shared,
    ledger: Ledger,
    committer: Committer,
    letters: Box<dyn Sink>,
    results: Takers,
    gate: Gate,
    outbox: Option<Notice>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl Publisher {
    /// What was shown at the end of the state may be shown at once.
    #[must_use]
    pub fn new(
        shared: Shared,
        ledger: Ledger,
        committer: Committer,
        letters: Box<dyn Sink>,
        results: Takers,
    ) -> Self {
        let shown = committer.details.shown;
        let gate = Gate::new(Arc::clone(&shared.first_ends), shown);
        if shown {
            let mut snapshot = ledger.snapshot();
            let figures = &committer.details.retention;
            snapshot.retention = shared.retention.as_ref().map(|_| Arc::new(Shown::restored(figures.clone())));
            let own = &shared.published.own;
            own.committed_epoch.store(snapshot.epoch.0, Relaxed);
            own.stream_time_ms.store(snapshot.stream_time.0, Relaxed);
            shared.published.snapshot.store(Some(Arc::new(snapshot)));
        }
        Self { shared, ledger, committer, letters, results, gate, outbox: None }
    }

    /// Gives notice of decisions once they are committed.
    pub fn tell(&mut self, outbox: Notice) {
        self.outbox = Some(outbox);
    }

    /// Publishes until the workers are gone.
    pub fn run(mut self, outputs: &Receiver<EpochOutput>) -> Result<(), PublishError> {
        while let Ok(output) = outputs.recv() {
            match self.publish(output) {
                Err(error @ PublishError::Commit(CommitError::Fenced)) => {
                    self.shared.published.withdrawn.store(true, std::sync::atomic::Ordering::Release);
                    return Err(error);
                }
                // an epoch that is not acknowledged when the pipeline is stopped stays unpublished
                Err(_) if self.shared.stop.is_stopped() => return Ok(()),
                result => result?,
            }
            self.committer.collect();
        }
        Ok(())
    }

    fn publish(&mut self, mut output: EpochOutput) -> Result<(), PublishError> {
        if !output.dead_letters.is_empty() {
            self.letters.deliver(&output.dead_letters)?;
        }
        pause::at("letters");
        let epoch = output.end.epoch;
        let deltas = std::mem::take(&mut output.deltas);
        let mut snapshot = self.ledger.fold(epoch, output.stream_time, deltas);
        let shown = self.gate.admits(&output.end.partitions);
        self.committer.details.shown = shown;
        let ends = self.shared.first_ends.get();
        self.committer.details.first_ends = ends.map(|ends| ends.iter().map(|(p, end)| (*p, end.0)).collect());
        if let Some(Some(id)) = self.shared.topic_id.get() {
            self.committer.details.topic_id = Some(id.clone());
        }
        let (decided, retention) = self.decide(&output);
        snapshot.retention = retention;
        let outbox: Vec<Outgoing> = decided.iter().map(decisions::outgoing).collect();
        let lanes = std::mem::take(&mut output.state);
        let begun = Instant::now();
        self.committer.commit(&output, lanes, self.ledger.blob(output.sweep), &outbox)?;
        self.shared.published.own.commit_duration.observe(begun.elapsed().as_secs_f64());
        if !outbox.is_empty() {
            self.outbox.iter().for_each(Notice::give);
        }
        if let Some((inputs, from)) = self.shared.retention.as_ref().zip(self.committer.details.complete_from) {
            inputs.complete_from(from);
        }
        let published = Arc::clone(&self.shared.published);
        if shown {
            if published.snapshot.swap(Some(Arc::new(snapshot))).is_none() {
                tracing::info!(epoch = epoch.0, "all that was there is read: the series are shown from now on");
            }
            // before that, a former run may have written them: at most once
            self.results.iter_mut().for_each(|taker| taker.take(&output.results, &published.names));
        }
        pause::at("published");
        let own = &published.own;
        own.committed_epoch.store(epoch.0, Relaxed);
        own.commits(wall_ms());
        own.stream_time_ms.store(output.stream_time.0, Relaxed);
        own.records.fetch_add(output.records, Relaxed);
        self.shared.in_flight.committed();
        own.epochs_in_flight.store(self.shared.in_flight.count(), Relaxed);
        if output.records > 0 {
            self.shared.group.set(output.end.partitions.iter().map(|p| (p.partition, p.next_offset)).collect());
        }
        Ok(())
    }

    /// What the epoch has decided, and what may be shown of it; nothing while retention is off.
    fn decide(&mut self, output: &EpochOutput) -> (Vec<Decision>, Option<Arc<Shown>>) {
        let details = &mut self.committer.details;
        let moment = Moment::of(&output.end, output.stream_time);
        details.caught_up = moment.caught_up;
        let Some(inputs) = &self.shared.retention else {
            details.complete_from = None;
            return (Vec::new(), None);
        };
        // from the first time on at which all that Kafka had was read our knowledge is whole
        if moment.caught_up {
            details.complete_from.get_or_insert(output.stream_time.0);
        }
        let decided = self.ledger.decide(&output.end, output.stream_time);
        details.retention.add(&output.retention, &decided);
        let mut shown =
            Shown { input: output.end.retention.clone(), moment, obstacles: inputs.obstacles(), ..Shown::default() };
        if inputs.is_away() || shown.input.as_ref().is_some_and(|input| input.catalogue.is_some()) {
            details.retention.partitions = shown.partition_figures();
        }
        shown.figures = details.retention.clone();
        let mut decisions = output.retention.decisions.clone();
        decisions.extend(decided.decisions);
        (decisions, Some(Arc::new(shown)))
    }
}
