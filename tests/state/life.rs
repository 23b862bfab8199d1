//! `run` over a real Kafka, for a while.

use crate::{
    http::{free_address, get},
    kafka::eventually,
    support::{Told, flow, told},
};
use std::{
    net::SocketAddr,
    process::{Child, Command},
    time::Duration,
};

/// Killed when dropped.
pub struct Life {
    child: Child,
    address: SocketAddr,
}

/// `run`, on its own time: nothing depends on the wall clock.
pub fn run(brokers: &str, topic: &str, state: &str) -> Command {
    let mut command = flow();
    command.args(["run", "--brokers", brokers, "--topic", topic, "--state", state]);
    command.args(["--clock", "log", "--epoch-interval", "50ms"]);
    command
}

impl Life {
    pub fn start(mut command: Command) -> Self {
        let address = free_address();
        let child = command.arg("--listen").arg(address.to_string()).spawn().unwrap();
        Self { child, address }
    }

    pub fn scrape(&self) -> Option<String> {
        let (_, text) = get(self.address, "/metrics", Duration::from_secs(5)).ok()?;
        Some(text)
    }

    /// Waits until the series are shown, and gives them once they hold this one.
    pub fn wait_for(&self, sample: &str) -> String {
        let mut last = String::new();
        let shown = |text: &String| text.contains("\ngocdnext_jobs_running ");
        eventually(sample, || {
            last = self.scrape().filter(shown)?;
            last.lines().any(|line| line == sample).then(|| last.clone())
        })
    }

    /// Waits until so many runs are counted, since it counts.
    pub fn wait_for_runs(&self, runs: u64) -> String {
        self.wait_for(&format!(r#"gocdnext_flow_events_total{{type="run.queued"}} {runs}"#))
    }

    /// As its operator would.
    pub fn end(mut self) {
        // the shell's own: a bare Debian has no program of that name
        let signalled = Command::new("sh").args(["-c", &format!("kill {}", self.child.id())]).status().unwrap();
        assert!(signalled.success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The refusal of a start that does not come about.
pub fn refused(mut command: Command, code: i32) -> String {
    let address = free_address().to_string();
    let Told { error, code: found, .. } = told(command.args(["--listen", &address]));
    assert_eq!(found, Some(code), "{error}");
    error
}
