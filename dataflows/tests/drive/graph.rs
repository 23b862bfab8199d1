//! The whole graph, from lines of JSON to epochs, on real timely workers.

use super::json;
use crate::model::{
    Ms,
    generate::{Log, Numbers},
};
use dataflows::{
    decode::{Decoded, Decoder},
    event::Event,
    feed::{Batch, CatchUp, EpochEnd, PartitionProgress, Records},
    graph::{self, Feeder, Stopped},
    names::Names,
    registry::{Registry, Snapshot},
    sequencer::Clock,
    settings::Settings,
    time::{Epoch, NextOffset},
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
    let mut decoder = Decoder::new(settings, Names::new(100));
    let epochs = lines.iter().map(|(lines, _)| {
        let mut out = Decoded::default();
        decoder.decode(&batch(0, lines), &mut out);
        let runs = out.runs.into_iter().map(Event::Run);
        let agents = out.agents.into_iter().map(Event::Agent);
        runs.chain(agents).chain(out.deliveries.into_iter().map(Event::Delivery)).collect()
    });
    epochs.collect()
}

fn batch(partition: u32, lines: &[String]) -> Batch {
    let bytes = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
    Batch { partition, bytes, records: Records::Lines { first_line: 1 } }
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
    EpochEnd { epoch: Epoch(epoch), next_epoch: Epoch(epoch + 1), partitions, wall, last: false }
}

fn feed(feeder: &mut Feeder, log: &Lines, of: StreamTimes, numbers: &mut Numbers) -> Result<(), Stopped> {
    for (epoch, (lines, now)) in (1..).zip(log) {
        let mut rest = lines.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(1 + numbers.below(rest.len()));
            let partition = u32::try_from(numbers.below(PARTITIONS as usize)).unwrap_or(0);
            feeder.batch(batch(partition, now))?;
            rest = later;
        }
        feeder.end(end(epoch, *now, of, numbers))?;
    }
    Ok(())
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
    let config = graph::Config {
        settings: Arc::new(settings.clone()),
        workers,
        clock: Clock::Wall,
        names: Names::new(100),
        first_epoch: Epoch(1),
    };
    let mut running = graph::start(config)?;
    feed(&mut running.feeder, log, of, numbers).map_err(|e| e.to_string())?;
    drop(running.feeder);
    let mut registry = Registry::new(settings);
    let mut refused = vec![];
    let outputs = running.outputs.iter();
    let snapshots = outputs.map(|output| {
        refused.extend(output.dead_letters.into_iter().map(|letter| letter.detail));
        registry.fold(output.end.epoch, output.stream_time, output.deltas)
    });
    let snapshots = snapshots.collect();
    running.workers.join()?;
    if refused.is_empty() { Ok(snapshots) } else { Err(format!("refused: {refused:?}")) }
}
