//! The sidecar without a server ([`router`]), and over real sockets ([`socket`]).

mod router;
mod socket;

use super::{HttpState, Limits};
use crate::{config::Config, published::Published};
use dataflows::{
    names::Names,
    registry::Registry,
    series::{Deltas, Pair},
    time::{Epoch, StreamTime},
};
use std::{sync::Arc, time::Duration};

/// One pipeline, epoch 7.
fn published() -> Arc<Published> {
    let published = Published::new(Names::new(10));
    let settings = Config::default().dataflow;
    let mut deltas = Deltas::new(&settings);
    deltas.jobs_scheduled.insert(Pair { project: 1, pipeline: 2 }, 3);
    let snapshot = Registry::new(&settings).fold(Epoch(7), StreamTime(10_000), deltas);
    published.snapshot.store(Some(Arc::new(snapshot)));
    published
}

fn state() -> HttpState {
    HttpState::new(published(), &Config::default())
}

fn limits(connections: usize, timeout: Duration) -> Limits {
    Limits { connections, timeout, ..state().limits }
}
