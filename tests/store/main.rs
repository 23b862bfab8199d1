//! The store over both databases: each case runs on SQLite and on a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

mod commits;
mod support;
