//! What one scraper may see over all lives of the program: the checks on every scrape.
//!
//! - No counter and no series of a histogram goes back, by label set, whichever life shows it.
//! - The committed epoch never goes back.
//! - Where dataflow series are shown, none is absent that was shown before; and a life that has shown them shows them
//!   until its end.
//! - One scrape is one moment (I3): a histogram's last bucket is its count, and none holds more.
//!
//! What counts for one process alone begins again with each life, and may not go back within it.

use super::exposition::Exposition;
use std::{collections::BTreeMap, fmt};

/// Beginnings of the names that count for one process. A new counter is taken to outlive it unless it stands here.
const OF_A_PROCESS: [&str; 5] = [
    "process_",
    "gocdnext_flow_records_total",
    "gocdnext_flow_checkpoint_bytes_total",
    "gocdnext_flow_commit_duration_seconds",
    "gocdnext_flow_scrape_duration_seconds",
];

/// What no scraper may see.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    SteppedBack { series: String, from: f64, to: f64 },
    Vanished { series: String },
    EpochWentBack { from: u64, to: u64 },
    Withdrawn,
    Torn { series: String, why: String },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SteppedBack { series, from, to } => write!(f, "{series} stepped back from {from} to {to}"),
            Self::Vanished { series } => write!(f, "{series} was shown before and is not there any more"),
            Self::EpochWentBack { from, to } => write!(f, "the committed epoch went back from {from} to {to}"),
            Self::Withdrawn => write!(f, "dataflow series were shown in this life and are not any more"),
            Self::Torn { series, why } => write!(f, "{series} is not of one moment: {why}"),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Checker {
    life: u32,
    /// The largest values seen, of series that may only grow.
    grown: BTreeMap<String, f64>,
    /// As those, for what counts for the process of this life.
    grown_here: BTreeMap<String, f64>,
    shown_here: bool,
    epoch: u64,
}

impl Checker {
    /// Looks at a scrape that a life has answered.
    pub fn look(&mut self, life: u32, exposition: &Exposition) -> Vec<Fault> {
        if self.life != life {
            (self.life, self.shown_here) = (life, false);
            self.grown_here.clear();
        }
        let mut faults = self.steps_back(exposition);
        faults.extend(self.absent(exposition));
        faults.extend(self.epoch(exposition));
        faults.extend(torn(exposition));
        faults
    }

    fn steps_back(&mut self, exposition: &Exposition) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (series, sample) in exposition.0.iter().filter(|(_, sample)| sample.accumulates()) {
            let here = OF_A_PROCESS.iter().any(|name| sample.family.starts_with(name));
            let grown = if here { &mut self.grown_here } else { &mut self.grown };
            let to = sample.value;
            match grown.get_mut(series) {
                Some(from) if to < *from => {
                    faults.push(Fault::SteppedBack { series: series.clone(), from: *from, to });
                }
                Some(value) => *value = to,
                None => drop(grown.insert(series.clone(), to)),
            }
        }
        faults
    }

    fn absent(&mut self, exposition: &Exposition) -> Vec<Fault> {
        if !exposition.shows_series() {
            return if self.shown_here { vec![Fault::Withdrawn] } else { Vec::new() };
        }
        self.shown_here = true;
        let absent = self.grown.keys().filter(|series| !exposition.0.contains_key(*series));
        absent.map(|series| Fault::Vanished { series: series.clone() }).collect()
    }

    fn epoch(&mut self, exposition: &Exposition) -> Option<Fault> {
        let to = exposition.epoch()?;
        let from = self.epoch;
        self.epoch = from.max(to);
        (to < from).then_some(Fault::EpochWentBack { from, to })
    }
}

/// Histograms whose parts are not of one moment.
fn torn(exposition: &Exposition) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (series, sample) in &exposition.0 {
        let Some((count, bound)) = count_of(&sample.family, series) else { continue };
        let all = exposition.value(&count);
        let fits = |all: f64| sample.value <= all && (bound != "+Inf" || sample.value >= all);
        if !all.is_some_and(fits) {
            let why = format!("it is {}, {count} is {all:?}", sample.value);
            faults.push(Fault::Torn { series: series.clone(), why });
        }
    }
    faults
}

/// The series that counts what is in all buckets, and the bucket's own bound, which stands last; `None`: no bucket.
fn count_of<'a>(family: &str, series: &'a str) -> Option<(String, &'a str)> {
    let labels = series.strip_prefix(family)?.strip_prefix("_bucket{")?;
    let (labels, bound) = labels.rsplit_once("le=\"")?;
    let labels = labels.trim_end_matches(',');
    let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    Some((format!("{family}_count{labels}"), bound.trim_end_matches("\"}")))
}
