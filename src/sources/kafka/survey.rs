//! What Kafka has of the topic now, for whoever says from where to count: asked once, of a broker that must answer.

use super::{
    Offsets, SourceError,
    ask::{Asker, Trouble},
    client::{self, Health, Quiet},
};
use crate::config::Config;
use dataflows::time::Millis;
use rdkafka::Offset;
use std::{thread, time::Duration};

/// A broker may be busy electing leaders.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// A point in every partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The first record that Kafka still has.
    Earliest,
    /// Behind the last one.
    Latest,
    /// The first record that Kafka has taken in (or that bears, where producers stamp) this time or a later one.
    Time(Millis),
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// `None`: the broker tells none.
    pub topic_id: Option<String>,
    pub low: Offsets,
    pub high: Offsets,
    /// The point that was asked for.
    pub at: Offsets,
}

impl Survey {
    /// Records (with those that are no events) from the point on.
    #[must_use]
    pub fn records(&self) -> i64 {
        let behind = self.at.iter().filter_map(|(partition, at)| Some(self.high.get(partition)?.0 - at.0));
        behind.sum()
    }
}

/// Asks. Blocks for some seconds at most.
///
/// # Errors
/// [`SourceError`], the broker's silence and a topic that is not there included.
pub fn survey(config: &Config, point: Point) -> Result<Survey, SourceError> {
    let health = Health::default();
    let consumer = client::create(&client::consumer_settings(config), Quiet { health: health.clone() })?;
    let asker = Asker::new(consumer, client::settings(config), config, health);
    let mut tries = 1;
    loop {
        match ask(&asker, &config.topic, point) {
            Ok(survey) => return Ok(survey),
            Err(Trouble::Definite(error)) => return Err(error),
            Err(Trouble::Refused(reason)) if tries == TRIES => return Err(SourceError::Settings(reason)),
            Err(Trouble::Transient(_, reason)) if tries == TRIES => return Err(SourceError::Fatal(reason)),
            Err(Trouble::Transient(..) | Trouble::Refused(_)) => thread::sleep(PAUSE),
        }
        tries += 1;
    }
}

fn ask(asker: &Asker, topic: &str, point: Point) -> Result<Survey, Trouble> {
    let partitions = asker.partitions()?;
    asker.refuse_compacted(true)?;
    let topic_id = asker.topic_id()?;
    let low = asker.list(&partitions, Offset::Beginning)?;
    let high = asker.list(&partitions, Offset::End)?;
    if low.len().min(high.len()) < partitions.len() {
        return Err(Trouble::Transient("leader", format!("some partitions of {topic} have no leader")));
    }
    let at = match point {
        Point::Earliest => low.clone(),
        Point::Latest => high.clone(),
        Point::Time(time) => {
            let mut at = high.clone();
            // those that have nothing as late as that are not listed
            at.extend(asker.list(&partitions, Offset::Offset(time))?);
            at
        }
    };
    Ok(Survey { topic_id, low, high, at })
}
