//! `run`: Kafka to `/metrics`.

use super::{Pipeline, RunError, checks, durable::Durable, results::takers};
use crate::{
    config::Config,
    http::{self, HttpState},
    lease::{Held, Standing},
    published::Published,
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
    let outcome = runtime.block_on(live(Arc::new(config), published, shutdown));
    // requests that are still open were given their time
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

async fn live(
    config: Arc<Config>,
    published: Arc<Published>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    // before Kafka is touched: whoever asks gets an answer
    let listener = http::bind(config.listen).await.map_err(anyhow::Error::new)?;
    let state = HttpState::new(Arc::clone(&published), &config);
    let (end_http, http_ends) = oneshot::channel::<()>();
    let http_ends = async {
        // an end that is dropped is an end, too
        let _ = http_ends.await;
    };
    let mut sidecar = tokio::spawn(http::serve(listener, state, http_ends));
    tokio::spawn(checks::keep(Arc::clone(&published), Arc::clone(&config)));
    tracing::info!(listen = %config.listen, brokers = config.brokers, topic = config.topic, "serving");

    let mut parts = Parts::default();
    let ended = async {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = shutdown => "its time is up",
        }
    };
    let outcome = tokio::select! {
        why = ended => Ok(why),
        error = parts.write(&config, &published) => Err(error),
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
    parts.stop().await;
    outcome.map(drop)
}

/// What writes the state, as far as it has come.
#[derive(Default)]
struct Parts {
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
        let durable = Durable::acquire(&config.state, config, &config.topic, published).await?;
        let (config, published) = (Arc::clone(config), Arc::clone(published));
        let starting = tokio::task::spawn_blocking(move || {
            let pipeline = Pipeline::start(&config, &published, &durable, takers(config.dataflow.job_results));
            (durable.held, pipeline)
        });
        let (held, pipeline) = starting.await.context("reading the state")?;
        self.held = Some(held);
        self.pipeline = Some(pipeline?);
        Ok(())
    }

    async fn stop_writing(&mut self) {
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.stop_writing().await;
        }
    }

    async fn stop(self) {
        if let Some(pipeline) = self.pipeline {
            pipeline.stop().await;
        }
    }

    /// A lease that is not given back costs the next one its time to live.
    async fn release(&mut self) {
        let Some(held) = self.held.take().filter(|held| *held.standing().borrow() != Standing::Fenced) else {
            return;
        };
        if let Err(error) = held.release().await {
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
