//! A real PostgreSQL: a server of one's own in a temporary directory, on a random port, ended when dropped, and also when
//! the test program is killed.
//!
//! Needs its programs, on the PATH or where Debian puts them (`apt install postgresql`). Without them a test says SKIPPED
//! on standard error and passes. The server refuses to run as root: then another user runs it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs::{self, File},
    io::Write,
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// `log_lines` as gocdnext makes it, and a partition for what has no month.
pub const LOG_LINES: &str = "CREATE TABLE job_runs (id UUID PRIMARY KEY); \
    CREATE TABLE log_lines (job_run_id UUID NOT NULL REFERENCES job_runs (id) ON DELETE CASCADE, seq BIGINT NOT NULL, \
    stream TEXT NOT NULL, at TIMESTAMPTZ NOT NULL, text TEXT NOT NULL, PRIMARY KEY (job_run_id, seq, at)) \
    PARTITION BY RANGE (at); \
    CREATE INDEX log_lines_job_seq ON log_lines (job_run_id, seq); \
    CREATE TABLE log_lines_default PARTITION OF log_lines DEFAULT";

/// Starting takes a second, on a busy machine many.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "right";
/// Nothing is slow to be noticed, and room is found again at once.
const SETTINGS: [(&str, &str); 9] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("max_connections", "60"),
    ("shared_buffers", "16MB"),
    ("max_wal_size", "64MB"),
    ("min_wal_size", "32MB"),
    ("autovacuum_naptime", "1s"),
    ("autovacuum_vacuum_cost_delay", "0"),
    ("log_min_messages", "warning"),
];

pub struct Server {
    dir: TempDir,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    port: u16,
    settings: Vec<(&'static str, &'static str)>,
    child: Option<Child>,
    watcher: Child,
    databases: AtomicU32,
}

/// The server that the tests of a program share which do not disturb it; each has a database of its own. `None`: SKIPPED.
pub fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    if programs().is_none() {
        skipped();
    }
    SHARED.get_or_init(|| programs().map(|programs| Server::of(programs, &[("fsync", "off")], None))).as_ref()
}

impl Server {
    /// A server of one's own. `None`: SKIPPED.
    pub fn start(settings: &[(&'static str, &'static str)]) -> Option<Self> {
        let programs = programs();
        if programs.is_none() {
            skipped();
        }
        programs.map(|programs| Self::of(programs, settings, None))
    }

    /// A server of one's own that takes connections by TLS only, with `server.crt` and `server.key` of a folder.
    /// `None`: SKIPPED.
    pub fn start_secured(certificates: &Path) -> Option<Self> {
        let programs = programs();
        if programs.is_none() {
            skipped();
        }
        programs.map(|programs| Self::of(programs, &[("fsync", "off"), ("ssl", "on")], Some(certificates)))
    }

    fn of(programs: PathBuf, settings: &[(&'static str, &'static str)], certificates: Option<&Path>) -> Self {
        let dir = tempfile::Builder::new().prefix("pg").tempdir().expect("a directory");
        let user = unprivileged();
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).expect("the directory is given away");
        }
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address").port();
        let settings = SETTINGS.iter().chain(settings).copied().collect();
        let (watcher, databases) = (watcher(dir.path()), AtomicU32::new(0));
        let mut server = Self { dir, programs, user, port, settings, child: None, watcher, databases };
        let password = server.dir.path().join("password");
        fs::write(&password, PASSWORD).expect("the password is written");
        let mut made = server.command("initdb");
        made.args(["--username=flow", "--auth=scram-sha-256", "--encoding=UTF8"]);
        made.args(["--locale=C", "--no-sync", "--pgdata=data"]).arg(format!("--pwfile={}", password.display()));
        assert!(made.status().expect("initdb runs").success(), "no cluster is made: {}", server.log());
        if let Some(certificates) = certificates {
            server.secure(certificates);
        }
        server.restart();
        server
    }

    /// Puts the files where the server looks for them; it wants its key to be its own.
    fn secure(&self, certificates: &Path) {
        let data = self.dir.path().join("data");
        for name in ["server.crt", "server.key"] {
            let file = data.join(name);
            fs::copy(certificates.join(name), &file).expect("it is copied");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode is set");
            if let Some((uid, gid)) = self.user {
                chown(&file, Some(uid), Some(gid)).expect("it is given away");
            }
        }
        fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n").expect("it is written");
    }

    /// A command of PostgreSQL's, in the directory, as the user who may run it.
    fn command(&self, program: &str) -> Command {
        let log = File::options().create(true).append(true).open(self.dir.path().join("log")).expect("a log");
        let mut command = Command::new(self.programs.join(program));
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log);
        command
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Starts it again with the same data and the same port.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let begun = Instant::now();
        loop {
            let mut command = self.command("postgres");
            command.args(["-D", "data", "-p", &self.port.to_string()]);
            for (name, value) in &self.settings {
                command.arg("-c").arg(format!("{name}={value}"));
            }
            self.child = Some(command.spawn().expect("postgres runs"));
            if self.answers() {
                return;
            }
            // what a killed server has left behind may be in use for a moment
            sleep(Duration::from_millis(100));
            assert!(begun.elapsed() < PATIENCE, "it does not start: {}", self.log());
        }
    }

    /// Waits for its first answer; false: it has ended.
    fn answers(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.as_mut().is_none_or(|child| child.try_wait().expect("its status").is_some()) {
                self.child = None;
                return false;
            }
            if self.ask("postgres", "SELECT 1").status.success() {
                return true;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("it does not answer: {}", self.log());
    }

    /// As its operator would: open connections are ended with an error.
    pub fn stop(&mut self) {
        self.end("fast");
    }

    fn end(&mut self, mode: &str) {
        if let Some(mut child) = self.child.take() {
            let stopped = self.command("pg_ctl").args(["stop", "-D", "data", "-w", "-m", mode]).status();
            if !stopped.is_ok_and(|status| status.success()) {
                let _ = child.kill();
            }
            child.wait().expect("it has ended");
        }
    }

    /// SIGKILL, to all of its processes.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let workers = workers(child.id());
            child.kill().expect("it can be killed");
            signal("KILL", &workers);
            child.wait().expect("it has ended");
        }
    }

    /// SIGSTOP: it holds its connections and does nothing.
    pub fn pause(&self) {
        signal("STOP", &self.processes());
    }

    pub fn resume(&self) {
        signal("CONT", &self.processes());
    }

    fn processes(&self) -> Vec<u32> {
        let child = self.child.as_ref().expect("it runs").id();
        workers(child).into_iter().chain([child]).collect()
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        self.url_as("flow", PASSWORD, database)
    }

    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database and gives its name.
    pub fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Runs statements as the superuser; the fields of the last one's rows.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.ask(database, sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn ask(&self, database: &str, sql: &str) -> Output {
        let mut psql = self.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "flow", "-d", database]);
        psql.args(["-p", &self.port.to_string(), "-c", sql]);
        // it looks for a user's own certificate in a home that may not be its own
        psql.env("PGPASSWORD", PASSWORD)
            .env("HOME", self.dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .expect("psql runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            // a stopped process obeys nothing else
            self.resume();
        }
        self.end("immediate");
        drop(self.watcher.stdin.take());
        // it has nothing left to do
        let _ = self.watcher.wait();
    }
}

/// Ends the server and removes its directory once this process is gone, however it went.
fn watcher(dir: &Path) -> Child {
    const SCRIPT: &str = r#"
        trap '' HUP INT TERM
        read -r _
        pid=$(head -n 1 data/postmaster.pid 2>/dev/null)
        if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$PWD/data" ]; then
            kill -QUIT "$pid"
            kill -CONT "$pid"
            while [ -e "/proc/$pid/cwd" ]; do sleep 0.1; done
        fi
        rm -rf "$PWD""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", SCRIPT]).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().expect("sh runs")
}

/// The processes that a process has started.
fn workers(parent: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// By the shell's own `kill`; a process that is gone already is no matter.
fn signal(name: &str, processes: &[u32]) {
    for process in processes {
        let mut kill = Command::new("sh");
        kill.args(["-c", &format!("kill -{name} {process}")]).stderr(Stdio::null());
        kill.status().expect("sh runs");
    }
}

/// Where the newest version's programs are.
fn programs() -> Option<PathBuf> {
    let version = |dir: &Path| dir.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    let mut dirs: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    dirs.sort_by_key(|dir| version(dir));
    let path = std::env::var_os("PATH").unwrap_or_default();
    // those on the PATH are the user's own choice
    std::env::split_paths(&path)
        .chain(dirs.into_iter().rev())
        .find(|dir| ["initdb", "postgres", "pg_ctl", "psql"].iter().all(|program| dir.join(program).exists()))
}

/// A test that shows nothing must say so: past the capture of test output.
fn skipped() {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("SKIPPED {test}: there is no `initdb`; Debian: apt install postgresql\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
}

/// User and group to run the server as, when this is root.
fn unprivileged() -> Option<(u32, u32)> {
    let us = fs::metadata("/proc/self").expect("our own process");
    if std::os::unix::fs::MetadataExt::uid(&us) != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the users");
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let ids: Vec<u32> = line.split(':').skip(2).take(2).filter_map(|id| id.parse().ok()).collect();
        Some((*ids.first()?, *ids.get(1)?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("a user `postgres` or `nobody`"))
}
