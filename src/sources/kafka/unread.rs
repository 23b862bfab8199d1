//! What stands in the way of reading, though the brokers answer: a topic that may be listed to a user and not be read by him
//! (the right DESCRIBE without READ), a partition with records that the client cannot take apart.
//!
//! The client may tell either once. So a refusal stands until something is read, and a stuck partition until something of
//! it is: a record, or its end. A topic at rest gives neither by itself; the reader asks for its ends meanwhile.

use super::client::Health;
use dataflows::feed::Partition;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// librdkafka itself tries again after five seconds.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Unread {
    health: Health,
    refused: bool,
    /// Why, in librdkafka's words.
    stuck: BTreeMap<Partition, String>,
    /// When the ends were asked for last, or the trouble began.
    asked: Option<Instant>,
}

impl Unread {
    pub fn new(health: Health) -> Self {
        Self { health, refused: false, stuck: BTreeMap::new(), asked: None }
    }

    pub fn refused(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
        if !std::mem::replace(&mut self.refused, true) {
            self.health.may_read(false);
        }
    }

    pub fn stuck(&mut self, partition: Partition, reason: &str, now: Instant) {
        self.asked.get_or_insert(now);
        if self.stuck.insert(partition, reason.to_owned()).as_deref() != Some(reason) {
            self.tell();
        }
    }

    pub fn is_refused(&self) -> bool {
        self.refused
    }

    pub fn is_stuck(&self, partition: Partition) -> bool {
        self.stuck.contains_key(&partition)
    }

    /// Something was read of a partition. For each record: cheap.
    pub fn read(&mut self, partition: Partition) {
        if self.asked.is_none() {
            return;
        }
        if std::mem::take(&mut self.refused) {
            self.health.may_read(true);
        }
        if self.stuck.remove(&partition).is_some() {
            self.tell();
        }
        if self.stuck.is_empty() {
            self.asked = None;
        }
    }

    fn tell(&self) {
        let one =
            |(partition, reason): (&Partition, &String)| format!("partition {partition} cannot be read on: {reason}");
        self.health.cannot_read_on(self.stuck.iter().next().map(one));
    }

    /// Whether the ends are to be asked for now.
    pub fn wants_question(&mut self, now: Instant) -> bool {
        match &mut self.asked {
            Some(asked) if now.saturating_duration_since(*asked) >= ASK_EVERY => {
                *asked = now;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_and_is_asked_about_until_something_is_read() {
        let (health, start) = (Health::default(), Instant::now());
        let mut unread = Unread::new(health.clone());
        assert!(!unread.wants_question(start + ASK_EVERY));
        unread.refused(start);
        unread.refused(start + ASK_EVERY / 2);
        assert!(health.is_refused_to_read() && !unread.wants_question(start));
        assert!(unread.wants_question(start + ASK_EVERY), "each refusal more puts it off no further");
        assert!(!unread.wants_question(start + ASK_EVERY));
        health.is_well();
        assert!(health.is_refused_to_read(), "answers to other questions prove nothing");
        unread.read(0);
        assert!(!health.is_refused_to_read() && !unread.wants_question(start + ASK_EVERY * 3));
    }

    #[test]
    fn a_partition_is_stuck_and_asked_about_until_something_of_it_is_read() {
        let (health, start) = (Health::default(), Instant::now());
        let mut unread = Unread::new(health.clone());
        unread.stuck(3, "no such codec", start);
        unread.stuck(5, "a wrong checksum", start + ASK_EVERY / 2);
        unread.read(4);
        assert_eq!(health.cannot_be_read_on().as_deref(), Some("partition 3 cannot be read on: no such codec"));
        assert!(unread.wants_question(start + ASK_EVERY) && !unread.wants_question(start + ASK_EVERY));
        unread.read(3);
        assert_eq!(health.cannot_be_read_on().as_deref(), Some("partition 5 cannot be read on: a wrong checksum"));
        health.is_well();
        assert!(health.cannot_be_read_on().is_some(), "answers to questions prove nothing");
        assert!(unread.wants_question(start + ASK_EVERY * 2));
        unread.read(5);
        assert_eq!(health.cannot_be_read_on(), None);
        assert!(!unread.wants_question(start + ASK_EVERY * 3));
    }
}
