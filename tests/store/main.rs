//! The store over both databases: each case runs on SQLite and on a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

#[path = "../postgres/mod.rs"]
mod postgres;
mod support;
mod transfers;

mod commits;
mod damage;
mod faults;
mod growth;
mod leases;
mod opening;
mod retention;
mod trouble_postgres;
mod trouble_sqlite;
