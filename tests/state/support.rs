//! State to try the verbs on, and ways to call and to spoil it.

use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::LazyLock,
};
use tempfile::TempDir;

pub fn flow() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gocdnext-flow"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GOCDNEXT_FLOW_") {
            command.env_remove(name);
        }
    }
    command
}

/// A demo that writes this state. Killed when dropped.
pub struct Demo(Child);

impl Demo {
    pub fn start(state: &Path) -> Self {
        let child = flow().args(["demo", "--listen", "127.0.0.1:0", "--state", &url(state)]).spawn();
        Self(child.unwrap())
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub fn terminate(mut self) {
        // the shell's own: a bare Debian has no program of that name
        let signalled = Command::new("sh").args(["-c", &format!("kill {}", self.0.id())]).status().unwrap();
        assert!(signalled.success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// State of a whole life of the demo.
static MADE: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let demo = Demo::start(&path);
    super::looking::wait_for_epochs(&path, 4);
    demo.terminate();
    (directory, path)
});

/// A copy of it, for one test.
pub struct Scratch {
    directory: TempDir,
    pub path: PathBuf,
}

impl Scratch {
    /// With state in it.
    pub fn new() -> Self {
        let scratch = Self::empty();
        fs::copy(&MADE.1, &scratch.path).unwrap();
        scratch
    }

    /// Without a state.
    pub fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy.db");
        Self { directory, path }
    }

    pub fn url(&self) -> String {
        url(&self.path)
    }

    /// Another path beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Changes it behind everybody's back.
    pub fn spoil(&self, sql: &'static str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = SqliteConnectOptions::new().filename(&self.path).connect().await.unwrap();
            let done = sqlx::query(sql).execute(&mut connection).await.unwrap();
            assert!(done.rows_affected() > 0, "{sql}");
        });
    }
}

/// What a call gave.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub out: String,
    pub error: String,
}

impl Told {
    /// The standard output of a success.
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Standard error of a failure with this code.
    pub fn failure(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.error.starts_with("error: ") && !self.error.contains("panicked"), "{self:?}");
        self.error
    }
}

/// Calls `state VERB` on a state.
pub fn state(arguments: &[&str], url: &str) -> Told {
    told(flow().arg("state").args(arguments).args(["--state", url]))
}

pub fn told(command: &mut Command) -> Told {
    let Output { status, stdout, stderr } = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Told { code: status.code(), out: text(stdout), error: text(stderr) }
}

/// `state show` as JSON.
pub fn shown(url: &str) -> serde_json::Value {
    serde_json::from_str(&state(&["show", "--format", "json"], url).success()).unwrap()
}
