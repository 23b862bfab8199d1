//! End to end, from a file: what the whole pipeline costs over decoding alone, and what a second worker gives.
//!
//! `cargo bench --bench replay [-- EVENTS ROUNDS]`: prints figures and their ratios from one run. Each round measures
//! every variant once, in turn, so that a busy machine troubles all alike; the least cpu and wall of the rounds counts. The
//! reader's thread is included.

mod support;

use dataflows::{
    decode::{Decoded, Decoder},
    names::Names,
    settings::Settings,
};
use gocdnext_flow::{
    config::Config,
    fleet::{Fleet, FleetOptions},
    sources::files::Files,
    wiring::{InputFormat, ReplayOptions, read_files},
};
use std::{
    error::Error,
    fs,
    io::{BufWriter, Write},
    path::Path,
};
use support::{Spent, numbers, spent};

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = numbers();
    let events = numbers.next().unwrap_or(1_000_000);
    let rounds = numbers.next().unwrap_or(5);
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("events.ndjson");
    let bytes = write_events(&path, events)?;
    println!("{events} events of {} bytes, {rounds} rounds\n", bytes / events);
    let options = options(&path);
    let mut least = [Spent::MOST; 4];
    for _ in 0..rounds {
        let round = [
            spent(|| read(&options, None))?,
            spent(|| read(&options, Some(Decoder::new(&Settings::default(), Names::new(1_000_000)))))?,
            spent(|| replay(&options, 1, events))?,
            spent(|| replay(&options, 2, events))?,
        ];
        least.iter_mut().zip(round).for_each(|(least, spent)| least.least(spent));
    }
    let names = ["read lines", "read and decode", "replay, 1 worker", "replay, 2 workers"];
    println!("{:<20}{:>10}{:>10}{:>16}", "", "cpu s", "wall s", "k events/s");
    for (name, spent) in names.iter().zip(&least) {
        let rate = events as f64 / spent.wall_s / 1_000.0;
        println!("{name:<20}{:>10.2}{:>10.2}{rate:>16.0}", spent.cpu_s, spent.wall_s);
    }
    let [_, decode, one, two] = least;
    println!("\ncpu, replay with 1 worker / decode alone:  {:.2}", one.cpu_s / decode.cpu_s);
    println!("cpu a worker, replay with 1 / with 2:      {:.2}", one.cpu_s / (two.cpu_s / 2.0));
    println!("speed, 2 workers / 1 (wall):               {:.2}", one.wall_s / two.wall_s);
    Ok(())
}

/// A fleet as large as it takes: jobs, runs, agents, webhooks and archives in the proportions of life.
fn write_events(path: &Path, events: usize) -> Result<usize, Box<dyn Error>> {
    let fleet = FleetOptions { tenants: 50, pipelines: 20, agents: 1_000, ..FleetOptions::default() };
    let mut file = BufWriter::new(fs::File::create(path)?);
    let mut bytes = 0;
    for record in Fleet::new(fleet).take(events) {
        file.write_all(&record.value)?;
        file.write_all(b"\n")?;
        bytes += record.value.len();
    }
    file.flush()?;
    Ok(bytes)
}

fn options(path: &Path) -> ReplayOptions {
    ReplayOptions {
        files: vec![path.to_owned()],
        format: InputFormat::Events,
        time_origin: None,
        metrics_out: None,
        dead_letters: None,
        log_jobs: false,
        state: None,
    }
}

/// On one thread: reads, and decodes where a decoder is given.
fn read(options: &ReplayOptions, mut decoder: Option<Decoder>) -> Result<(), Box<dyn Error>> {
    let (mut files, mut arena) = (Files::open(options)?, Vec::new());
    while let Some(step) = files.next(std::mem::take(&mut arena))? {
        if let Some(decoder) = &mut decoder {
            let mut decoded = Decoded::default();
            decoder.decode(&step.batch, &mut decoded);
            std::hint::black_box(&decoded);
        }
        std::hint::black_box(&step);
        arena = step.batch.bytes;
        arena.clear();
    }
    Ok(())
}

fn replay(options: &ReplayOptions, workers: usize, events: usize) -> Result<(), Box<dyn Error>> {
    let replayed = read_files(Config { workers, ..Config::default() }, options)?;
    let read = usize::try_from(replayed.summary.events)?;
    if read == events { Ok(()) } else { Err(format!("{read} of {events} events were read").into()) }
}
