//! Looking after the durable state while no pipeline runs on it, or beside one: what the verbs of `state` do.
//!
//! One file a verb. Those that only look ([`show`], [`verify`]) read one moment's [`Snapshot`](crate::store::Snapshot)
//! and write nothing. What must stay true: nobody but the holder of the lease writes (I7), and a verb that is killed leaves
//! the state as it was or as it was to become (I4).

mod copying;
pub mod export;
mod file;
mod holding;
pub mod import;
mod load;
mod manifest;
pub mod rebucket;
pub mod reset;
pub mod show;
pub mod verify;

use crate::{
    store::{Options, StateUrl, Store},
    wiring::RunError,
};
use anyhow::Context;

/// Does a verb's work on a runtime of its own.
pub fn wait<T, E: From<anyhow::Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    // a second thread, so that the lease is renewed while this one writes a file
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.context("starting the asynchronous runtime")?.block_on(work)
}

/// Opens state that is there, for looking only.
async fn open_to_look(url: &StateUrl) -> Result<Store, RunError> {
    open(url, Options::look_only()).await
}

/// Opens state; where that fails, says which.
pub async fn open(url: &StateUrl, options: Options) -> Result<Store, RunError> {
    Store::open_with(url, options).await.map_err(|error| match RunError::from(error) {
        RunError::Runtime(error) => RunError::Runtime(error.context(format!("opening the state at {url}"))),
        other => other,
    })
}
