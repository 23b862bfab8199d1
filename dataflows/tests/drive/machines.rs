//! The machines alone, dealt out over as many workers as wanted.

use crate::model::generate::Log;
use dataflows::{
    event::{AgentEvent, DeliveryEvent, Event, RunEvent},
    machines::{AgentsMachine, Close, Closed, DeliveriesMachine, Machine, RunsMachine},
    registry::{Registry, Snapshot},
    series::Deltas,
    settings::Settings,
    time::{Epoch, StreamTime},
};
use std::sync::Arc;

struct Worker {
    runs: RunsMachine,
    agents: AgentsMachine,
    deliveries: DeliveriesMachine,
}

impl Worker {
    fn new(settings: &Settings, workers: usize) -> Self {
        let settings = Arc::new(settings.clone());
        Self {
            runs: RunsMachine::new(Arc::clone(&settings), workers),
            agents: AgentsMachine::new(Arc::clone(&settings), workers),
            deliveries: DeliveriesMachine::new(settings, workers),
        }
    }

    fn close(&mut self, now: StreamTime, settings: &Settings, deltas: &mut Deltas) {
        let at = Close { now, last: false };
        let mut merge = |close: &mut dyn FnMut(&mut Closed)| {
            let mut closed = Closed::new(settings);
            close(&mut closed);
            deltas.merge(&closed.deltas);
        };
        merge(&mut |closed| self.runs.close(at, closed));
        merge(&mut |closed| self.agents.close(at, closed));
        merge(&mut |closed| self.deliveries.close(at, closed));
    }
}

/// The snapshot at the end of each epoch (I3).
pub fn snapshots(log: &Log, workers: usize, settings: &Settings) -> Vec<Snapshot> {
    let mut all: Vec<Worker> = (0..workers).map(|_| Worker::new(settings, workers)).collect();
    let mut registry = Registry::new(settings);
    let place = |id: u128| usize::try_from(id % workers as u128).unwrap_or(0);
    let epochs = (1..).zip(log).map(|(epoch, (events, now))| {
        for event in events {
            match event {
                Event::Run(e) => Machine::apply(&mut all[place(e.run)].runs, e as &RunEvent),
                Event::Agent(e) => Machine::apply(&mut all[place(e.agent)].agents, e as &AgentEvent),
                Event::Delivery(e) => Machine::apply(&mut all[place(e.key)].deliveries, e as &DeliveryEvent),
            }
        }
        let mut deltas = Deltas::new(settings);
        for worker in &mut all {
            worker.close(StreamTime(*now), settings, &mut deltas);
        }
        registry.fold(Epoch(epoch), StreamTime(*now), deltas)
    });
    epochs.collect()
}
