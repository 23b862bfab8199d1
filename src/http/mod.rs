//! The sidecar: the published snapshot, own health and readiness over HTTP/1.1.
//!
//! What must stay true: it only reads [`Published`] and asks nobody else anything, so it answers while Kafka and the
//! pipeline are away; every request is bounded in size, time and number (I6); a scrape is one moment (I3), because
//! it loads the snapshot once.

mod answers;
mod connections;
mod health;
mod listen;
mod negotiate;
mod scrape;
mod texts;

pub use connections::serve;
pub use listen::{BindError, bind};

use crate::{config::Config, published::Published};
use axum::{Router, middleware, routing::get};
use dataflows::settings::Settings;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, CompressionLevel},
    limit::RequestBodyLimitLayer,
};

/// What every handler may see. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpState {
    published: Arc<Published>,
    settings: Arc<Settings>,
    force_text_format: bool,
    /// There is a log database.
    retention: bool,
    /// One permit for each rendering that is under way.
    renderers: Arc<Semaphore>,
    texts: texts::Texts,
    limits: Limits,
}

/// The bounds of the HTTP side, from the settings.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connections: usize,
    request_bytes: usize,
    timeout: Duration,
    /// What requests in flight have to finish once the end was asked for.
    end_grace: Duration,
}

/// The whole end takes less than 5 s; where the database does not answer, less than 15 s.
const END_GRACE: Duration = Duration::from_millis(4_500);

impl HttpState {
    #[must_use]
    pub fn new(published: Arc<Published>, config: &Config) -> Self {
        let limits = Limits {
            connections: config.http_max_connections,
            request_bytes: config.http_max_request_bytes,
            timeout: config.http_timeout,
            end_grace: END_GRACE,
        };
        Self {
            published,
            settings: Arc::new(config.dataflow.clone()),
            force_text_format: config.force_text_format,
            retention: config.log_database.is_some(),
            renderers: Arc::new(Semaphore::new(scrape::RENDERERS)),
            texts: texts::Texts::default(),
            limits,
        }
    }
}

/// Every path, with its limits; needs no server.
pub fn app(state: HttpState) -> Router {
    let limits = state.limits;
    let paths = Router::new()
        .route("/", get(answers::index))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(scrape::metrics))
        .route("/api/v1/snapshot", get(scrape::snapshot))
        .route("/api/v1/retention", get(scrape::retention))
        .fallback(answers::unknown_path)
        .method_not_allowed_fallback(answers::wrong_method)
        .with_state(state);
    bounded(paths, limits)
}

/// The same limits around whatever is served.
fn bounded(paths: Router, limits: Limits) -> Router {
    paths
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(middleware::from_fn(move |request, next| answers::within(limits.timeout, request, next)))
        .layer(RequestBodyLimitLayer::new(limits.request_bytes))
        .layer(CatchPanicLayer::custom(answers::panicked))
}

#[cfg(test)]
mod tests;
