//! Whether the brokers let the topic be read: they may list one to a user whom they do not let read it (the right DESCRIBE
//! without READ), and then nothing ever comes.
//!
//! The client tells a refusal once. So it stands until something is read: a record, or the end of a partition. A topic
//! at rest gives neither by itself; the reader asks for its ends as long as a refusal stands.

use super::client::Health;
use std::time::{Duration, Instant};

/// librdkafka itself tries again after five seconds.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Rights {
    health: Health,
    /// When it was asked last, if a refusal stands.
    refused: Option<Instant>,
}

impl Rights {
    pub fn new(health: Health) -> Self {
        Self { health, refused: None }
    }

    pub fn refused(&mut self, now: Instant) {
        if self.refused.is_none() {
            self.refused = Some(now);
            self.health.may_read(false);
        }
    }

    /// Something was read. For each record: cheap.
    pub fn granted(&mut self) {
        if self.refused.take().is_some() {
            self.health.may_read(true);
        }
    }

    /// Whether the ends are to be asked for now.
    pub fn wants_question(&mut self, now: Instant) -> bool {
        match &mut self.refused {
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
        let mut rights = Rights::new(health.clone());
        assert!(!rights.wants_question(start + ASK_EVERY));
        rights.refused(start);
        rights.refused(start + ASK_EVERY / 2);
        assert!(health.is_refused_to_read() && !rights.wants_question(start));
        assert!(rights.wants_question(start + ASK_EVERY), "each refusal more puts it off no further");
        assert!(!rights.wants_question(start + ASK_EVERY));
        health.is_well();
        assert!(health.is_refused_to_read(), "answers to other questions prove nothing");
        rights.granted();
        assert!(!health.is_refused_to_read() && !rights.wants_question(start + ASK_EVERY * 3));
    }
}
