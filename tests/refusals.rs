//! State that cannot be gone on from: the real program ends with exit code 4, says what is wrong, and shows nothing of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

#[path = "support/command.rs"]
mod command;
mod postgres;

use command::program;
use dataflows::state::FORMAT;
use gocdnext_flow::store::{Additions, Blob, Commit, Manifest, StateUrl, Store};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use std::{fs, path::PathBuf, process::Output};
use tempfile::TempDir;

fn flow(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

/// A log, and state that a replay of it has left behind.
struct Left {
    directory: TempDir,
    state: String,
}

impl Left {
    fn in_sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = format!("sqlite:{}", directory.path().join("state.db").display());
        Self { directory, state }.filled()
    }

    /// `None`: SKIPPED.
    fn in_postgres() -> Option<Self> {
        let server = postgres::shared()?;
        let state = server.url(&server.database());
        Some(Self { directory: tempfile::tempdir().unwrap(), state }.filled())
    }

    fn filled(self) -> Self {
        let log = self.path("log.ndjson");
        let made = flow(&["generate", "--jobs", "300", "--seed", "5", "--out", log.to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        let read = self.replay();
        assert!(read.status.success(), "{read:?}");
        fs::remove_file(self.path("metrics.txt")).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn replay(&self) -> Output {
        let (log, metrics) = (self.path("log.ndjson"), self.path("metrics.txt"));
        let files = [log.to_str().unwrap(), "--metrics-out", metrics.to_str().unwrap()];
        flow(&[&["replay", "--epoch-records", "400", "--state", &self.state], &files[..]].concat())
    }

    /// Tries to go on; what is said.
    fn refused(&self) -> String {
        let output = self.replay();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{told}");
        assert!(!self.path("metrics.txt").exists(), "nothing of it is shown");
        assert!(!told.contains("panicked") && !told.contains("backtrace"), "{told}");
        told
    }

    async fn sql(&self, sql: &'static str) {
        let done = if self.state.starts_with("sqlite") {
            let mut file = SqliteConnection::connect(&self.state).await.unwrap();
            file.execute(sql).await.unwrap().rows_affected()
        } else {
            let mut server = PgConnection::connect(&self.state).await.unwrap();
            server.execute(sql).await.unwrap().rows_affected()
        };
        assert!(done > 0, "{sql}");
    }
}

/// On each database there is.
fn each(case: impl AsyncFn(Left)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for left in [Some(Left::in_sqlite()), Left::in_postgres()].into_iter().flatten() {
        runtime.block_on(case(left));
    }
}

/// Damages the state by a statement; what is said must tell.
fn damaged(sql: &'static str, told: &str) {
    each(async |left| {
        left.sql(sql).await;
        let refusal = left.refused();
        assert!(refusal.contains("the state is damaged") && refusal.contains(told), "{sql}: {refusal}");
    });
}

#[test]
fn a_changed_row_is_named() {
    let sql = "UPDATE gocdnext_flow_blob SET checksum = checksum - 1 WHERE lane = 0 \
               AND epoch = (SELECT MAX(epoch) FROM gocdnext_flow_blob WHERE lane = 0)";
    damaged(sql, "lane 0, chunk 0: its checksum is");
}

#[test]
fn a_missing_lane_is_found() {
    let sql = "DELETE FROM gocdnext_flow_blob WHERE lane = 65535 \
               AND epoch = (SELECT MAX(epoch) FROM gocdnext_flow_blob WHERE lane = 65535)";
    damaged(sql, "rows");
}

#[test]
fn a_missing_epoch_is_found() {
    let sql = "DELETE FROM gocdnext_flow_blob WHERE epoch = (SELECT MAX(epoch) FROM gocdnext_flow_blob)";
    damaged(sql, "are missing");
}

#[test]
fn a_changed_manifest_is_found() {
    let sql = "UPDATE gocdnext_flow_manifest SET horizon = epoch";
    damaged(sql, "gocdnext_flow_manifest: its checksum is");
}

#[test]
fn a_newer_format_is_refused() {
    each(async |left| {
        let store = Store::open(&left.state.parse::<StateUrl>().unwrap()).await.unwrap();
        let seen = store.lease().await.unwrap();
        let generation = store.claim(&seen, "newer", "newer").await.unwrap().unwrap();
        let before = store.manifest().await.unwrap();
        let epoch = before.epoch + 1;
        let manifest = Manifest { epoch, generation, ..before.clone() };
        let blobs = [Blob { epoch, lane: 0, bytes: vec![FORMAT + 1, 0, 1] }];
        let commit =
            Commit { previous: before.epoch, manifest: &manifest, blobs: &blobs, additions: Additions::default() };
        store.commit(&commit).await.unwrap();
        store.release(generation).await.unwrap();
        let refusal = left.refused();
        let expected = format!("the state is of format {}; this version reads formats 1 to {FORMAT}", FORMAT + 1);
        assert!(refusal.contains(&expected), "{refusal}");
        assert_eq!(store.manifest().await.unwrap().epoch, epoch, "it is left as it was");
    });
}

#[test]
fn newer_tables_are_refused() {
    each(async |left| {
        let sql = "UPDATE gocdnext_flow_migrations SET version = 9001 \
                   WHERE version = (SELECT MAX(version) FROM gocdnext_flow_migrations)";
        left.sql(sql).await;
        let refusal = left.refused();
        assert!(refusal.contains("tables of version 9001") && refusal.contains("run the newer program"), "{refusal}");
    });
}
