//! `run`: Kafka to `/metrics`.

use super::{Pipeline, RunError, checks};
use crate::{
    config::Config,
    http::{self, HttpState},
    published::Published,
    sources::kafka::StartAt,
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

    let mut pipeline = Pipeline::start(&config, &published, StartAt::default(), job_results())?;
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
        () = shutdown => Ok("its time is up"),
        error = pipeline.failed() => Err(error),
        served = &mut sidecar => Err(http_failed(served)),
    };
    published.own.stopping.store(true, Ordering::Relaxed);
    if let Ok(why) = outcome {
        tracing::info!(why, "ending");
    }
    drop(end_http);
    let served = async {
        if !sidecar.is_finished() {
            // what it served until now is all that counts
            let _ = sidecar.await;
        }
    };
    tokio::join!(pipeline.stop(), served);
    outcome.map(drop)
}

/// The lines `agent job result`.
fn job_results() -> super::ResultLog {
    Box::new(|results, published| {
        for result in results {
            telemetry::job_result(result, &published.names);
        }
    })
}

fn http_failed(served: Result<std::io::Result<()>, tokio::task::JoinError>) -> RunError {
    let error = match served {
        Ok(Ok(())) => anyhow::anyhow!("it ended by itself"),
        Ok(Err(error)) => error.into(),
        Err(error) => error.into(),
    };
    error.context("the HTTP side has failed").into()
}
