//! Embedded broker, a live fleet, the pipeline and the sidecar in one process: `gocdnext-flow demo`.
//!
//! Nothing in it is a stand-in but the broker and the fleet: the pipeline is the one of `run`. The fleet lives by the
//! wall clock but faster than in life, and has a few minutes behind it when the pipeline starts, so that something is
//! seen at once.

mod broker;
mod console;
mod feed;
mod figures;
mod logs;
mod partitions;

use crate::{
    clock::wall_ms,
    config::Config,
    fleet::{FleetOptions, NoiseOptions},
    http::BindError,
    published::Published,
    store::{Options, StateUrl, Store, StoreError},
    upkeep,
    wiring::{self, RunError},
};
use anyhow::Context;
use broker::Broker;
use console::Console;
use dataflows::{names::Names, sequencer::Clock, time::Millis};
use feed::Feed;
use logs::{Keeper, Logs};
use std::{
    future::pending,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// How much of the fleet's life lies behind it at the start, at the usual speed.
const HISTORY_MS: Millis = 120_000;
/// The speed and number of agents at which the history fits the embedded broker's memory several times over.
const USUAL: (f64, f64) = (20.0, 40.0);

/// What the demo was told beside the settings.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoOptions {
    pub seed: u64,
    /// How many times faster than in life jobs run and pauses pass.
    pub speed: f64,
    pub tenants: u32,
    pub agents: u32,
    pub noise: NoiseOptions,
    /// Ends by itself after this; `None`: on Ctrl-C or SIGTERM.
    pub ends_after: Option<Duration>,
    /// Keep the state in a directory that goes with the demo.
    pub temporary_state: bool,
}

/// After how long a job of the demo counts as lost: longer than the fleet's longest, short enough to be seen.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "at most days, in ms")]
pub fn job_ttl_ms(speed: f64) -> Millis {
    (600_000.0 * (USUAL.0 / speed).clamp(1.0, 1_000.0)) as Millis
}

/// Runs until Ctrl-C, SIGTERM or the end of the time given.
pub fn run(mut config: Config, options: &DemoOptions) -> Result<(), RunError> {
    config.listen = free_port(config.listen)?;
    if !options.temporary_state {
        ask_for_new_state(&config.state)?;
    }
    let broker = Broker::start(&config.topic, [&config.dead_letter_topic, &config.decision_topic])?;
    config.brokers = broker.address();
    // nobody's real logs
    config.log_database = None;
    let scratch = if options.temporary_state { Some(temporary_state(&mut config)?) } else { None };
    config.clock = Clock::Wall;
    let (logs, ended) = match config.log_database {
        Some(_) => Logs::prepare(&config).map(|(logs, ended)| (Some(logs), Some(ended)))?,
        None => (None, None),
    };
    let feed = Feed::start(&config, fleet(options), options.noise, ended)?;
    let published = Published::new(Names::new(config.dataflow.limits.max_names));
    let keeper = logs.map(|logs| logs.keep(Arc::clone(&published))).transpose()?;
    let console = Console::start(&config, Arc::clone(&published));
    let (living, failed) = feed.go_live()?;
    let outcome = wiring::run_published(config, published, end(options.ends_after, failed));
    let lived = living.stop();
    keeper.into_iter().for_each(Keeper::stop);
    console.stop();
    drop(scratch);
    outcome.and(lived.map_err(RunError::Runtime))
}

/// The broker does not outlive the demo, so neither does what was read from it.
fn temporary_state(config: &mut Config) -> Result<TempDir, RunError> {
    let directory = TempDir::with_prefix("gocdnext-flow-demo-").context("making a temporary directory")?;
    config.state = StateUrl::sqlite(directory.path().join("state.db"));
    logs::settings(config, directory.path());
    Ok(directory)
}

fn fleet(options: &DemoOptions) -> FleetOptions {
    let scale = (options.speed / USUAL.0) * (f64::from(options.agents) / USUAL.1);
    #[expect(clippy::cast_possible_truncation, reason = "minutes in ms")]
    let history = (HISTORY_MS as f64 / scale.max(1.0)) as Millis;
    FleetOptions {
        seed: options.seed,
        tenants: options.tenants,
        agents: options.agents,
        speed: options.speed,
        start_ms: wall_ms() - history,
        // a working day begins, so queues grow within minutes
        first_hour: Some(9),
        // partitions are dropped by retention
        drops_partitions: false,
        ..FleetOptions::default()
    }
}

/// What is there was counted from another broker: it cannot be gone on with here, and must not be mixed with a made-up fleet.
fn ask_for_new_state(state: &StateUrl) -> Result<(), RunError> {
    upkeep::wait(async {
        let store = match Store::open_with(state, Options::look_only()).await {
            Err(StoreError::Absent { .. }) => return Ok(()),
            opened => opened?,
        };
        if store.manifest().await?.epoch == 0 {
            return Ok(());
        }
        Err(RunError::Refused(anyhow::anyhow!(
            "{state} holds what was counted from another broker, and a demo has its own: give a new `--state`, or none \
             (`gocdnext-flow state show --state {state}` tells what is there)"
        )))
    })
}

/// Says that the port is taken before anything else is said; for port 0, which one is free.
fn free_port(listen: SocketAddr) -> Result<SocketAddr, RunError> {
    let asked = TcpListener::bind(listen).and_then(|listener| listener.local_addr());
    asked.map_err(|error| RunError::Runtime(BindError::new(listen, error).into()))
}

/// Ready when the time is over or the fleet cannot go on.
async fn end(after: Option<Duration>, failed: oneshot::Receiver<()>) {
    let time_is_over = async move {
        match after {
            Some(after) => tokio::time::sleep(after).await,
            None => pending().await,
        }
    };
    let fleet_failed = async move {
        if failed.await.is_err() {
            // the fleet was stopped and did not fail
            pending::<()>().await;
        }
    };
    tokio::select! {
        () = time_is_over => {}
        () = fleet_failed => {}
    }
}
