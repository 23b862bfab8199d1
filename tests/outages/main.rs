//! What the program depends on goes away under load and comes back: a broker, a database, another instance. Nothing is
//! lost, nothing is counted twice: each test ends with a comparison of every series with the reference.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

mod broker;
mod database;
mod full_disk;
mod hand_over;
mod instances;
#[path = "../kafka/mod.rs"]
mod kafka;
mod lasting;
mod locks;
mod pair;
#[path = "../postgres/mod.rs"]
mod postgres;
#[path = "../support/mod.rs"]
mod support;
