//! Two instances at once on one state, and a watcher that asks them in turn.
//!
//! What must stay true: never two with dataflow series. Seen from outside: if one has shown series, then the other, the
//! first must not show any the next time it is asked. Hand-overs lie seconds apart, so no lawful change looks like that.
//! The two together are what one scraper of a service sees: no counter goes back over them.

use crate::support::{
    checker::Checker,
    exposition::Exposition,
    http,
    load::Flow,
    program::{Running, Uptime},
    sender::Topic,
    stage::run,
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};

const NAMES: [&str; 2] = ["a", "b"];
const EVERY: Duration = Duration::from_millis(20);
const WITHIN: Duration = Duration::from_millis(500);
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// One of the two.
struct Instance {
    address: SocketAddr,
    uptime: Arc<Uptime>,
    running: Option<Running>,
}

/// What both have in common.
#[derive(Clone, Debug)]
pub struct Setup {
    pub topic: Topic,
    pub state: String,
    pub lease_ttl: Duration,
    pub ha: bool,
}

/// See the module.
pub struct Pair {
    instances: [Instance; 2],
    watcher: Watcher,
    folder: PathBuf,
    setup: Setup,
}

impl Pair {
    pub fn new(folder: &Path, setup: Setup) -> Self {
        let instance = |_| Instance { address: http::free_address(), uptime: Arc::default(), running: None };
        let instances = [0, 1].map(instance);
        let watcher = Watcher::start([&instances[0], &instances[1]].map(|i| (i.address, Arc::clone(&i.uptime))));
        Self { instances, watcher, folder: folder.to_owned(), setup }
    }

    /// Starts one of them, in its own name.
    pub fn start(&mut self, which: usize) -> Result<()> {
        let instance = &mut self.instances[which];
        ensure!(instance.running.is_none(), "it runs");
        let Setup { topic, state, lease_ttl, ha } = &self.setup;
        let mut command = run(topic, state, Flow::Steady, instance.address);
        command.args(["--lease-ttl", &format!("{}ms", lease_ttl.as_millis())]);
        command.args(["--instance-id", NAMES[which], "--workers", "2"]);
        if *ha {
            command.arg("--ha");
        }
        instance.running = Some(Running::start(command, &instance.uptime, &self.folder, NAMES[which])?);
        Ok(())
    }

    /// Takes one out, to end it.
    pub fn take(&mut self, which: usize) -> Result<Running> {
        self.instances[which].running.take().context("it does not run")
    }

    /// SIGSTOP, while no question to it is open: an answer half sent would be old news when it arrives.
    pub fn hold(&mut self, which: usize) -> Result<()> {
        let held = self.watcher.quiet();
        self.instances[which].uptime.down();
        let running = self.instances[which].running.as_ref().context("it does not run")?;
        let stopped = running.hold();
        drop(held);
        stopped
    }

    /// SIGCONT, a moment later.
    pub fn resume(&mut self, which: usize) -> Result<()> {
        self.instances[which].running.as_ref().context("it does not run")?.signal("CONT")?;
        sleep(Duration::from_millis(7));
        Ok(())
    }

    /// Ends one of them as an operator does, and plays in the meantime.
    pub fn during_the_end_of<T>(
        &mut self,
        which: usize,
        within: Duration,
        play: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let running = self.take(which)?;
        let ending = std::thread::spawn(move || running.terminate(within));
        let played = play(self);
        ending.join().expect("no panic")?;
        played
    }

    /// Waits until this one says that it stands by; it is ready where one is wanted.
    pub fn stands_by(&self, which: usize, within: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            let says = self.readyz(which);
            if let Ok((ready, role)) = &says
                && (*ready, role.as_str()) == (self.setup.ha, "standby")
            {
                return Ok(());
            }
            ensure!(begun.elapsed() < within, "{} does not stand by; /readyz: {says:?}", NAMES[which]);
            sleep(Duration::from_millis(20));
        }
    }

    /// Whether it is ready, and its role.
    fn readyz(&self, which: usize) -> Result<(bool, String)> {
        let (status, text) = http::get(self.instances[which].address, "/readyz", ANSWERS_WITHIN)?;
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        Ok((status == 200, answer["checks"]["lease"]["role"].as_str().unwrap_or_default().to_owned()))
    }

    /// Waits until this one answers without series.
    pub fn falls_silent(&self, which: usize, within: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            let (_, text) = http::get(self.instances[which].address, "/metrics", ANSWERS_WITHIN)?;
            if !Exposition::parse(&text)?.shows_series() {
                return self.must_be_well();
            }
            ensure!(begun.elapsed() < within, "{} still shows series", NAMES[which]);
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits until this one shows series, with an epoch that was not shown before `since`; how long after it that was.
    pub fn serves(&self, which: usize, since: Instant, within: Duration) -> Result<Duration> {
        loop {
            self.must_be_well()?;
            if let Some(at) = self.watcher.seen().shown[which].filter(|at| *at > since) {
                return Ok(at.saturating_duration_since(since));
            }
            if since.elapsed() > within {
                let says = self.readyz(which);
                bail!("{} does not serve within {within:?}; /readyz: {says:?}", NAMES[which]);
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// When this one has last shown series.
    pub fn last_shown(&self, which: usize) -> Option<Instant> {
        self.watcher.seen().shown[which]
    }

    /// When this one has first shown series after that moment.
    pub fn first_shown(&self, which: usize, since: Instant) -> Option<Instant> {
        self.watcher.seen().began[which].filter(|began| *began > since)
    }

    /// Fails if this one shows series in all this time.
    pub fn stays_silent(&self, which: usize, time: Duration) -> Result<()> {
        let begun = Instant::now();
        sleep(time);
        self.must_be_well()?;
        let shown = self.watcher.seen().shown[which];
        ensure!(shown.is_none_or(|at| at < begun), "{} shows series while the other serves", NAMES[which]);
        Ok(())
    }

    pub fn must_be_well(&self) -> Result<()> {
        let seen = self.watcher.seen();
        ensure!(seen.faults.is_empty(), "{}", seen.faults[..seen.faults.len().min(20)].join("\n  "));
        Ok(())
    }

    /// The newest scrape with series, of whichever shows them.
    pub fn shown(&self) -> Result<Arc<Exposition>> {
        self.must_be_well()?;
        self.watcher.seen().latest.clone().context("no series were shown")
    }
}

/// What the watcher has seen.
#[derive(Default)]
struct Seen {
    /// When each has last shown series.
    shown: [Option<Instant>; 2],
    /// When each has first shown series after it had not.
    began: [Option<Instant>; 2],
    /// Who has answered with series, newest last, two at most; cleared by an answer without.
    order: Vec<usize>,
    latest: Option<Arc<Exposition>>,
    checker: Checker,
    faults: Vec<String>,
}

impl Seen {
    fn answer(&mut self, which: usize, life: u32, text: &str) -> Result<()> {
        let exposition = Exposition::parse(text)?;
        if !exposition.shows_series() {
            self.began[which] = None;
            return Ok(());
        }
        if let [.., first, second] = self.order[..]
            && first == which
            && second != which
        {
            self.faults.push(format!("{} shows series, so does {}", NAMES[which], NAMES[second]));
        }
        self.order.push(which);
        let older = self.order.len().saturating_sub(2);
        self.order.drain(..older);
        self.shown[which] = Some(Instant::now());
        self.began[which] = self.began[which].or(self.shown[which]);
        // a life of either is a life of the service
        let life = life * 2 + u32::try_from(which)?;
        let faults = self.checker.look(life, &exposition);
        self.faults.extend(faults.iter().map(|fault| format!("{}: {fault}", NAMES[which])));
        self.latest = Some(Arc::new(exposition));
        Ok(())
    }
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    /// Held while a question is open.
    asking: Mutex<()>,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    fn start(instances: [(SocketAddr, Arc<Uptime>); 2]) -> Self {
        let shared = Arc::<Shared>::default();
        let ours = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while !ours.stop.load(Relaxed) {
                for (which, (address, uptime)) in instances.iter().enumerate() {
                    let asking = lock(&ours.asking);
                    let life = uptime.now().life;
                    let answer = http::get(*address, "/metrics", WITHIN);
                    drop(asking);
                    if let Ok((200, text)) = answer {
                        let mut seen = lock(&ours.seen);
                        if let Err(error) = seen.answer(which, life, &text) {
                            seen.faults.push(format!("{}: {error:#}", NAMES[which]));
                        }
                    }
                    sleep(EVERY);
                }
            }
        });
        Self { shared, thread: Some(thread) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.shared.seen)
    }

    /// While this is held nothing is asked.
    fn quiet(&self) -> MutexGuard<'_, ()> {
        lock(&self.shared.asking)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // a panic there is told by whoever waits in vain
            let _ = thread.join();
        }
    }
}
