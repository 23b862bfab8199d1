//! What a piece of work takes: wall time, and cpu of the whole process, user and system (`/proc/self/stat`).

use std::{error::Error, fs, time::Instant};

/// Ticks of `/proc/self/stat` in a second, on every Linux.
const TICKS: f64 = 100.0;

/// What a variant took.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    pub cpu_s: f64,
    pub wall_s: f64,
}

impl Spent {
    pub const MOST: Self = Self { cpu_s: f64::MAX, wall_s: f64::MAX };

    /// The least of both, each for itself.
    pub fn least(&mut self, other: Self) {
        self.cpu_s = self.cpu_s.min(other.cpu_s);
        self.wall_s = self.wall_s.min(other.wall_s);
    }
}

pub fn spent(work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<Spent, Box<dyn Error>> {
    let (cpu, start) = (cpu_s()?, Instant::now());
    work()?;
    let wall_s = start.elapsed().as_secs_f64();
    Ok(Spent { cpu_s: cpu_s()? - cpu, wall_s })
}

pub fn cpu_s() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().ok_or("no stat")?;
    let fields: Vec<f64> = after_name.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    Ok((fields[11] + fields[12]) / TICKS)
}

/// The numbers among the arguments.
pub fn numbers() -> impl Iterator<Item = usize> {
    std::env::args().skip(1).filter_map(|argument| argument.parse().ok())
}
