//! The lock of an SQLite file, as another program takes it.

use anyhow::Result;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{path::Path, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// Held until dropped.
pub struct Lock {
    runtime: Runtime,
    connection: Option<SqliteConnection>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // a connection that ends gives its lock back, however it ends
            let _ = self.runtime.block_on(connection.close());
        }
    }
}

fn try_take(file: &Path, patience: Duration) -> Result<Option<Lock>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let connection = runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file).busy_timeout(patience);
        let mut connection = options.connect().await?;
        match sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await {
            Ok(_) => Ok(Some(connection)),
            Err(sqlx::Error::Database(_)) => Ok(None),
            Err(error) => Err(error),
        }
    })?;
    Ok(connection.map(|connection| Lock { runtime, connection: Some(connection) }))
}

/// Takes it between two commits.
pub fn take(file: &Path) -> Lock {
    try_take(file, Duration::from_secs(60)).expect("the file is there").expect("the lock is free for moments")
}

/// Whether it can be had, and the file written.
pub fn is_free(file: &Path) -> Result<bool> {
    let Some(mut lock) = try_take(file, Duration::from_millis(50))? else { return Ok(false) };
    let Some(mut connection) = lock.connection.take() else { return Ok(false) };
    // changes nothing: a lease is known by its beat
    let writes = ["UPDATE gocdnext_flow_lease SET beat = beat WHERE id = 1", "COMMIT"];
    lock.runtime.block_on(async {
        for sql in writes {
            match sqlx::query(sql).execute(&mut connection).await {
                Ok(_) => {}
                Err(sqlx::Error::Database(_)) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        connection.close().await?;
        Ok(true)
    })
}
