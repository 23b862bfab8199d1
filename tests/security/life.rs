//! The real program with settings in its environment, listened to until it is dropped.

use crate::{
    kafka::{eventually, leash::Leash},
    support::{http, program::program},
};
use std::{
    fs::{self, File},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

pub struct Life {
    child: Child,
    _leash: Leash,
    address: SocketAddr,
    folder: TempDir,
}

/// Settings as variables of the environment: `kafka.sasl.password` and the like.
pub fn with(mut command: Command, settings: &[(&str, &str)]) -> Command {
    for (name, value) in settings {
        let name = name.replace(['.', '-'], "_").to_ascii_uppercase();
        command.env(format!("GOCDNEXT_FLOW_{name}"), value);
    }
    command
}

impl Life {
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = http::free_address();
        let mut command = with(program(&["run", "--listen", &address.to_string()]), settings);
        command.current_dir(folder.path());
        let file = |name| File::create(folder.path().join(name)).unwrap();
        command.stdout(file("out")).stderr(file("err")).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        let leash = Leash::on(child.id());
        Self { child, _leash: leash, address, folder }
    }

    /// Both streams, so far.
    pub fn said(&self) -> String {
        ["out", "err"].map(|name| fs::read_to_string(self.folder.path().join(name)).unwrap()).concat()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Status and body; `None`: it does not answer.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        http::get(self.address, path, ANSWER_WITHIN).ok()
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("it ends", || child.try_wait().unwrap())
    }

    /// Fails if it has ended by itself.
    pub fn must_live(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("it has ended ({status}): {}", self.said());
        }
    }

    /// Waits until `/readyz` says this of a check; nothing: that it is well.
    pub fn check(&mut self, name: &str, says: &str) -> String {
        eventually(&format!("/readyz, {name}: {says:?}"), || {
            self.must_live();
            let (_, body) = self.get("/readyz")?;
            let answer: serde_json::Value = serde_json::from_str(&body).ok()?;
            let error = answer["checks"][name]["error"].as_str().unwrap_or_default();
            (error.contains(says) && error.is_empty() == says.is_empty()).then(|| error.to_owned())
        })
    }

    /// Waits for a line of `/metrics`.
    pub fn shows(&mut self, line: &str) {
        let mut last = String::new();
        for _ in 0..600 {
            self.must_live();
            last = self.get("/metrics").map(|(_, body)| body).unwrap_or_default();
            if last.lines().any(|shown| shown == line) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("in vain: {line}; {}\n{last}", self.said());
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
