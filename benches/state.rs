//! What durable state costs, over SQLite: a restart with many open jobs, and checkpoints beside the same work without them.
//!
//! `cargo bench --bench state [-- OPEN_JOBS ROUNDS]`. The state of the restart is as it lies after a while: all jobs are
//! opened, then half as many events change it, so that the log holds changes, sweeps that are whole and one under way.
//! Checkpoints are measured twice: one for each second of a load that keeps the workers just busy and changes 200,000 jobs
//! a second, and flat out with nothing but changes, where one comes as soon as 200,000 jobs have changed.

mod support;

use dataflows::{graph, names::Names, sequencer::Clock, settings::Settings, time::Epoch};
use gocdnext_flow::{
    config::Config,
    published::Published,
    store::StateUrl,
    wiring::{Durable, InputFormat, ReplayOptions, read_files},
};
use std::{
    error::Error,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use support::{Spent, numbers, spent};
use tokio::runtime::Runtime;

/// 2025-01-06T00:00:00Z
const START_MS: i64 = 1_736_121_600_000;
/// Jobs whose state changes in a second of event time.
const CHANGES_A_SECOND: u64 = 200_000;
const JOBS_A_RUN: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = numbers();
    let jobs = numbers.next().unwrap_or(1_000_000) as u64;
    let rounds = numbers.next().unwrap_or(5);
    let directory = tempfile::tempdir()?;
    recovery(directory.path(), jobs, rounds)?;
    steady(directory.path(), rounds)?;
    flat_out(directory.path(), rounds)
}

/// Writes job events, one a line, each a change of another job.
struct Script {
    out: BufWriter<File>,
    events: u64,
}

impl Script {
    fn new(path: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(Self { out: BufWriter::new(File::create(path)?), events: 0 })
    }

    fn event(&mut self, kind: &str, job: u64, more: &str) -> Result<(), Box<dyn Error>> {
        let at = START_MS + i64::try_from(self.events * 1_000 / CHANGES_A_SECOND)?;
        let (time, run, event) = (jiff::Timestamp::from_millisecond(at)?, job / JOBS_A_RUN, self.events);
        self.events += 1;
        Ok(writeln!(
            self.out,
            r#"{{"specversion":"1.0","id":"{event}","source":"/bench","type":"io.gocdnext.job.{kind}","time":"{time:.3}","datacontenttype":"application/json","data":{{"project_id":"5b0c1f0e-7f64-4c57-9f0a-5d0a3c6a1b01","pipeline_id":"8a3f2d54-0b7e-4a0e-8a51-0d6c9e3f7c02","pipeline":"web","run_id":"{run:08x}-3f49-4e7b-b6a5-2e9f1d4c8a03","job_id":"{job:08x}-6a52-4f1d-9c38-7b5e2a1f0d04","job":"test","stage":"test","attempt":1,"agent_id":"e2f5c8d1-9b73-4026-8d4f-1c6a3b7e5f05"{more}}}}}"#
        )?)
    }

    fn opened(&mut self, job: u64) -> Result<(), Box<dyn Error>> {
        self.event("scheduled", job, "")
    }

    fn ended(&mut self, job: u64) -> Result<(), Box<dyn Error>> {
        self.event("finished", job, r#","status":"success","exit_code":0"#)
    }
}

fn options(file: PathBuf, state: Option<StateUrl>) -> ReplayOptions {
    ReplayOptions {
        files: vec![file],
        format: InputFormat::Events,
        time_origin: None,
        metrics_out: None,
        dead_letters: None,
        log_jobs: false,
        state,
    }
}

fn recovery(directory: &Path, jobs: u64, rounds: usize) -> Result<(), Box<dyn Error>> {
    let (log, database) = (directory.join("recovery.ndjson"), directory.join("recovery.db"));
    let mut script = Script::new(&log)?;
    (0..jobs).try_for_each(|job| script.opened(job))?;
    for job in 0..jobs / 4 {
        script.ended(job * 4)?;
        script.opened(jobs + job)?;
    }
    script.out.flush()?;
    let url = StateUrl::sqlite(&database);
    let config = Config { epoch_records: 20_000, ..Config::default() };
    read_files(config.clone(), &options(log.clone(), Some(url.clone())))?;
    fs::remove_file(log)?;
    println!("restart with {jobs} open jobs, {:.0} MB of SQLite", megabytes(&database)?);
    for workers in [1, 2] {
        let mut least = Spent::MOST;
        for _ in 0..rounds {
            least.least(restart(&url, &Config { workers, ..config.clone() })?);
        }
        println!("  {workers} workers:  {:.2} s, {:.2} s of cpu", least.wall_s, least.cpu_s);
    }
    Ok(())
}

fn megabytes(file: &Path) -> Result<f64, Box<dyn Error>> {
    Ok(fs::metadata(file)?.len() as f64 / 1e6)
}

/// From the URL to workers that could go on.
fn restart(url: &StateUrl, config: &Config) -> Result<Spent, Box<dyn Error>> {
    let runtime = Runtime::new()?;
    let mut kept = None;
    let spent = spent(|| {
        let names = Names::new(config.dataflow.limits.max_names);
        let published = Published::new(names.clone());
        let (held, durable) = runtime.block_on(Durable::acquire(url, config, "", &published))?;
        let settings = Arc::new(Settings { job_results: true, ..config.dataflow.clone() });
        let graph = graph::Config {
            settings: Arc::clone(&settings),
            workers: config.workers,
            clock: Clock::Log,
            names,
            first_epoch: Epoch(durable.manifest.epoch + 1),
            sweep: None,
        };
        kept = Some((durable.resume(graph, &settings)?, held));
        Ok(())
    })?;
    if let Some(((running, _), held)) = kept {
        drop(running.feeder);
        running.workers.join()?;
        runtime.block_on(held.release())?;
    }
    Ok(spent)
}

/// Seconds of the logs in which checkpoints are measured.
const SECONDS: u64 = 10;
/// So often each event of a steady load comes, for each worker: about a million events a second, which keep one busy.
const TIMES: u64 = 3;

/// Whole lives of jobs: those of a second are queued, scheduled and started in it, and end in the next but one. Each event
/// comes several times: senders that deliver at least once do so.
fn steady(directory: &Path, rounds: usize) -> Result<(), Box<dyn Error>> {
    let log = directory.join("steady.ndjson");
    for workers in [1, 2] {
        let events = lives(&log, TIMES * workers as u64)?;
        println!(
            "\n{events} events in {SECONDS} s, in each of which {CHANGES_A_SECOND} jobs change, a checkpoint for each:"
        );
        compare(workers, replayed(directory, &log, &config(workers, events / SECONDS), rounds)?);
    }
    Ok(fs::remove_file(log)?)
}

/// The number of events.
fn lives(path: &Path, times: u64) -> Result<u64, Box<dyn Error>> {
    let (mut script, a_second) = (Script::new(path)?, CHANGES_A_SECOND / 2);
    for second in 0..SECONDS {
        for job in second * a_second..(second + 1) * a_second {
            for _ in 0..times {
                ["queued", "scheduled", "started"].iter().try_for_each(|kind| script.event(kind, job, ""))?;
            }
            if let Some(older) = job.checked_sub(2 * a_second) {
                (0..times).try_for_each(|_| script.ended(older))?;
            }
        }
    }
    script.out.flush()?;
    Ok(script.events)
}

/// One event a change, and a checkpoint as soon as so many jobs have changed.
fn flat_out(directory: &Path, rounds: usize) -> Result<(), Box<dyn Error>> {
    let log = directory.join("flat-out.ndjson");
    let mut script = Script::new(&log)?;
    for job in 0..CHANGES_A_SECOND * SECONDS / 2 {
        script.opened(job)?;
        if let Some(older) = job.checked_sub(CHANGES_A_SECOND) {
            script.ended(older)?;
        }
    }
    script.out.flush()?;
    println!("\n{} changes of jobs and nothing else, a checkpoint after every {CHANGES_A_SECOND}:", script.events);
    for workers in [1, 2] {
        compare(workers, replayed(directory, &log, &config(workers, CHANGES_A_SECOND), rounds)?);
    }
    Ok(())
}

fn config(workers: usize, epoch_records: u64) -> Config {
    Config { workers, epoch_records, ..Config::default() }
}

/// Without state and with it, in turn.
fn replayed(directory: &Path, log: &Path, config: &Config, rounds: usize) -> Result<[Spent; 2], Box<dyn Error>> {
    let database = directory.join("checkpoints.db");
    let mut least = [Spent::MOST; 2];
    for _ in 0..rounds {
        for (least, state) in least.iter_mut().zip([None, Some(StateUrl::sqlite(&database))]) {
            let options = options(log.to_owned(), state);
            least.least(spent(|| Ok(read_files(config.clone(), &options).map(drop)?))?);
        }
        fs::remove_file(&database)?;
    }
    Ok(least)
}

fn compare(workers: usize, [without, with]: [Spent; 2]) {
    println!("  {workers} workers, without: {:.2} s, {:.2} s of cpu", without.wall_s, without.cpu_s);
    println!("  {workers} workers, with:    {:.2} s, {:.2} s of cpu", with.wall_s, with.cpu_s);
    println!("  throughput with / without: {:.3}", without.wall_s / with.wall_s);
}
