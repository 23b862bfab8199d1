//! Memory by what is kept: resident bytes an open job and a remembered id (of ended jobs and runs, of deliveries).
//!
//! `cargo bench --bench memory [-- COUNT...]`: drives the machines directly, at 1 M and 10 M. Each figure comes from a
//! process of its own, so that none inherits another's heap: the growth of RSS (`/proc/self/statm`) over the count.

use dataflows::{
    event::{Delivery, DeliveryEvent, Kind, RunEvent, Status},
    machines::{Close, Closed, DeliveriesMachine, Machine, RunsMachine},
    names::NameId,
    settings::{Limits, Settings},
    state::Sweep,
    time::StreamTime,
};
use std::{error::Error, fs, process::Command, sync::Arc};

/// Things in one epoch: few, because what an epoch buffers is not what is measured.
const EPOCH: u64 = 10_000;
/// Bytes of a page, on every machine this is run on so far.
const PAGE_BYTES: u64 = 4_096;
const DAY_MS: i64 = 86_400_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [what, count] = arguments.as_slice()
        && let Some(case) = CASES.iter().find(|case| case.0 == what)
    {
        println!("{:.1}", measure(case.1, count.parse()?)?);
        return Ok(());
    }
    let counts: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let counts = if counts.is_empty() { vec![1_000_000, 10_000_000] } else { counts };
    println!("{:<44}{:>12}{:>14}", "bytes of RSS for each", "count", "bytes");
    for (name, _) in CASES {
        for count in &counts {
            let output = Command::new(std::env::current_exe()?).args([name, &count.to_string()]).output()?;
            let bytes = String::from_utf8(output.stdout)?;
            println!("{name:<44}{count:>12}{:>14}", bytes.trim());
        }
    }
    Ok(())
}

/// Fills machines with so many jobs or deliveries; gives them back, so that they live while RSS is read.
type Fill = fn(u64) -> Machines;

const CASES: [(&str, Fill); 4] = [
    ("open job, 5 a run (its run's share included)", |count| open_jobs(count, 5)),
    ("open job, 1 a run (its run included)", |count| open_jobs(count, 1)),
    ("remembered id, of ended jobs and runs", |count| ended_jobs(count, 5)),
    ("remembered id, of deliveries", deliveries),
];

enum Machines {
    Runs(Box<RunsMachine>),
    Deliveries(Box<DeliveriesMachine>),
}

impl Machines {
    /// The things that are kept.
    fn kept(&self) -> usize {
        match self {
            Self::Runs(runs) => {
                if runs.open_jobs() > 0 {
                    runs.open_jobs()
                } else {
                    runs.remembered()
                }
            }
            Self::Deliveries(deliveries) => deliveries.remembered(),
        }
    }
}

fn measure(fill: Fill, count: u64) -> Result<f64, Box<dyn Error>> {
    let before = rss_bytes()?;
    let machines = fill(count);
    let grown = rss_bytes()?.saturating_sub(before);
    Ok(grown as f64 / machines.kept() as f64)
}

fn rss_bytes() -> Result<u64, Box<dyn Error>> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).ok_or("no statm")?.parse()?;
    Ok(pages * PAGE_BYTES)
}

fn settings() -> Arc<Settings> {
    let limits = Limits {
        max_open_jobs: 100_000_000,
        max_open_runs: 100_000_000,
        max_remembered_ids: 1_000_000_000,
        ..Limits::default()
    };
    Arc::new(Settings { limits, job_results: false, ..Settings::default() })
}

/// Ids spread as random UUIDs are.
fn id(domain: u64, number: u64) -> u128 {
    let mix = |seed: u64| {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    u128::from(mix(number ^ (domain << 56))) << 64 | u128::from(mix(number.wrapping_add(domain << 48)))
}

fn event(kind: Kind, run: u64, job: Option<u64>, time: i64) -> RunEvent {
    RunEvent {
        kind,
        time,
        tie: 1,
        run: id(1, run),
        project: id(2, run % 1_000),
        pipeline: id(3, run % 10_000),
        job: job.map_or(0, |job| id(4, job)),
        agent: if kind == Kind::JobScheduled { id(5, run % 500) } else { 0 },
        trace: 0,
        attempt: u32::from(job.is_some()),
        slug: NameId(1),
        name: NameId(2),
        status: if kind == Kind::JobFinished || kind == Kind::RunFinished {
            Status::Success
        } else {
            Status::Unknown
        },
        dispatchable: true,
        exit_code: None,
    }
}

fn close(machine: &mut impl Machine, settings: &Settings, now: i64) {
    machine.close(Close { now: StreamTime(now), last: false, sweep: Sweep::default() }, &mut Closed::new(settings));
}

/// Jobs that were queued; every other one runs.
fn open_jobs(count: u64, jobs_per_run: u64) -> Machines {
    let settings = settings();
    let mut machine = RunsMachine::new(Arc::clone(&settings), 1);
    for job in 0..count {
        let (run, time) = (job / jobs_per_run, DAY_MS + i64::try_from(job / 10_000).unwrap_or(0));
        if job % jobs_per_run == 0 {
            machine.apply(&event(Kind::RunQueued, run, None, time));
            machine.apply(&event(Kind::RunStarted, run, None, time));
        }
        machine.apply(&event(Kind::JobQueued, run, Some(job), time));
        if job % 2 == 0 {
            machine.apply(&event(Kind::JobScheduled, run, Some(job), time + 1_000));
            machine.apply(&event(Kind::JobStarted, run, Some(job), time + 2_000));
        }
        if job % EPOCH == EPOCH - 1 {
            close(&mut machine, &settings, time);
        }
    }
    assert_eq!(u64::try_from(machine.open_jobs()).unwrap_or(0), count);
    Machines::Runs(Box::new(machine))
}

/// Jobs that ended, and whose runs did; the clock goes on until all of it is retired.
fn ended_jobs(count: u64, jobs_per_run: u64) -> Machines {
    let settings = settings();
    let mut machine = RunsMachine::new(Arc::clone(&settings), 1);
    let mut now = DAY_MS;
    for job in 0..count {
        let run = job / jobs_per_run;
        now = DAY_MS + i64::try_from(job).unwrap_or(0);
        if job % jobs_per_run == 0 {
            machine.apply(&event(Kind::RunQueued, run, None, now));
            machine.apply(&event(Kind::RunStarted, run, None, now));
        }
        for kind in [Kind::JobQueued, Kind::JobScheduled, Kind::JobStarted, Kind::JobFinished] {
            machine.apply(&event(kind, run, Some(job), now));
        }
        if job % jobs_per_run == jobs_per_run - 1 {
            machine.apply(&event(Kind::RunFinished, run, None, now));
        }
        if job % EPOCH == EPOCH - 1 {
            close(&mut machine, &settings, now);
        }
    }
    close(&mut machine, &settings, now + 2 * DAY_MS);
    assert_eq!(machine.open_jobs(), 0);
    let remembered = u64::try_from(machine.remembered()).unwrap_or(0);
    assert!(remembered >= count, "{remembered} are remembered");
    Machines::Runs(Box::new(machine))
}

fn deliveries(count: u64) -> Machines {
    let settings = settings();
    let mut machine = DeliveriesMachine::new(Arc::clone(&settings), 1);
    for number in 0..count {
        let time = DAY_MS + i64::try_from(number / 100).unwrap_or(0);
        let what = Delivery::Webhook { provider: 0, outcome: 0 };
        machine.apply(&DeliveryEvent { time, key: id(6, number), what });
        if number % EPOCH == EPOCH - 1 {
            close(&mut machine, &settings, time);
        }
    }
    assert_eq!(u64::try_from(machine.remembered()).unwrap_or(0), count);
    Machines::Deliveries(Box::new(machine))
}
