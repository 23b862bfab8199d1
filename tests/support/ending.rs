//! How a test under load ends: the log is closed, read to its end, and every series compared with the reference.

use super::{
    exposition::Exposition,
    letters::letters,
    log,
    reference::{compared, differences, reference},
    sender::{Sender, Topic},
};
use anyhow::{Result, bail, ensure};
use std::{
    path::Path,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

/// What is left of the log is read within this; it is a burst of some seconds at most.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// Epochs are numbered by ms. The first after the last record closes the log; the others must change nothing.
const EPOCHS_AFTER_MS: u64 = 500;

/// What was found at the end.
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    pub records: u64,
    /// Series that are as the reference has them, which all are.
    pub series: usize,
    pub letters: usize,
    pub letters_again: u64,
}

/// Ends the log and compares what is then shown; `shown` gives the newest scrape, or fails if any was wrong.
pub fn end(sender: Sender, folder: &Path, mut shown: impl FnMut() -> Result<Arc<Exposition>>) -> Result<Finding> {
    let (topic, flow) = (sender.topic().clone(), sender.flow());
    let sent = sender.finish()?;
    let log = folder.join("log.ndjson.gz");
    let records = log::write(&topic, &log)?;
    ensure!(records >= sent, "{sent} records were sent to {}, which has {records}", topic.name);
    let expected = reference(&log, flow)?;
    let all = counted(&expected);
    let read = until("all is read", &mut shown, |shown| {
        shown.sum("gocdnext_flow_kafka_lag_records") == Some(0.0) && counted(shown) >= all
    })?;
    let after = read.epoch().map(|epoch| epoch + EPOCHS_AFTER_MS);
    let found = until("epochs after the last record", &mut shown, |shown| shown.epoch() >= after)?;
    let differing = differences(&found, &expected);
    ensure!(differing.is_empty(), "{} series differ:\n  {}", differing.len(), differing.join("\n  "));

    let letters = letters(&dead_letters(&topic))?;
    let rejected = expected.sum("gocdnext_flow_rejected_total");
    let origins = letters.origins.len();
    let same = rejected == Some(origins as f64);
    ensure!(same, "I5: {rejected:?} records were rejected, {origins} are dead letters");
    Ok(Finding { records, series: compared(&expected), letters: origins, letters_again: letters.again })
}

/// The topic for a topic's dead letters.
pub fn dead_letters(topic: &Topic) -> Topic {
    Topic { name: format!("{}.dead-letters", topic.name), brokers: topic.brokers.clone() }
}

/// Records that were read and committed; `None` while nothing is shown.
pub fn counted(exposition: &Exposition) -> Option<f64> {
    Some(exposition.sum("gocdnext_flow_events_total")? + exposition.sum("gocdnext_flow_rejected_total")?)
}

fn until(
    what: &str,
    shown: &mut impl FnMut() -> Result<Arc<Exposition>>,
    found: impl Fn(&Exposition) -> bool,
) -> Result<Arc<Exposition>> {
    let begun = Instant::now();
    loop {
        let newest = shown()?;
        if found(&newest) {
            return Ok(newest);
        }
        if begun.elapsed() > READ_WITHIN {
            let (lag, counted) = (newest.sum("gocdnext_flow_kafka_lag_records"), counted(&newest));
            bail!(
                "in vain for {READ_WITHIN:?}: {what}; records counted {counted:?}, lag {lag:?}, epoch {:?}",
                newest.epoch()
            );
        }
        sleep(Duration::from_millis(20));
    }
}
