//! What protects the program's connections and its secrets, each seen from outside: TLS and passwords to a real Kafka and a
//! real PostgreSQL, and no secret in anything that the program shows.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

#[path = "../certificates/mod.rs"]
mod certificates;
mod crowd;
#[path = "../kafka/mod.rs"]
mod kafka;
mod kafka_tls;
mod life;
#[path = "../postgres/mod.rs"]
mod postgres;
mod postgres_tls;
mod rights;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
