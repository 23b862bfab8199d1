//! The reader: polls records, feeds the workers, ends the epochs.

use super::{
    Offsets, Shared, SourceError,
    arena::{Arena, Lent},
    client::Quiet,
    epoch_at, kafka_partition, partition_number,
    raw::{Burst, Came, Polled, Record, Said},
    start::{self, Has},
    unread::Unread,
    watch::Observation,
};
use crate::{clock::wall_ms, config::Config, sources::catch_up::Tracker};
use dataflows::{
    feed::{EpochEnd, Partition},
    graph::{Feeder, Stopped},
    sequencer::Clock,
    time::{Epoch, NextOffset},
};
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    collections::BTreeSet,
    sync::{PoisonError, atomic::Ordering, mpsc::Receiver},
    time::{Duration, Instant},
};

/// Bursts taken before the clocks are looked at again.
const BURSTS: usize = 4;
/// How long a poll waits where nothing comes. A record ends the wait; what the watcher says may be taken up that much
/// later.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// How often a reader that has no room looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What is filled while polling; apart from the client, which lends the records.
struct Intake {
    tracker: Tracker,
    arena: Arena,
    feeder: Feeder,
    clock: Clock,
    /// Taken in since the open epoch began.
    bytes: usize,
    records: usize,
    /// An epoch that has taken in so much ends before its time (I6): what it gives is kept in memory until it is committed.
    most_bytes: usize,
}

impl Intake {
    fn take(&mut self, record: Record<'_>) -> Result<(), Stopped> {
        let partition = partition_number(record.partition());
        self.tracker.record(partition, record.offset());
        let before = self.arena.bytes();
        self.arena.push(Lent {
            partition,
            offset: record.offset(),
            timestamp: record.timestamp(),
            key: record.key(),
            headers: record.headers(),
            value: record.value(),
        });
        self.bytes += self.arena.bytes() - before;
        self.records += 1;
        if self.arena.is_full() { self.flush() } else { Ok(()) }
    }

    const fn is_full(&self) -> bool {
        self.bytes >= self.most_bytes
    }

    /// Records that the open epoch has room for, if they are like those before.
    fn room(&self) -> usize {
        let record_bytes = self.bytes.div_ceil(self.records.max(1)).max(1);
        self.most_bytes.saturating_sub(self.bytes) / record_bytes
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        let read_at = (self.clock == Clock::Wall).then(wall_ms);
        let batch = self.arena.take(read_at, || self.feeder.arena());
        batch.map_or(Ok(()), |batch| self.feeder.batch(batch))
    }
}

/// See the module.
pub struct Reader {
    consumer: BaseConsumer<Quiet>,
    topic: String,
    interval: Duration,
    shared: Shared,
    /// Where partitions are read from; others from their beginning.
    start: Offsets,
    observations: Receiver<Observation>,
    intake: Intake,
    unread: Unread,
    /// Partitions whose next offset a broker does not have.
    doubtful: BTreeSet<Partition>,
    epoch: Epoch,
    epoch_due: Instant,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("topic", &self.topic).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn new(
        consumer: BaseConsumer<Quiet>,
        config: &Config,
        shared: Shared,
        start: Offsets,
        feeder: Feeder,
        first_epoch: Epoch,
        observations: Receiver<Observation>,
    ) -> Self {
        let (tracker, arena, clock) = (Tracker::default(), Arena::default(), config.clock);
        let intake =
            Intake { tracker, arena, feeder, clock, bytes: 0, records: 0, most_bytes: config.kafka_queue_bytes };
        let (topic, interval) = (config.topic.clone(), config.epoch_interval);
        let unread = Unread::new(consumer.context().health.clone());
        let (epoch, epoch_due) = (first_epoch, Instant::now() + interval);
        let doubtful = BTreeSet::new();
        Self { consumer, topic, interval, shared, start, observations, intake, unread, doubtful, epoch, epoch_due }
    }

    /// Reads until stopped. Dropping the reader ends the graph.
    pub fn run(mut self) -> Result<(), SourceError> {
        while !self.shared.stop.is_stopped() {
            self.take_observations()?;
            if let Some(partition) = self.doubtful.pop_first() {
                self.ask_for(partition)?;
            }
            if Instant::now() >= self.epoch_due || self.intake.is_full() {
                // without room the open epoch grows longer, and nothing more is polled into it
                if !self.shared.in_flight.wait_for_room(PATIENCE) {
                    self.show_lag();
                    continue;
                }
                self.end_epoch()?;
            }
            self.poll()?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<(), SourceError> {
        let now = Instant::now();
        let until_epoch = self.epoch_due.saturating_duration_since(now);
        let wait = whole_ms(self.intake.arena.patience(now).unwrap_or(IDLE_WAIT).min(until_epoch));
        // the first by a poll, which waits and serves whatever else there is; the rest at once
        let polled = Polled::wait(self.consumer.client(), wait);
        match polled.came() {
            Came::Record(record) => {
                self.take(record)?;
                self.take_bursts()?;
            }
            // what follows is often its cause, which a burst would only log
            Came::Said(said) => self.fault(&said)?,
            Came::Line { facility, text, level } => self.consumer.context().line(level, &facility, &text),
            Came::Nothing => self.intake.tracker.drained(Instant::now()),
            Came::Other => {}
        }
        self.flush_in_time()
    }

    fn take_bursts(&mut self) -> Result<(), SourceError> {
        for _ in 0..BURSTS {
            if self.intake.is_full() {
                break;
            }
            let burst = Burst::take(self.consumer.client(), self.intake.room());
            if burst.is_empty() {
                self.intake.tracker.drained(Instant::now());
                break;
            }
            for record in burst.records() {
                match record {
                    Ok(record) => self.take(record)?,
                    Err(said) => self.fault(&said)?,
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, record: Record<'_>) -> Result<(), SourceError> {
        self.unread.read(partition_number(record.partition()));
        Ok(self.intake.take(record)?)
    }

    fn flush_in_time(&mut self) -> Result<(), SourceError> {
        if self.intake.arena.patience(Instant::now()) == Some(Duration::ZERO) {
            self.intake.flush()?;
        }
        Ok(())
    }

    fn end_epoch(&mut self) -> Result<(), SourceError> {
        self.intake.flush()?;
        let now = Instant::now();
        let partitions = self.intake.tracker.progress(now);
        let wall = self.intake.tracker.wall(now);
        let wall_now = wall_ms();
        let interval_ms = u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX);
        let next_epoch = epoch_at(wall_now, interval_ms, self.epoch);
        self.shared.in_flight.sent();
        self.intake.feeder.end(EpochEnd {
            epoch: self.epoch,
            next_epoch,
            partitions,
            wall,
            last: false,
            retention: self.shared.retention.as_ref().and_then(|inputs| inputs.current()),
        })?;
        self.epoch = next_epoch;
        self.epoch_due = now + self.interval;
        (self.intake.bytes, self.intake.records) = (0, 0);
        self.show_lag();
        Ok(())
    }

    fn show_lag(&self) {
        let own = &self.shared.published.own;
        own.epochs_in_flight.store(self.shared.in_flight.count(), Ordering::Relaxed);
        let mut lag = own.lag.lock().unwrap_or_else(PoisonError::into_inner);
        lag.extend(self.intake.tracker.lag());
    }

    fn take_observations(&mut self) -> Result<(), SourceError> {
        while let Ok(Observation { asked, new, ends }) = self.observations.try_recv() {
            self.assign(&new, &ends)?;
            for (partition, end) in ends {
                self.intake.tracker.listed(partition, end, asked);
            }
        }
        let now = Instant::now();
        for (partition, next) in self.intake.tracker.probes(now) {
            self.probe(partition, next);
        }
        if self.unread.wants_question(now) {
            for progress in self.intake.tracker.progress(now) {
                if self.unread.is_stuck(progress.partition) {
                    self.begin_again(progress.partition, progress.next_offset);
                } else if self.unread.is_refused() {
                    self.probe(progress.partition, progress.next_offset);
                }
            }
        }
        Ok(())
    }

    fn assign(&mut self, new: &Offsets, ends: &Offsets) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::new();
        for (partition, beginning) in new {
            if self.intake.tracker.knows(*partition) {
                continue;
            }
            let next = *self.start.get(partition).unwrap_or(beginning);
            let end = *ends.get(partition).unwrap_or(&next);
            self.intake.tracker.assign(*partition, next, end, Instant::now());
            let added = list.add_partition_offset(&self.topic, kafka_partition(*partition), Offset::Offset(next.0));
            added.map_err(|error| fatal(&error))?;
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.consumer.incremental_assign(&list).map_err(|error| fatal(&error))
    }

    /// Makes the client ask again, and so signal the end again. A seek that fails is made again later.
    fn probe(&self, partition: Partition, next: NextOffset) {
        let sought =
            self.consumer.seek(&self.topic, kafka_partition(partition), Offset::Offset(next.0), Duration::ZERO);
        tracing::debug!(partition, next_offset = next.0, ?sought, "asked for the end of a partition again");
    }

    /// As a probe, for a partition that the client has given up: it no longer seeks there.
    fn begin_again(&self, partition: Partition, next: NextOffset) {
        let mut list = TopicPartitionList::new();
        let listed = list.add_partition_offset(&self.topic, kafka_partition(partition), Offset::Offset(next.0));
        let begun = listed.and_then(|()| {
            // one that was left unassigned before is just assigned
            let _ = self.consumer.incremental_unassign(&list);
            self.consumer.incremental_assign(&list)
        });
        tracing::debug!(partition, next_offset = next.0, ?begun, "begins to read a partition again");
    }

    fn fault(&mut self, Said { error, partition, offset, reason }: &Said) -> Result<(), SourceError> {
        self.consumer.context().error(error.clone(), reason);
        match error {
            KafkaError::PartitionEOF(partition) => {
                self.unread.read(partition_number(*partition));
                self.intake.tracker.end_signalled(partition_number(*partition), NextOffset(*offset));
                Ok(())
            }
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) if *partition >= 0 => {
                self.doubtful.insert(partition_number(*partition));
                self.unread.stuck(partition_number(*partition), reason, Instant::now());
                Ok(())
            }
            KafkaError::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                self.unread.refused(Instant::now());
                Ok(())
            }
            KafkaError::MessageConsumptionFatal(_) => Err(fatal(error)),
            // the watcher's questions are answered all the same, so only this tells of it
            KafkaError::MessageConsumption(_) if *partition >= 0 => {
                self.unread.stuck(partition_number(*partition), reason, Instant::now());
                Ok(())
            }
            other => {
                // the watcher says how Kafka is; librdkafka goes on by itself
                tracing::debug!(error = %other, "poll");
                Ok(())
            }
        }
    }

    /// A broker does not have the next offset of a partition. It is gone only where Kafka says so when it is asked: a broker
    /// may be behind, and one that cannot be asked says nothing. One question a turn, for it may take its time.
    fn ask_for(&self, partition: Partition) -> Result<(), SourceError> {
        let marks = self.consumer.fetch_watermarks(&self.topic, kafka_partition(partition), ANSWER_WITHIN);
        if let (Some(next), Ok((low, high))) = (self.intake.tracker.next_offset(partition), marks) {
            let [next, low, high] =
                [next.0, low, high].map(|offset| Offsets::from([(partition, NextOffset(offset))]));
            start::within(&self.topic, &next, Has { low: &low, high: &high })?;
        }
        Ok(())
    }
}

/// Rounded up: the client waits for whole milliseconds, and spins for what is left.
fn whole_ms(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

fn fatal(error: &KafkaError) -> SourceError {
    SourceError::Fatal(format!("the Kafka client has failed: {error}"))
}
