//! One process's life over the state: the real graph, ledger, committer and publisher.

use crate::{
    plan::{Letters, Moment, Trouble},
    world::World,
};
use dataflows::{
    feed::DeadLetter,
    graph::{Feeder, JobResult, Running, Stopped},
    names::Names,
    sequencer::Clock,
    state::Pace,
    time::Epoch,
};
use gocdnext_flow::{
    config::Config,
    exposition::snapshot_json,
    published::Published,
    sinks::{
        dead_letters::{Sink, SinkError},
        results::Results,
    },
    sources::{kafka::Shared, stop::Stop},
    store::{Fault, Store, StoreError},
    wiring::{CommitError, Committer, Durable, PublishError, Publisher, Takers, graph_config},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// A process that may be killed at any moment: then nothing of it reaches anybody any more.
#[derive(Clone)]
struct Process {
    world: Arc<World>,
    published: Arc<Published>,
    stop: Arc<Stop>,
    dead: Arc<AtomicBool>,
    superseded: Arc<AtomicBool>,
}

impl Process {
    /// Comes to a moment; an error where it goes wrong.
    fn at(&self, moment: Moment) -> Result<(), String> {
        if self.dead.load(Relaxed) {
            return Err("killed".to_owned());
        }
        match self.world.at(moment, &self.published) {
            None => Ok(()),
            Some(Trouble::Superseded) => {
                self.world.supersede();
                self.superseded.store(true, Relaxed);
                Ok(())
            }
            Some(Trouble::Fails) => Err("planted".to_owned()),
            Some(Trouble::Dies) => {
                self.dead.store(true, Relaxed);
                self.stop.stop();
                Err("killed".to_owned())
            }
        }
    }

    fn probe(&self, store: &Store) -> Store {
        let process = self.clone();
        store.clone().with_probe(Arc::new(move |step| {
            process.at(Moment::Store(step)).map_err(|reason| {
                let dead = process.dead.load(Relaxed);
                let reason = format!("{reason} at {step:?}");
                Fault::Error(if dead { StoreError::Definite { reason } } else { StoreError::Transient { reason } })
            })
        }))
    }
}

impl Results for Process {
    fn take(&mut self, results: &[JobResult], _names: &Names) {
        self.world.kept().write_lines(results);
    }
}

/// Where letters are kept for good.
impl Sink for Process {
    fn deliver(&mut self, letters: &[DeadLetter]) -> Result<(), SinkError> {
        let failed = |cause| SinkError { target: "the dead letters".to_owned(), cause };
        let (some, rest) = letters.split_at(letters.len() / 2);
        self.at(Moment::Letters(Letters::Before)).map_err(failed)?;
        self.world.kept().deliver(some);
        self.at(Moment::Letters(Letters::Partway)).map_err(failed)?;
        self.world.kept().deliver(rest);
        self.at(Moment::Letters(Letters::Acknowledged)).map_err(failed)
    }
}

/// Lives until the log is read or something ends it; the series, where it got to the end.
pub fn live(world: &Arc<World>, workers: usize) -> Option<String> {
    let (lease_ttl, max_epochs_in_flight) = (Duration::from_millis(1), world.kept().plan.max_epochs_in_flight());
    let config = Config { lease_ttl, workers, max_epochs_in_flight, ..Config::default() };
    let published = Published::new(Names::new(config.dataflow.limits.max_names));
    let url = world.url();
    let acquired = Durable::acquire(&url, &config, "events", &published);
    let (_held, mut durable) = world.runtime.block_on(acquired).unwrap();
    let committed = world.kept().committed;
    assert_eq!(durable.manifest.epoch, committed, "what was acknowledged is there, and nothing else");
    if committed > 0 {
        let ends = world.log.end(committed).partitions.into_iter();
        assert_eq!(durable.details.offsets(), ends.map(|end| (end.partition, end.next_offset)).collect());
    }
    let shared = Shared::new(Arc::clone(&published), &config);
    let process = Process {
        world: Arc::clone(world),
        published: Arc::clone(&published),
        stop: Arc::clone(&shared.stop),
        dead: Arc::default(),
        superseded: Arc::default(),
    };
    durable.writer.store = Arc::new(process.probe(&durable.writer.store));

    let (pace, settings) = (Pace::default(), Arc::new(config.dataflow.clone()));
    let first = Epoch(committed + 1);
    let graph = graph_config(&settings, workers, Clock::Log, &published.names, first, &pace);
    let (Running { mut feeder, outputs, workers }, ledger) = durable.resume(graph, &settings).ok()?;
    if process.superseded.load(Relaxed) {
        world.kept().broken.push("what was read while another took over is gone on from".to_owned());
    }
    // all that is shown is compared, from the first epoch on
    shared.first_ends.set(BTreeMap::new()).unwrap();
    let Durable { writer, manifest, details, .. } = &durable;
    let stop = Arc::clone(&shared.stop);
    let committer =
        Committer::new(writer.clone(), manifest, details.clone(), pace.clone(), Arc::clone(&published), stop);
    let results: Takers = vec![Box::new(process.clone())];
    let publisher = Publisher::new(shared.clone(), ledger, committer, Box::new(process.clone()), results);
    let publishing = thread::spawn(move || publisher.run(&outputs));
    // a worker that finds nobody to hand an epoch to is gone: no error but the publisher's counts
    let _ = feed(world, &mut feeder, &shared, &pace, first.0, &publishing);
    drop(feeder);
    let ended = publishing.join().unwrap();
    let _ = workers.join();
    if process.dead.load(Relaxed) {
        return None;
    }
    let mut kept = world.kept();
    kept.check_counters(&published);
    match ended {
        Ok(()) => kept.is_done(&world.log).then(|| snapshot_json(&published, &settings)),
        Err(PublishError::Commit(CommitError::Fenced)) => {
            if published.shown().is_some() {
                kept.broken.push("a superseded instance shows series".to_owned());
            }
            None
        }
        Err(PublishError::Letters(_)) => None,
        Err(error) => {
            kept.broken.push(error.to_string());
            None
        }
    }
}

fn feed(
    world: &World,
    feeder: &mut Feeder,
    shared: &Shared,
    pace: &Pace,
    first: u64,
    publishing: &JoinHandle<Result<(), PublishError>>,
) -> Result<(), Stopped> {
    const SHORT: Duration = Duration::from_millis(2);
    for epoch in first..=world.log.epochs {
        while !shared.in_flight.wait_for_room(SHORT) {
            if publishing.is_finished() {
                return Err(Stopped);
            }
        }
        for batch in world.log.batches(epoch) {
            feeder.batch(batch)?;
        }
        // a cycle of the sweep takes a few epochs, so that there is garbage
        pace.grant(0.4);
        shared.in_flight.sent();
        feeder.end(world.log.end(epoch))?;
    }
    while shared.in_flight.count() > 0 && !publishing.is_finished() {
        thread::sleep(SHORT);
    }
    Ok(())
}
