//! One run over all partitions: those that are missing are made, those that may go are dropped, a few at a time, and of
//! each of the others it is said why it stays.
//!
//! A run keeps nothing: what it decides rests on what the two databases say at that moment, so one that was killed is
//! simply run again. A drop of which nobody knows whether it was committed is looked up in the drop ledger.

use super::{
    RetentionError,
    examine::{Examined, at_a_glance, examine},
    ledger::Ledger,
};
use crate::config::Config;
use crate::logs::{Drop, Ensured, Found, Lock, LogDatabase, LogsError};
use dataflows::{
    event::Id,
    retention::{Kind, Obstacle, Partition, Subject, decision, month::Month, partitions::missing},
    time::Millis,
};
use std::time::Duration;

/// How a run is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Nothing is changed: it says what would be done.
    pub dry_run: bool,
    /// No more partitions are dropped in one run.
    pub max_drops: usize,
    /// So many months beyond the current one have a partition.
    pub months_ahead: usize,
    /// So often is a lock tried for, or a database that does not do its work.
    pub tries: u32,
    /// Between two tries, the first time; later twice as much each time, and a random part of it.
    pub pause: Duration,
    /// A partition is kept from its writers no longer; also so long may reading it without locks take.
    pub hold: Duration,
}

impl Default for Order {
    fn default() -> Self {
        let (pause, hold) = (Duration::from_millis(250), Duration::from_secs(60));
        Self { dry_run: false, max_drops: 3, months_ahead: 3, tries: 5, pause, hold }
    }
}

impl Order {
    /// By the settings.
    #[must_use]
    pub fn of(config: &Config, dry_run: bool) -> Self {
        let max_drops = usize::try_from(config.max_drops).unwrap_or(usize::MAX);
        Self { dry_run, max_drops, months_ahead: config.dataflow.retention.months_ahead, ..Self::default() }
    }
}

/// What was done, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// By the log database's clock, at its beginning.
    pub now: Millis,
    pub ensured: Vec<(Partition, Outcome)>,
    /// In order of their bounds.
    pub partitions: Vec<(Partition, Outcome)>,
}

/// What became of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there now.
    Ensured,
    /// A dry run: it would be made.
    WouldEnsure,
    /// It can only be made, or dropped, after somebody has done something about it.
    Refused {
        why: String,
    },
    /// Not old enough; see [`Examined::Young`].
    Young {
        due: Option<Millis>,
    },
    Blocked(Obstacle),
    Dropped(Drop),
    /// A dry run: it would be dropped.
    WouldDrop {
        found: Found,
        decision: Id,
    },
    /// It may go, and has to wait for the next run: this one has dropped as many as it may.
    Next {
        found: Found,
    },
    /// One of this name was dropped before, and somebody has put it back. Who did that takes it away.
    Back(Drop),
    /// It is there no more, and no executor dropped it.
    Gone,
    /// Nothing came of it this time.
    Busy {
        why: String,
    },
}

/// The id of the decision to drop a partition.
#[must_use]
pub fn drop_id(name: &str) -> Id {
    decision::id(Kind::DropPartition, &Subject::Partition(name.to_owned()))
}

/// See the module.
pub async fn run(logs: &LogDatabase, ledger: &impl Ledger, order: &Order) -> Result<Report, RetentionError> {
    let catalogue = logs.catalogue().await?;
    let run = Run { logs, ledger, order };
    let mut ensured = Vec::new();
    for month in missing(&catalogue, order.months_ahead) {
        ensured.push((month.partition(), run.ensure(month).await?));
    }
    let mut partitions = Vec::new();
    let mut left = order.max_drops;
    for partition in catalogue.partitions {
        let outcome = run.partition(&partition, catalogue.now, left).await?;
        left -= usize::from(matches!(outcome, Outcome::Dropped(_) | Outcome::WouldDrop { .. }));
        partitions.push((partition, outcome));
    }
    Ok(Report { now: catalogue.now, ensured, partitions })
}

/// What a dry run says of one partition, without reading the others; `None`: there is none of that name.
pub async fn look_at(
    logs: &LogDatabase,
    ledger: &impl Ledger,
    name: &str,
) -> Result<Option<(Partition, Outcome)>, RetentionError> {
    let catalogue = logs.catalogue().await?;
    let Some(partition) = catalogue.partitions.into_iter().find(|partition| partition.name == name) else {
        return Ok(None);
    };
    let order = Order { dry_run: true, ..Order::default() };
    let outcome = Run { logs, ledger, order: &order }.partition(&partition, catalogue.now, 1).await?;
    Ok(Some((partition, outcome)))
}

struct Run<'a, L> {
    logs: &'a LogDatabase,
    ledger: &'a L,
    order: &'a Order,
}

impl<L: Ledger> Run<'_, L> {
    async fn ensure(&self, month: Month) -> Result<Outcome, RetentionError> {
        if self.order.dry_run {
            return Ok(Outcome::WouldEnsure);
        }
        let mut pauses = Pauses::new(self.order);
        loop {
            let why = match self.logs.ensure(month).await {
                Ok(Ensured::Made | Ensured::There) => return Ok(Outcome::Ensured),
                Ok(Ensured::Refused { why }) => return Ok(Outcome::Refused { why }),
                Err(LogsError::Transient { reason }) => reason,
                Err(error) => return Err(error.into()),
            };
            if !pauses.next().await {
                return Ok(Outcome::Busy { why });
            }
        }
    }

    async fn partition(&self, partition: &Partition, now: Millis, left: usize) -> Result<Outcome, RetentionError> {
        // most are young: their lines are not read
        let standing = self.ledger.standing().await?;
        if let Some(examined) = at_a_glance(partition, &standing, now) {
            return Ok(kept(examined).unwrap_or(Outcome::Gone));
        }
        let mut pauses = Pauses::new(self.order);
        let mut unsure = false;
        loop {
            let why = match self.attempt(&partition.name, left, &mut unsure).await {
                Ok(outcome) => return Ok(outcome),
                Err(RetentionError::Logs(LogsError::Transient { reason })) => reason,
                // others may go all the same
                Err(RetentionError::Logs(LogsError::Definite { reason: why })) => {
                    return Ok(Outcome::Refused { why });
                }
                Err(error) => return Err(error),
            };
            if !pauses.next().await {
                return Ok(Outcome::Busy { why });
            }
        }
    }

    /// `unsure`: a drop was sent, and its answer has not come.
    async fn attempt(&self, name: &str, left: usize, unsure: &mut bool) -> Result<Outcome, RetentionError> {
        let Some(found) = self.survey(name).await? else { return self.gone(name, *unsure).await };
        if let Some(before) = self.logs.dropped(name).await? {
            return Ok(Outcome::Back(before));
        }
        let found = match found {
            Examined::Free { found } => found,
            other => return Ok(kept(other).unwrap_or(Outcome::Gone)),
        };
        if left == 0 {
            return Ok(Outcome::Next { found });
        }
        if self.order.dry_run {
            return Ok(Outcome::WouldDrop { found, decision: drop_id(name) });
        }
        let hold = self.order.hold;
        match tokio::time::timeout(hold, self.locked(name, unsure)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(LogsError::Transient { reason: format!("it was not checked within {hold:?}") }.into()),
        }
    }

    async fn survey(&self, name: &str) -> Result<Option<Examined>, RetentionError> {
        match self.logs.survey(name, self.order.hold).await? {
            Some(mut survey) => examine(&mut survey, self.ledger, false).await.map(Some),
            None => Ok(None),
        }
    }

    async fn locked(&self, name: &str, unsure: &mut bool) -> Result<Outcome, RetentionError> {
        let mut locked = match self.logs.lock(name, self.order.hold).await? {
            Lock::Taken(locked) => locked,
            Lock::Gone => return self.gone(name, *unsure).await,
            Lock::Elsewhere => return Ok(Outcome::Busy { why: "another executor is at work".to_owned() }),
        };
        match examine(locked.survey(), self.ledger, true).await? {
            Examined::Free { .. } => {
                *unsure = true;
                let dropped = locked.drop_partition(drop_id(name)).await?;
                Ok(Outcome::Dropped(dropped))
            }
            other => Ok(kept(other).unwrap_or(Outcome::Gone)),
        }
    }

    /// It is there no more: by our drop whose answer was lost, or by another's hand.
    async fn gone(&self, name: &str, unsure: bool) -> Result<Outcome, RetentionError> {
        let dropped = if unsure { self.logs.dropped(name).await? } else { None };
        Ok(dropped.map_or(Outcome::Gone, Outcome::Dropped))
    }
}

fn kept(examined: Examined) -> Option<Outcome> {
    match examined {
        Examined::Free { .. } => None,
        Examined::Young { due } => Some(Outcome::Young { due }),
        Examined::Blocked(obstacle) => Some(Outcome::Blocked(obstacle)),
    }
}

/// The pauses between tries: growing, and no two executors' alike.
struct Pauses {
    left: u32,
    pause: Duration,
}

impl Pauses {
    const fn new(order: &Order) -> Self {
        Self { left: order.tries.saturating_sub(1), pause: order.pause }
    }

    /// False: there is no further try.
    async fn next(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        tokio::time::sleep(self.pause.mul_f64(rand::random_range(0.5..1.5))).await;
        self.pause *= 2;
        true
    }
}
