//! The checks behind `/readyz` that follow from what is published; `kafka` comes from the source's watcher.

use crate::{config::Config, published::Published, sources::kafka::wall_ms};
use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

const EVERY: Duration = Duration::from_millis(250);

/// Keeps the checks up to date for ever.
pub async fn keep(published: Arc<Published>, config: Arc<Config>) {
    let started = Instant::now();
    loop {
        let catch_up = catch_up(&published, started.elapsed(), config.catch_up_timeout);
        let commits = commits(published.own.commit_age(wall_ms()), config.max_commit_age, published.own.held_up());
        published.check("catch_up", catch_up);
        published.check("commits", commits);
        tokio::time::sleep(EVERY).await;
    }
}

/// Done, or its time is up: an instance that takes long to catch up must not look dead for ever.
fn catch_up(published: &Published, since_start: Duration, timeout: Duration) -> Result<(), String> {
    if published.snapshot.load().is_some() || since_start >= timeout {
        return Ok(());
    }
    let lag = published.own.lag.lock().unwrap_or_else(PoisonError::into_inner);
    if lag.is_empty() {
        return Err("no partition is assigned yet".to_owned());
    }
    Err(format!("reading what was there at the start: {} records to go", lag.values().sum::<u64>()))
}

fn commits(age: Option<Duration>, max_age: Duration, held_up: Option<String>) -> Result<(), String> {
    let why = held_up.map_or(String::new(), |why| format!(": {why}"));
    let age = age.ok_or_else(|| format!("no epoch is committed yet{why}"))?;
    if age > max_age {
        return Err(format!("the last commit is {} s old{why}", age.as_secs()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::names::Names;

    #[test]
    fn catching_up_is_over_when_the_series_are_shown_or_its_time_is_up() {
        let published = Published::new(Names::new(1));
        let minute = Duration::from_secs(60);
        assert_eq!(catch_up(&published, Duration::ZERO, minute), Err("no partition is assigned yet".to_owned()));
        published.own.lag.lock().unwrap().extend([(0, 5), (1, 7)]);
        let error = catch_up(&published, Duration::ZERO, minute).unwrap_err();
        assert_eq!(error, "reading what was there at the start: 12 records to go");
        assert_eq!(catch_up(&published, minute, minute), Ok(()));
    }

    #[test]
    fn commits_must_be_fresh() {
        let max_age = Duration::from_secs(30);
        assert!(commits(None, max_age, None).is_err());
        assert_eq!(commits(Some(max_age), max_age, None), Ok(()));
        let over = max_age + Duration::from_millis(1);
        assert_eq!(commits(Some(over), max_age, None), Err("the last commit is 30 s old".to_owned()));
        let why = commits(Some(over), max_age, Some("letters wait".to_owned())).unwrap_err();
        assert_eq!(why, "the last commit is 30 s old: letters wait");
    }
}
