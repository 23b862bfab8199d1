//! Retention carried out, over both databases: each case runs on SQLite and on a real PostgreSQL that lays `log_lines` out
//! as gocdnext does. What is gone is compared line by line with a copy from before.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

#[path = "../postgres/mod.rs"]
mod postgres;
mod support;

mod adopting;
mod cut_off;
mod ensuring;
mod foreseeing;
mod locking;
mod obstacles;
mod tricks;
mod year;
