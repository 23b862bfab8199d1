//! A stage: a topic under load, the program over it in life after life, and one scraper that watches them all.
//!
//! At the end ([`Stage::finish`]) the log is closed, read to its end, and every series compared with the reference.

use super::{
    ending::{self, Finding, dead_letters},
    http,
    load::{Flow, Load},
    program::{Running, Uptime, program},
    scraper::{Scraper, Seen},
    sender::{Sender, Topic},
};
use crate::kafka::broker::Broker;
use anyhow::{Context, Result, ensure};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

/// `gocdnext_flow_committed_epoch` is on the move within this, after each start.
pub const MOVES_WITHIN: Duration = Duration::from_secs(10);
const ENDS_WITHIN: Duration = Duration::from_secs(30);
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Makes a topic, and one beside it for its dead letters.
pub fn topic(broker: &Broker, name: &str, partitions: i32) -> Topic {
    let topic = Topic { brokers: broker.address(), name: name.to_owned() };
    broker.topic(name, partitions, &[]);
    broker.topic(&dead_letters(&topic).name, 1, &[]);
    topic
}

/// State in a file of this folder.
pub fn sqlite(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("state.db").display())
}

/// `run` over a topic and a state, with what all tests want.
pub fn run(topic: &Topic, state: &str, flow: Flow, address: SocketAddr) -> Command {
    let Topic { brokers, name } = topic;
    let mut command = program(&["run", "--clock", "log", "--epoch-interval", "100ms", "--state", state]);
    command.args(["--brokers", brokers, "--topic", name, "--dead-letter-topic", &dead_letters(topic).name]);
    command.args(["--listen", &address.to_string()]).args(flow.rules());
    command
}

/// See the module.
pub struct Stage {
    pub scraper: Scraper,
    pub address: SocketAddr,
    pub running: Option<Running>,
    folder: PathBuf,
    topic: Topic,
    state: String,
    flow: Flow,
    uptime: Arc<Uptime>,
    sender: Option<Sender>,
}

impl Stage {
    /// Sends into a topic that is there, with `NAME.dead-letters` beside it; nothing runs yet.
    pub fn set(folder: &Path, topic: Topic, state: String, flow: Flow, seed: u64) -> Result<Self> {
        let (address, uptime) = (http::free_address(), Arc::<Uptime>::default());
        Ok(Self {
            scraper: Scraper::start(address, &uptime),
            sender: Some(Sender::start(&topic, Load::new(seed), flow)?),
            running: None,
            folder: folder.to_owned(),
            address,
            topic,
            state,
            flow,
            uptime,
        })
    }

    /// The program with all its flags.
    pub fn command(&self, workers: u32) -> Command {
        let mut command = run(&self.topic, &self.state, self.flow, self.address);
        command.args(["--instance-id", "the-only-one", "--workers", &workers.to_string()]);
        command
    }

    /// Begins a life.
    pub fn start(&mut self, command: Command) -> Result<()> {
        ensure!(self.running.is_none(), "it runs");
        self.running = Some(Running::start(command, &self.uptime, &self.folder, "life")?);
        Ok(())
    }

    /// What runs.
    pub fn running(&mut self) -> Result<&mut Running> {
        self.running.as_mut().context("nothing runs")
    }

    /// Waits for a new epoch and returns how long after the start of the life it came.
    pub fn moved(&mut self) -> Result<Duration> {
        let life = self.life();
        let moved = |seen: &Seen| seen.progress.moved.filter(|_| seen.progress.life == life);
        let moved = self.scraper.wait("a new epoch", MOVES_WITHIN, moved);
        self.running()?.must_live()?;
        Ok(moved?.saturating_duration_since(self.running()?.started))
    }

    /// Waits until the life under way was seen to commit so many epochs.
    pub fn commits(&mut self, count: u64, within: Duration) -> Result<()> {
        let life = self.life();
        let enough = |seen: &Seen| (seen.progress.life == life && seen.progress.commits >= count).then_some(());
        let enough = self.scraper.wait(&format!("{count} commits"), within, enough);
        self.running()?.must_live()?;
        enough
    }

    /// Waits until the life under way shows series.
    pub fn shows_series(&mut self, within: Duration) -> Result<()> {
        let life = self.life();
        let shows = |seen: &Seen| (seen.progress.life == life && seen.progress.shows_series).then_some(());
        self.scraper.wait("series", within, shows)
    }

    /// Waits until `/readyz` fails for this check, or is well with it; says why it fails.
    pub fn wait_for_check(&self, name: &str, fails: bool, within: Duration) -> Result<Option<String>> {
        let begun = Instant::now();
        loop {
            let (status, text) = http::get(self.address, "/readyz", ANSWERS_WITHIN)?;
            let answer: serde_json::Value = serde_json::from_str(&text)?;
            let error = answer["checks"][name]["error"].as_str().map(str::to_owned);
            if error.is_some() == fails && (status == 200) != fails {
                return Ok(error);
            }
            ensure!(begun.elapsed() < within, "/readyz, {name}, which should fail: {fails}: {status} {text}");
            sleep(Duration::from_millis(100));
        }
    }

    /// What `/readyz` answers, and the checks that fail.
    pub fn failing(&self) -> Result<(u16, String)> {
        let (status, text) = http::get(self.address, "/readyz", ANSWERS_WITHIN)?;
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        let checks = answer["checks"].as_object().context("the checks")?;
        let told =
            |(name, check): (&String, &serde_json::Value)| Some(format!("{name}: {}", check["error"].as_str()?));
        Ok((status, checks.iter().filter_map(told).collect::<Vec<_>>().join("; ")))
    }

    fn life(&self) -> u32 {
        self.uptime.now().life
    }

    /// SIGTERM, exit code 0.
    pub fn terminate(&mut self, within: Duration) -> Result<()> {
        self.running.take().context("nothing runs")?.terminate(within)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.running.take().context("nothing runs")?.kill()
    }

    /// Lets the log grow by so many records while nothing runs.
    pub fn burst(&self, records: usize) -> Result<()> {
        ensure!(self.running.is_none(), "it runs");
        self.sender.as_ref().context("it was finished")?.burst(records)
    }

    /// Records sent so far.
    pub fn sent(&self) -> u64 {
        self.sender.as_ref().map_or(0, Sender::sent)
    }

    /// Ends the log and compares; what runs then must see it through.
    pub fn finish(mut self) -> Result<Finding> {
        let sender = self.sender.take().context("it was finished")?;
        let folder = self.folder.clone();
        let found = ending::end(sender, &folder, || {
            self.scraper.must_be_well()?;
            self.running.as_mut().context("nothing runs")?.must_live()?;
            self.scraper.latest().context("nothing was scraped")
        })?;
        self.running.take().context("nothing runs")?.terminate(ENDS_WITHIN)?;
        self.scraper.must_be_well()?;
        Ok(found)
    }
}
