//! `run`: Kafka to `/metrics`.

use super::{Pipeline, RunError, checks, durable::Durable, pipeline::END_WITHIN, results::takers};
use crate::{
    config::Config,
    http::{self, HttpState},
    lease::{Held, Standing},
    published::Published,
    sources::stop::Stop,
    telemetry::{self, Target},
};
use anyhow::Context;
use dataflows::names::Names;
use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::{JoinError, JoinHandle},
};

/// Kafka to `/metrics`, until SIGTERM or SIGINT; log lines go to standard output.
pub fn run(config: Config) -> Result<(), RunError> {
    let logging = telemetry::init(&config.log_level, Target::Stdout, config.log_burst);
    logging.map_err(|error| RunError::Settings(error.into()))?;
    let outcome = run_until(config, std::future::pending());
    telemetry::finish();
    outcome
}

/// As [`run`], also until `shutdown` is ready. Logging is the caller's.
pub fn run_until(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), RunError> {
    let published = Published::new(Names::new(config.dataflow.limits.max_names));
    run_published(config, published, shutdown)
}

/// As [`run_until`], published where the caller sees it too.
pub fn run_published(
    config: Config,
    published: Arc<Published>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("starting the asynchronous runtime")?;
    let (outcome, all_ended) = runtime.block_on(live(Arc::new(config), published, shutdown));
    if all_ended {
        // requests that are still open were given their time
        runtime.shutdown_timeout(Duration::from_millis(200));
    } else {
        // a part that still waits for something there would panic, and take the whole process with it
        std::mem::forget(runtime);
    }
    outcome
}

/// Also says whether all parts have ended.
async fn live(
    config: Arc<Config>,
    published: Arc<Published>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> (Result<(), RunError>, bool) {
    let mut parts = Parts::default();
    let outcome = serve(&config, &published, shutdown, &mut parts).await;
    let all_ended = parts.stop().await;
    (outcome, all_ended)
}

async fn serve(
    config: &Arc<Config>,
    published: &Arc<Published>,
    shutdown: impl Future<Output = ()> + Send + 'static,
    parts: &mut Parts,
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    // before Kafka is touched: whoever asks gets an answer
    let listener = http::bind(config.listen).await.map_err(anyhow::Error::new)?;
    let listen = listener.local_addr().unwrap_or(config.listen);
    let state = HttpState::new(Arc::clone(published), config);
    let (end_http, http_ends) = oneshot::channel::<()>();
    let http_ends = async {
        // an end that is dropped is an end, too
        let _ = http_ends.await;
    };
    let mut sidecar = tokio::spawn(http::serve(listener, state, http_ends));
    tokio::spawn(checks::keep(Arc::clone(published), Arc::clone(config)));
    tracing::info!(%listen, brokers = config.brokers, topic = config.topic, "serving");

    let ended = async {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = shutdown => "its time is up",
        }
    };
    let outcome = tokio::select! {
        why = ended => Ok(why),
        error = parts.write(config, published) => Err(error),
        served = &mut sidecar => Err(http_failed(served)),
    };
    published.own.stopping.store(true, Ordering::Relaxed);
    if let Ok(why) = &outcome {
        tracing::info!(why, "ending");
    }
    drop(end_http);
    let served = async {
        if !sidecar.is_finished() {
            // what it served until now is all that counts
            let _ = sidecar.await;
        }
    };
    tokio::join!(parts.stop_writing(), served);
    // only now may another show its series (I7); clients that wait for a broker need not be waited for
    parts.release().await;
    outcome.map(drop)
}

type Started = Result<Pipeline, RunError>;

/// What writes the state, as far as it has come.
#[derive(Default)]
struct Parts {
    /// Reads the state.
    starting: Option<JoinHandle<Started>>,
    /// Breaks that off.
    stop: Option<Arc<Stop>>,
    held: Option<Held>,
    pipeline: Option<Pipeline>,
}

impl Parts {
    /// Waits for the lease, then runs the pipeline until it fails or another takes over.
    async fn write(&mut self, config: &Arc<Config>, published: &Arc<Published>) -> RunError {
        if let Err(error) = self.begin(config, published).await {
            return error;
        }
        let (Some(held), Some(pipeline)) = (&self.held, &mut self.pipeline) else {
            return anyhow::anyhow!("the pipeline has not started").into();
        };
        let mut standing = held.standing();
        loop {
            tokio::select! {
                error = pipeline.failed() => return error,
                _ = standing.changed() => {
                    let standing = *standing.borrow_and_update();
                    stand(standing, published);
                    if standing == Standing::Fenced {
                        return RunError::Fenced;
                    }
                }
            }
        }
    }

    async fn begin(&mut self, config: &Arc<Config>, published: &Arc<Published>) -> Result<(), RunError> {
        let (held, durable) = Durable::acquire(&config.state, config, &config.topic, published).await?;
        self.held = Some(held);
        self.stop = Some(Arc::clone(&durable.stop));
        let (config, published) = (Arc::clone(config), Arc::clone(published));
        let starting = tokio::task::spawn_blocking(move || {
            Pipeline::start(&config, &published, &durable, takers(config.dataflow.job_results))
        });
        let started = self.starting.insert(starting).await;
        self.starting = None;
        self.started(started)
    }

    fn started(&mut self, started: Result<Started, JoinError>) -> Result<(), RunError> {
        self.pipeline = Some(started.context("reading the state")??);
        Ok(())
    }

    /// A start that is under way ends too. One that hangs in the database finds itself stopped, whenever that is.
    async fn stop_writing(&mut self) {
        self.stop.iter().for_each(|stop| stop.stop());
        if let Some(starting) = &mut self.starting
            && let Ok(started) = tokio::time::timeout(END_WITHIN, starting).await
        {
            self.starting = None;
            // that it was broken off is no news
            let _ = self.started(started);
        }
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.stop_writing().await;
        }
    }

    /// Says whether all have ended.
    async fn stop(self) -> bool {
        let ended = match self.pipeline {
            Some(pipeline) => pipeline.stop().await,
            None => true,
        };
        ended && self.starting.is_none()
    }

    /// A lease that is not given back costs the next one its time to live.
    async fn release(&mut self) {
        let Some(held) = self.held.take().filter(|held| *held.standing().borrow() != Standing::Fenced) else {
            return;
        };
        if let Err(error) = held.release_within(END_WITHIN).await {
            tracing::warn!(%error, "the lease could not be given back");
        }
    }
}

/// What follows from whether the lease is held (I5, I7).
fn stand(standing: Standing, published: &Published) {
    let check = match standing {
        Standing::Held => Ok(()),
        // with `ha` the series are hidden by now, see `Published::ours_until`
        Standing::Unsure => Err("the lease could not be renewed".to_owned()),
        Standing::Fenced => {
            published.withdrawn.store(true, Ordering::Release);
            Err("another instance has taken over".to_owned())
        }
    };
    published.check("lease", check);
}

fn http_failed(served: Result<std::io::Result<()>, tokio::task::JoinError>) -> RunError {
    let error = match served {
        Ok(Ok(())) => anyhow::anyhow!("it ended by itself"),
        Ok(Err(error)) => error.into(),
        Err(error) => error.into(),
    };
    error.context("the HTTP side has failed").into()
}
