//! The checks behind `/readyz` that follow from what is published; `kafka` comes from the source's watcher.

use crate::{
    clock::wall_ms,
    config::Config,
    published::{CAUGHT_UP_MS, Published},
};
use dataflows::{sequencer::Clock, time::Millis};
use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

const EVERY: Duration = Duration::from_millis(250);

/// Keeps the checks up to date for ever.
pub async fn keep(published: Arc<Published>, config: Arc<Config>) {
    let started = Instant::now();
    loop {
        let now_ms = wall_ms();
        let catch_up = not_ahead(&published, config.clock, now_ms)
            .and_then(|()| catch_up(&published, started.elapsed(), config.catch_up_timeout));
        let commits = commits(published.own.commit_age(now_ms), config.max_commit_age, published.own.held_up());
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
    match lag.values().sum::<u64>() {
        0 => Err("what was there at the start is read, and not all of it committed".to_owned()),
        records => Err(format!("reading what was there at the start: {records} records to go")),
    }
}

/// Stream time never goes back. One that followed a clock which was wrong for a moment stays ahead, and until the clock is
/// there, too, agents seem gone, jobs lost, and events late: nothing else would tell why.
fn not_ahead(published: &Published, clock: Clock, now_ms: Millis) -> Result<(), String> {
    let ahead_ms = published.own.stream_time_ms.load(Relaxed).saturating_sub(now_ms);
    if clock != Clock::Wall || ahead_ms <= CAUGHT_UP_MS {
        return Ok(());
    }
    Err(format!(
        "stream time is {} s ahead of this machine's clock, which is wrong or was: until it is there, too, agents \
         count as offline, jobs as waiting for so much longer, and beyond dedup_window all that comes is late and not \
         counted. Set the clock right; if that does not help, stop all instances and count anew: \
         `gocdnext-flow state import BACKUP --replace` or `gocdnext-flow state reset --to earliest`",
        ahead_ms / 1000
    ))
}

fn commits(age: Option<Duration>, max_age: Duration, held_up: Option<String>) -> Result<(), String> {
    let why = held_up.map_or(String::new(), |why| format!(": {why}"));
    let age = age.ok_or_else(|| format!("this process has committed no epoch yet{why}"))?;
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
        published.own.lag.lock().unwrap().extend([(0, 0), (1, 0)]);
        let error = catch_up(&published, Duration::ZERO, minute).unwrap_err();
        assert_eq!(error, "what was there at the start is read, and not all of it committed");
        assert_eq!(catch_up(&published, minute, minute), Ok(()));
    }

    #[test]
    fn stream_time_ahead_of_the_clock_is_named() {
        let published = Published::new(Names::new(1));
        let ahead = |clock, now_ms| not_ahead(&published, clock, now_ms);
        assert_eq!(ahead(Clock::Wall, 1_000), Ok(()), "there is none yet");
        published.own.stream_time_ms.store(500_000, Relaxed);
        for now_ms in [440_000, 500_000, 900_000] {
            assert_eq!(ahead(Clock::Wall, now_ms), Ok(()), "{now_ms}");
        }
        let why = ahead(Clock::Wall, 439_000).unwrap_err();
        assert!(why.starts_with("stream time is 61 s ahead of this machine's clock"), "{why}");
        assert!(why.contains("`gocdnext-flow state reset --to earliest`"), "{why}");
        assert_eq!(ahead(Clock::Log, 0), Ok(()), "the log alone says what time it is");
    }

    #[test]
    fn commits_must_be_fresh() {
        let max_age = Duration::from_secs(30);
        // after a restart there are epochs of former ones
        assert_eq!(commits(None, max_age, None), Err("this process has committed no epoch yet".to_owned()));
        assert_eq!(commits(Some(max_age), max_age, None), Ok(()));
        let over = max_age + Duration::from_millis(1);
        assert_eq!(commits(Some(over), max_age, None), Err("the last commit is 30 s old".to_owned()));
        let why = commits(Some(over), max_age, Some("letters wait".to_owned())).unwrap_err();
        assert_eq!(why, "the last commit is 30 s old: letters wait");
    }
}
