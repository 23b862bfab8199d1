//! One scraper over all lives of the program: asks every 100 ms, counts honestly, checks every answer.
//!
//! A scrape counts as asked if the program is up when it is asked and still is, in the same life, when the answer or
//! the error has come. One that gets no answer counts as often as others were due meanwhile.

use super::{
    checker::Checker,
    exposition::Exposition,
    http,
    program::{State, Uptime},
};
use anyhow::{Result, bail};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// 10 Hz.
const EVERY: Duration = Duration::from_millis(100);
/// A slower answer is none.
const WITHIN: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub asked: u64,
    pub answered: u64,
    /// Of those answered, with dataflow series.
    pub with_series: u64,
}

/// How the life under way has come on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    pub life: u32,
    /// The largest epoch that any former life has shown.
    floor: u64,
    /// The first that this life has shown: a former life may have committed it.
    first: Option<u64>,
    pub epoch: u64,
    /// Epochs that this life was seen to commit; there may be more, for not all are scraped.
    pub commits: u64,
    /// When the first new epoch was seen.
    pub moved: Option<Instant>,
    pub shows_series: bool,
}

impl Progress {
    pub fn see(&mut self, life: u32, exposition: &Exposition) {
        if self.life != life {
            *self = Self { life, floor: self.epoch, epoch: self.epoch, ..Self::default() };
        }
        self.shows_series = exposition.shows_series();
        let Some(epoch) = exposition.epoch() else { return };
        let first = *self.first.get_or_insert(epoch);
        if epoch > first && epoch > self.epoch {
            self.commits += 1;
            if epoch > self.floor {
                self.moved.get_or_insert_with(Instant::now);
            }
        }
        self.epoch = self.epoch.max(epoch);
    }
}

/// What the scraper has seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub counts: Counts,
    pub progress: Progress,
    pub latest: Option<Arc<Exposition>>,
    checker: Checker,
    faults: Vec<String>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module. Ends when dropped.
pub struct Scraper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Scraper {
    pub fn start(address: SocketAddr, uptime: &Arc<Uptime>) -> Self {
        let shared = Arc::new(Shared::default());
        let (uptime, ours) = (Arc::clone(uptime), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            while !ours.stop.load(Relaxed) {
                let asked = Instant::now();
                scrape(address, &uptime, &ours);
                std::thread::sleep(EVERY.saturating_sub(asked.elapsed()));
            }
        });
        Self { shared, thread: Some(thread) }
    }

    pub fn counts(&self) -> Counts {
        self.shared.lock().counts
    }

    pub fn progress(&self) -> Progress {
        self.shared.lock().progress
    }

    /// The last scrape that was answered.
    pub fn latest(&self) -> Option<Arc<Exposition>> {
        self.shared.lock().latest.clone()
    }

    /// Fails if any scrape has shown what none may.
    pub fn must_be_well(&self) -> Result<()> {
        let faults = &self.shared.lock().faults;
        if faults.is_empty() {
            return Ok(());
        }
        bail!("{} faults in what was scraped:\n  {}", faults.len(), faults[..faults.len().min(20)].join("\n  "))
    }

    /// The first that `find` finds in what has been seen.
    pub fn wait<T>(&self, what: &str, within: Duration, mut find: impl FnMut(&Seen) -> Option<T>) -> Result<T> {
        let until = Instant::now() + within;
        let mut seen = self.shared.lock();
        loop {
            if let Some(found) = find(&seen) {
                return Ok(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !seen.faults.is_empty() {
                let progress = seen.progress;
                drop(seen);
                self.must_be_well()?;
                bail!("in vain for {within:?}: {what}; {progress:?}");
            }
            seen = self.shared.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // a panic there is told by whoever waits in vain
            let _ = thread.join();
        }
    }
}

fn scrape(address: SocketAddr, uptime: &Uptime, shared: &Shared) {
    let (before, asked) = (uptime.now(), Instant::now());
    let answer = http::get(address, "/metrics", WITHIN);
    let expected = before.state == State::Up && uptime.now() == before;
    let mut seen = shared.lock();
    match answer {
        Ok((200, text)) => seen.answer(before.life, &text),
        _ if expected => seen.counts.asked += 1 + due_in(asked.elapsed()),
        _ => {}
    }
    shared.changed.notify_all();
}

/// Scrapes that were due in this time.
fn due_in(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / EVERY.as_millis()).unwrap_or(u64::MAX)
}

impl Seen {
    fn answer(&mut self, life: u32, text: &str) {
        self.counts.asked += 1;
        self.counts.answered += 1;
        match Exposition::parse(text) {
            Ok(exposition) => {
                self.counts.with_series += u64::from(exposition.shows_series());
                let faults = self.checker.look(life, &exposition);
                self.faults.extend(faults.iter().map(|fault| format!("life {life}: {fault}")));
                self.progress.see(life, &exposition);
                self.latest = Some(Arc::new(exposition));
            }
            Err(error) => self.faults.push(format!("life {life}: the exposition cannot be read: {error:#}")),
        }
    }
}
