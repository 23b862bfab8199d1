//! A demo on a random port, and what it answers.

#![allow(dead_code, reason = "each test program uses a part of it")]

use crate::http::{free_address, get};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A wait for another program that has no event to wait for; far beyond what it needs.
pub const PATIENCE: Duration = Duration::from_mins(2);

pub fn demo(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gocdnext-flow"));
    command.arg("demo").args(flags).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GOCDNEXT_FLOW_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running demo; killed with the test if it has not ended before.
pub struct Demo {
    process: Option<Child>,
    pub address: SocketAddr,
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Demo {
    pub fn start(flags: &[&str]) -> Self {
        let address = free_address();
        let mut command = demo(&["--listen", &address.to_string()]);
        command.args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { process: Some(command.spawn().unwrap()), address }
    }

    /// Status and body; 0 where nothing answers.
    pub fn get(&self, path: &str) -> (u16, String) {
        get(self.address, path, PATIENCE).unwrap_or_default()
    }

    pub fn metrics(&self) -> String {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The first exposition in which the series sum up to that much.
    pub fn wait_for_series(&self, series: &str, least: f64) -> String {
        self.wait_for("/metrics", |body| sum(body, series) >= least)
    }

    /// The first answer with status 200 that satisfies.
    pub fn wait_for(&self, path: &str, enough: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            self.must_live();
            let (status, body) = self.get(path);
            if status == 200 && enough(&body) {
                return body;
            }
            assert!(Instant::now() < until, "{path}: {status} {body}; /readyz: {:?}", self.get("/readyz"));
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Fails with what the demo said if it has ended.
    pub fn must_live(&self) {
        let pid = self.process.as_ref().expect("it was not ended").id();
        let alive = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        assert!(alive.is_ok_and(|stat| !stat.contains(") Z ")), "the demo has ended by itself");
    }

    /// Ends it as an operator does, and gives what it said.
    pub fn terminate(mut self) -> String {
        let process = self.process.take().expect("it was not ended");
        // the shell's own: a bare Debian has no program of that name
        let killed = Command::new("sh").args(["-c", &format!("kill -TERM {}", process.id())]).status().unwrap();
        assert!(killed.success());
        let output = process.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }
}

/// The sum over all series that start so.
pub fn sum(exposition: &str, series: &str) -> f64 {
    let lines = exposition.lines().filter(|line| line.starts_with(series));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
