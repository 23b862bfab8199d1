//! The verbs of `state`, by the real program over state that a real pipeline has written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

#[path = "../support/http.rs"]
mod http;
#[path = "../kafka/mod.rs"]
mod kafka;
mod life;
mod looking;
mod moving;
#[path = "../postgres/mod.rs"]
mod postgres;
mod rebucketing;
mod resetting;
mod support;
