//! The whole graph, from lines of JSON to epochs, on real timely workers.

use super::{
    json,
    stored::{Store, grant},
};
use crate::model::{
    Ms,
    generate::{Log, Numbers, SLUGS},
};
use dataflows::{
    audit::Audit,
    decode::{Decoded, Decoder},
    event::Event,
    feed::{Batch, CatchUp, EpochEnd, PartitionProgress},
    graph::{self, Feeder, Restore, Stopped},
    ledger::Ledger,
    names::Names,
    registry::Snapshot,
    sequencer::{Clock, Maxima},
    settings::Settings,
    state::{self, Pace},
    time::{Epoch, NextOffset, StreamTime},
};
use std::sync::Arc;

/// The lines of each epoch, and the stream time wanted at its end.
pub type Lines = Vec<(Vec<String>, Ms)>;

/// How stream time is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamTimes {
    /// As the log wants it: all is caught up, the wall clock read that.
    Recorded,
    /// As the sequencer finds it: the slowest of [`PARTITIONS`] partitions leads, of those that are behind.
    OfPartitions,
}

const PARTITIONS: u32 = 3;

/// The log as lines.
pub fn lines(log: &Log, settings: &Settings) -> Lines {
    let write = |events: &[Event]| events.iter().map(|event| json::line(event, settings)).collect();
    log.iter().map(|(events, now)| (write(events), *now)).collect()
}

/// The lines as the decoder reads them: with its fingerprints.
pub fn decoded(lines: &Lines, settings: &Settings) -> Vec<Vec<Event>> {
    let mut decoder = Decoder::new(settings, names());
    let epochs = lines.iter().map(|(lines, _)| {
        let mut out = Decoded::default();
        decoder.decode(&batch(0, lines), &mut out);
        let runs = out.runs.into_iter().map(Event::Run);
        let agents = out.agents.into_iter().map(Event::Agent);
        runs.chain(agents).chain(out.deliveries.into_iter().map(Event::Delivery)).collect()
    });
    epochs.collect()
}

/// A table in which each slug has the number that the model knows it by.
fn names() -> Names {
    let names = Names::new(100);
    for slug in SLUGS {
        assert_eq!(names.intern(&json::slug_text(slug)), slug);
    }
    names
}

fn batch(partition: u32, lines: &[String]) -> Batch {
    let bytes = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
    Batch { partition, bytes, ..Batch::default() }
}

fn end(epoch: u64, now: Ms, of: StreamTimes, numbers: &mut Numbers) -> EpochEnd {
    let mut state = || match of {
        StreamTimes::OfPartitions if numbers.below(4) > 0 => CatchUp::Behind,
        _ => CatchUp::CaughtUp,
    };
    let partitions = (0..PARTITIONS)
        .map(|partition| PartitionProgress { partition, next_offset: NextOffset(1), state: state() })
        .collect();
    let wall = (of == StreamTimes::Recorded && now != Ms::MIN).then_some(now);
    EpochEnd { epoch: Epoch(epoch), next_epoch: Epoch(epoch + 1), partitions, wall, last: false, retention: None }
}

fn feed_some(feeder: &mut Feeder, lines: &[String], numbers: &mut Numbers) -> Result<(), Stopped> {
    let mut rest = lines;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(1 + numbers.below(rest.len()));
        let partition = u32::try_from(numbers.below(PARTITIONS as usize)).unwrap_or(0);
        feeder.batch(batch(partition, now))?;
        rest = later;
    }
    Ok(())
}

/// What lives from one process to the next.
struct Kept {
    store: Store,
    epoch: u64,
    now: StreamTime,
    maxima: Maxima,
}

/// One process's life: epochs are fed, then it ends in the middle of the next.
struct Life<'a> {
    epochs: &'a [(Vec<String>, Ms)],
    next: Option<&'a (Vec<String>, Ms)>,
    workers: usize,
}

impl Life<'_> {
    fn live(
        &self,
        settings: &Settings,
        of: StreamTimes,
        kept: &mut Kept,
        numbers: &mut Numbers,
    ) -> Result<Vec<Snapshot>, String> {
        let (names, pace) = (names(), Pace::default());
        let mut ledger = Ledger::new(settings, names.clone());
        if kept.epoch > 0 {
            for blob in kept.store.epochs.iter().filter_map(|stored| stored.ledger.as_ref()) {
                ledger.load(blob).map_err(|e| e.to_string())?;
            }
            ledger.loaded(Epoch(kept.epoch), kept.now);
            kept.audit(settings, &ledger.snapshot())?;
        }
        let first = kept.epoch + 1;
        let config = graph::Config {
            settings: Arc::new(settings.clone()),
            workers: self.workers,
            clock: Clock::Wall,
            names,
            first_epoch: Epoch(first),
            sweep: Some(pace.clone()),
        };
        let blobs: Vec<_> = kept.store.epochs.iter().flat_map(|stored| stored.workers.clone()).map(Ok).collect();
        let restore =
            Restore { stream_time: kept.now, maxima: kept.maxima.clone(), blobs: Box::new(blobs.into_iter()) };
        let mut running = graph::resume(config, restore).map_err(|e| e.to_string())?;
        kept.store.crash();
        let fed = (first..).zip(self.epochs).try_for_each(|(epoch, (lines, now))| {
            feed_some(&mut running.feeder, lines, numbers)?;
            grant(&pace, numbers);
            running.feeder.end(end(epoch, *now, of, numbers))
        });
        let broken_off = self.next.map_or(&[][..], |(lines, _)| &lines[..numbers.below(lines.len() + 1)]);
        fed.and_then(|()| feed_some(&mut running.feeder, broken_off, numbers)).map_err(|e| e.to_string())?;
        drop(running.feeder);
        let mut snapshots = vec![];
        for output in &running.outputs {
            let refused: Vec<_> = output.dead_letters.iter().map(|letter| &letter.detail).collect();
            if !refused.is_empty() {
                return Err(format!("refused: {refused:?}"));
            }
            (kept.epoch, kept.now, kept.maxima) = (output.end.epoch.0, output.stream_time, output.maxima);
            snapshots.push(ledger.fold(output.end.epoch, output.stream_time, output.deltas));
            let lanes = output.state.into_iter().map(|lane| lane.bytes).collect();
            kept.store.commit(kept.epoch, output.sweep, lanes, ledger.blob(output.sweep).map(|lane| lane.bytes));
        }
        running.workers.join()?;
        Ok(snapshots)
    }
}

/// The snapshot at the end of each epoch (I3), with the stream time that the graph found.
///
/// # Errors
/// What made the workers stop, or that not every line was read.
pub fn snapshots(
    log: &Lines,
    workers: usize,
    settings: &Settings,
    of: StreamTimes,
    numbers: &mut Numbers,
) -> Result<Vec<Snapshot>, String> {
    let life = Life { epochs: log, next: None, workers };
    life.live(settings, of, &mut Kept::nothing(), numbers)
}

/// As [`snapshots`], by up to four processes that end in the middle of an epoch and go on from what is stored, with
/// other numbers of workers (I4).
///
/// # Errors
/// As [`snapshots`].
pub fn snapshots_over_crashes(
    log: &Lines,
    settings: &Settings,
    of: StreamTimes,
    numbers: &mut Numbers,
) -> Result<Vec<Snapshot>, String> {
    let mut kept = Kept::nothing();
    let mut all = vec![];
    for lives_left in (0..4).rev() {
        let rest = &log[all.len()..];
        let count = if lives_left == 0 { rest.len() } else { numbers.below(rest.len() + 1) };
        let life = Life { epochs: &rest[..count], next: rest.get(count), workers: 1 + numbers.below(4) };
        all.extend(life.live(settings, of, &mut kept, numbers)?);
    }
    Ok(all)
}

impl Kept {
    /// What lives on fits together, and is found to be what is shown.
    fn audit(&self, settings: &Settings, shown: &Snapshot) -> Result<(), String> {
        let mut audit = Audit::new(settings);
        for stored in &self.store.epochs {
            for blob in &stored.workers {
                let writer = state::parse(blob).map_err(|e| e.to_string())?.writer;
                audit.worker(writer.worker, blob).map_err(|e| e.to_string())?;
            }
            stored.ledger.iter().try_for_each(|blob| audit.ledger(blob)).map_err(|e| e.to_string())?;
        }
        let contents = audit.finish(Epoch(self.epoch), self.now).map_err(|e| e.to_string())?;
        let contradictions = contents.contradictions();
        if !contradictions.is_empty() || contents.snapshot.totals != shown.totals {
            return Err(format!("the audit found {contradictions:?}"));
        }
        Ok(())
    }

    fn nothing() -> Self {
        Self { store: Store::default(), epoch: 0, now: StreamTime::UNKNOWN, maxima: Maxima::default() }
    }
}
