//! The program itself as a process: started with flags, listened to, sent signals.
//!
//! What it says goes to files that a failed test keeps; the lines that tests wait for are handed on as they come.

use super::command;
use crate::kafka::leash::Leash;
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// A command that runs the program, or what `TORTURE_PROGRAM` names: a release, to be measured.
pub fn program(arguments: &[&str]) -> Command {
    std::env::var_os("TORTURE_PROGRAM")
        .map_or_else(|| command::program(arguments), |other| command::calling(other, arguments))
}

/// A command as a shell's script runs it: `"$0"` is the program, `"$@"` its arguments.
pub fn wrapped(script: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Which life of the program it is, and whether it is up: from when it listens until it is killed.
#[derive(Debug, Default)]
pub struct Uptime(Mutex<Times>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub life: u32,
    pub state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not listening yet.
    #[default]
    Starting,
    Up,
    /// It was told to end, or was killed or held.
    Down,
}

impl Uptime {
    pub fn now(&self) -> Times {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut Times)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn begin(&self) -> u32 {
        self.set(|times| *times = Times { life: times.life + 1, state: State::Starting });
        self.now().life
    }

    /// Before it is killed or held, so that a scrape that fails for that is not held against it.
    pub fn down(&self) {
        self.set(|times| times.state = State::Down);
    }

    /// It listens, unless that is old news.
    fn listens(&self, life: u32) {
        self.set(|times| {
            if *times == (Times { life, state: State::Starting }) {
                times.state = State::Up;
            }
        });
    }
}

const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// `pausing at WINDOW` on standard error, and when it was read.
type Pause = (Instant, String);

/// A running program; killed when dropped.
pub struct Running {
    child: Child,
    _leash: Leash,
    pub started: Instant,
    uptime: Arc<Uptime>,
    pauses: Receiver<Pause>,
    listeners: Vec<JoinHandle<()>>,
    /// Where what it says on standard error stands.
    said: String,
}

impl Running {
    /// Starts a life; what it says goes to `folder`, under `name`.
    pub fn start(mut command: Command, uptime: &Arc<Uptime>, folder: &Path, name: &str) -> Result<Self> {
        let life = uptime.begin();
        let path = |stream: &str| folder.join(format!("{name}-{life:03}.{stream}"));
        let (out, err) = (File::create(path("out"))?, File::create(path("err"))?);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().context("starting the program")?;
        let leash = Leash::on(child.id());
        let (tell, pauses) = channel();
        let stdout = child.stdout.take().context("its standard output")?;
        let stderr = child.stderr.take().context("its standard error")?;
        let listening = Arc::clone(uptime);
        let listeners = vec![
            each_line(stdout, out, move |line| {
                if line.contains(r#""msg":"serving""#) {
                    listening.listens(life);
                }
            }),
            each_line(stderr, err, move |line| pause(line, &tell)),
        ];
        let said = path("err").display().to_string();
        Ok(Self { child, _leash: leash, started, uptime: Arc::clone(uptime), pauses, listeners, said })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended by itself.
    pub fn must_live(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the program has ended by itself ({status}); see {}", self.said),
        }
    }

    /// Waits until it pauses in the window; whoever is told late may find it awake, so old news is passed over.
    pub fn wait_for_pause(&self, window: &str, fresh: Duration, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let pause = self.pauses.recv_timeout(left);
            let (at, found) = pause.with_context(|| format!("it does not pause at {window}; see {}", self.said))?;
            ensure!(found == window, "it pauses at {found} instead of {window}");
            if at.elapsed() < fresh {
                return Ok(());
            }
        }
    }

    /// SIGKILL; returns once it is dead.
    pub fn kill(mut self) -> Result<()> {
        self.end()
    }

    /// SIGTERM and the like, by name.
    pub fn signal(&self, name: &str) -> Result<()> {
        // the shell's own: a bare Debian has no program of that name
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status()?;
        ensure!(sent.success(), "the signal {name} was not sent");
        Ok(())
    }

    /// SIGSTOP; returns once all of its threads stand still.
    pub fn hold(&self) -> Result<()> {
        self.signal("STOP")?;
        let until = Instant::now() + STOPS_WITHIN;
        while !stands_still(self.id())? {
            ensure!(Instant::now() < until, "the program does not stand still");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits for it to end by itself.
    pub fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                self.uptime.down();
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the program does not end within {within:?}; see {}", self.said)
    }

    /// Ends it as an operator does: SIGTERM, exit code 0.
    pub fn terminate(mut self, within: Duration) -> Result<()> {
        self.uptime.down();
        self.signal("TERM")?;
        let status = self.ended(within)?;
        ensure!(status.success(), "after SIGTERM it ended with {status}; see {}", self.said);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.uptime.down();
        self.child.kill()?;
        self.child.wait()?;
        for listener in self.listeners.drain(..) {
            let _ = listener.join();
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.end();
    }
}

/// Whether all threads of a process are stopped.
fn stands_still(process: u32) -> Result<bool> {
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let stat = fs::read_to_string(thread?.path().join("stat"))?;
        // the name before the state may hold anything
        if !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T')) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn pause(line: &str, tell: &Sender<Pause>) {
    if let Some(window) = line.strip_prefix("pausing at ") {
        // nobody waits for a window any more
        let _ = tell.send((Instant::now(), window.to_owned()));
    }
}

/// Copies a stream to a file, and shows each line on the way.
fn each_line(
    stream: impl Read + Send + 'static,
    mut copy: File,
    mut show: impl FnMut(&str) + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            copy.write_all(&line).expect("the copy is written");
            show(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    })
}
