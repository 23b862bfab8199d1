//! What to do with each partition: a function of policies, catalogue and the two clocks. docs/rules.md, "Retention".
//!
//! [`judge`] and [`missing`] say what is the case now; whoever drops asks them again right before. [`Given`] makes
//! decisions of what lasts, each once; it is kept with the registry, in the ledger's lane.

use super::{
    decision::{self, Decision, Fate, Fates, Kind, Reason, Subject},
    month::{DEFAULT_PARTITION, Month},
    policy::{Catalogue, DAY_MS, Partition, RetentionInput},
};
use crate::{
    event::Id,
    feed::{CatchUp, EpochEnd},
    state::{Reader, Sweep, Unusable, Writer},
    time::{Millis, StreamTime},
};
use std::collections::{BTreeMap, BTreeSet};

/// What is the case with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not old enough: it falls due strictly after this by both clocks; `None`: nobody said how long it is kept.
    Young { due: Option<Millis> },
    /// It may go, if its jobs pass by the archive ledger.
    Drop { due: Millis },
    /// Old enough, and kept all the same. `due`: since when it is old enough.
    Blocked { reason: Reason, due: Millis },
}

/// The moment of a judgement, as far as the stream tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub now: StreamTime,
    /// All that Kafka has was read.
    pub caught_up: bool,
}

impl Default for Moment {
    /// Nothing was read.
    fn default() -> Self {
        Self { now: StreamTime::UNKNOWN, caught_up: false }
    }
}

impl Moment {
    /// At the end of an epoch.
    #[must_use]
    pub fn of(end: &EpochEnd, now: StreamTime) -> Self {
        let mut states = end.partitions.iter().map(|partition| partition.state);
        let all_read = !end.partitions.is_empty() && states.all(|state| state == CatchUp::CaughtUp);
        Self { now, caught_up: all_read && end.wall.is_some() }
    }
}

/// What is the case with one partition of the catalogue.
#[must_use]
pub fn judge(partition: &Partition, input: &RetentionInput, clock: Millis, moment: Moment) -> Verdict {
    let passed = |deadline: Millis| moment.now.is_past(deadline) && clock > deadline;
    let month = Month::from_name(&partition.name);
    // the later of what it says and what it is called: a wrong bound makes nothing old
    let upper = month.map_or(partition.upper, |month| partition.upper.max(month.plus(1).begin()));
    let blocked = |reason, due| Verdict::Blocked { reason, due };
    let Some(days) = input.policies.longest() else {
        return if passed(upper) { blocked(Reason::NoPolicy, upper) } else { Verdict::Young { due: None } };
    };
    let due = upper.saturating_add(Millis::from(days).saturating_mul(DAY_MS));
    if !passed(due) {
        return Verdict::Young { due: Some(due) };
    }
    let as_named = month.is_some_and(|month| {
        let expected = month.partition();
        (expected.lower, expected.upper) == (partition.lower, partition.upper)
    });
    let known = partition.adopted || input.complete_from.is_some_and(|from| partition.lower >= from);
    if !as_named {
        blocked(Reason::Bounds, due)
    } else if !known {
        blocked(Reason::IncompleteHistory, due)
    } else if !moment.caught_up {
        blocked(Reason::NotCaughtUp, due)
    } else {
        Verdict::Drop { due }
    }
}

/// The months that should have a partition and have none: by the log database's clock the current one and so many
/// ahead. Stream time has no say: neither a replay nor a producer with a wrong clock makes partitions.
#[must_use]
pub fn missing(catalogue: &Catalogue, months_ahead: usize) -> Vec<Month> {
    let current = Month::of(catalogue.now);
    let ahead = i64::try_from(months_ahead).unwrap_or(i64::MAX).min(MOST_AHEAD);
    let taken = |month: &Month| {
        let Partition { lower, upper, .. } = month.partition();
        catalogue.partitions.iter().any(|partition| partition.lower < upper && lower < partition.upper)
    };
    (0..=ahead).map(|months| current.plus(months)).filter(|month| !taken(month)).collect()
}

/// Ten years.
const MOST_AHEAD: i64 = 120;

/// Which decisions about partitions have been given, so that each is given once, and what became of them.
#[derive(Debug, Default)]
pub struct Given {
    given: BTreeMap<Id, Entry>,
    /// To be stored; `None`: nobody asks.
    changes: Option<BTreeSet<Id>>,
}

/// A decision that was given.
#[derive(Debug)]
struct Entry {
    /// The partition's name.
    name: String,
    /// As [`Kind::index`] has it.
    kind: usize,
    /// What became of it was told.
    over: bool,
}

/// What an epoch gives about partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// New ones, in order of time, then id.
    pub decisions: Vec<Decision>,
    /// What became of former ones, in the order of [`Kind::NAMES`].
    pub fates: [Fates; Kind::NAMES.len()],
}

mod tag {
    pub const PUT: u8 = 0x01;
    pub const REMOVE: u8 = 0x02;
    pub const PUT_OVER: u8 = 0x03;
}

impl Given {
    /// From now on what changes is kept for [`save`](Self::save).
    pub fn record(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// What an epoch adds.
    pub fn decide(&mut self, input: &RetentionInput, moment: Moment, months_ahead: usize) -> Decided {
        let mut decided = Decided::default();
        let Some(catalogue) = &input.catalogue else { return decided };
        let ensured = missing(catalogue, months_ahead).into_iter().map(|month| ensure(month, months_ahead));
        let judged = catalogue.partitions.iter().filter(|partition| partition.name != DEFAULT_PARTITION);
        let judged: Vec<(&Partition, Verdict)> =
            judged.map(|partition| (partition, judge(partition, input, catalogue.now, moment))).collect();
        let free = judged.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Drop { .. }));
        let free: BTreeSet<&str> = free.map(|(partition, _)| partition.name.as_str()).collect();
        let judged = judged.iter().filter_map(|(partition, verdict)| about(partition, *verdict, input));
        self.conclude(catalogue, &mut decided.fates);
        self.unblock(&free, &mut decided.fates);
        let new = ensured.chain(judged).filter(|new| !self.given.contains_key(&new.id));
        decided.decisions = new.collect();
        decided.decisions.sort_by_key(|decision| (decision.time, decision.id));
        for decision in &decided.decisions {
            if let Subject::Partition(name) = &decision.subject {
                let entry = Entry { name: name.clone(), kind: decision.kind.index(), over: false };
                self.given.insert(decision.id, entry);
                self.changed(decision.id);
            }
        }
        decided
    }

    fn changed(&mut self, id: Id) {
        self.changes.iter_mut().for_each(|changes| changes.extend([id]));
    }

    /// What is gone is decided about no more: a partition that is not there, a month that is over. One that was to be
    /// made and is there is over, and stays given.
    fn conclude(&mut self, catalogue: &Catalogue, fates: &mut [Fates; Kind::NAMES.len()]) {
        let there: BTreeSet<&str> = catalogue.partitions.iter().map(|partition| partition.name.as_str()).collect();
        let current = Month::of(catalogue.now);
        let (mut gone, mut made) = (vec![], vec![]);
        for (id, Entry { name, kind, over }) in &self.given {
            let is_there = there.contains(name.as_str());
            let has_passed = Month::from_name(name).is_none_or(|month| month < current);
            if !is_there && has_passed {
                gone.push(*id);
            } else if is_there && *kind == Kind::EnsurePartition.index() && !over {
                made.push(*id);
            }
        }
        for id in made {
            self.end(id, Fate::Executed, fates);
        }
        for id in gone {
            let dropped = self.given.get(&id).is_some_and(|entry| entry.kind == Kind::DropPartition.index());
            self.end(id, if dropped { Fate::Executed } else { Fate::Withdrawn }, fates);
            self.given.remove(&id);
        }
    }

    /// What may go after all is blocked no more.
    fn unblock(&mut self, free: &BTreeSet<&str>, fates: &mut [Fates; Kind::NAMES.len()]) {
        const BLOCKED: usize = Kind::Blocked(Reason::NoPolicy).index();
        let blocked = self.given.iter().filter(|(_, entry)| entry.kind == BLOCKED && !entry.over);
        let over: Vec<Id> =
            blocked.filter(|(_, entry)| free.contains(entry.name.as_str())).map(|(id, _)| *id).collect();
        for id in over {
            self.end(id, Fate::Withdrawn, fates);
        }
    }

    /// Tells once what became of it.
    fn end(&mut self, id: Id, fate: Fate, fates: &mut [Fates; Kind::NAMES.len()]) {
        if let Some(entry) = self.given.get_mut(&id)
            && !std::mem::replace(&mut entry.over, true)
        {
            fates[entry.kind][fate as usize] += 1;
        }
        self.changed(id);
    }

    /// Writes what has changed, and with a sweep's begin all the rest: there are few.
    pub fn save(&mut self, sweep: Sweep, out: &mut Writer) {
        let Some(changes) = &mut self.changes else { return };
        for id in std::mem::take(changes) {
            if let Some(entry) = self.given.get(&id) {
                put(id, entry, out);
            } else {
                out.u8(tag::REMOVE);
                out.u128(id);
            }
        }
        out.sweeps();
        if sweep.begins() {
            self.given.iter().for_each(|(id, entry)| put(*id, entry, out));
        }
    }

    /// Takes in stored entries, later ones over earlier ones.
    ///
    /// # Errors
    /// [`Unusable`]
    pub fn load(&mut self, mut entries: Reader<'_>) -> Result<(), Unusable> {
        while !entries.is_empty() {
            let (tag, id) = (entries.u8()?, entries.u128()?);
            match tag {
                tag::PUT | tag::PUT_OVER => {
                    let name = entries.text()?.to_owned();
                    let entry = Entry { kind: kind_of(id, &name), name, over: tag == tag::PUT_OVER };
                    self.given.insert(id, entry);
                }
                tag::REMOVE => drop(self.given.remove(&id)),
                other => return Err(Unusable::damaged(format!("a decision of kind {other}"))),
            }
        }
        Ok(())
    }
}

/// Of a decision about a partition; it follows from the id.
fn kind_of(id: Id, name: &str) -> usize {
    let subject = Subject::Partition(name.to_owned());
    let named =
        [Kind::EnsurePartition, Kind::DropPartition].into_iter().find(|kind| decision::id(*kind, &subject) == id);
    named.unwrap_or(Kind::Blocked(Reason::NoPolicy)).index()
}

fn put(id: Id, Entry { name, over, .. }: &Entry, out: &mut Writer) {
    out.u8(if *over { tag::PUT_OVER } else { tag::PUT });
    out.u128(id);
    out.text(name);
}

fn ensure(month: Month, months_ahead: usize) -> Decision {
    let Partition { name, lower, upper, .. } = month.partition();
    let ahead = i64::try_from(months_ahead).unwrap_or(i64::MAX).min(MOST_AHEAD);
    let reason = format!("the current month and {ahead} ahead must have a partition, and {name} is not there");
    let facts = [("lower", lower.into()), ("upper", upper.into()), ("months_ahead", ahead.into())];
    Decision::new(Kind::EnsurePartition, Subject::Partition(name), month.plus(-ahead).begin(), reason, facts)
}

/// The decision that a verdict comes to, if it lasts: that Kafka is not read to its end yet passes by itself.
fn about(partition: &Partition, verdict: Verdict, input: &RetentionInput) -> Option<Decision> {
    let (kind, due) = match verdict {
        Verdict::Young { .. } | Verdict::Blocked { reason: Reason::NotCaughtUp | Reason::Clock, .. } => return None,
        Verdict::Drop { due } => (Kind::DropPartition, due),
        Verdict::Blocked { reason, due } => (Kind::Blocked(reason), due),
    };
    let subject = Subject::Partition(partition.name.clone());
    let facts = [("lower", partition.lower.into()), ("upper", partition.upper.into()), ("due", due.into())];
    let mut decision = Decision::new(kind, subject, due, why(verdict, partition, input), facts);
    let mut add = |name: &str, fact: decision::Fact| drop(decision.facts.insert(name.to_owned(), fact));
    if let Some(days) = input.policies.longest() {
        add("longest_retention_days", i64::from(days).into());
    }
    if let Some(from) = input.complete_from {
        add("complete_from", from.into());
    }
    Some(decision)
}

/// A verdict in words.
#[must_use]
pub fn why(verdict: Verdict, partition: &Partition, input: &RetentionInput) -> String {
    let days = input.policies.longest().unwrap_or_default();
    let (lower, upper) = (told(partition.lower), told(partition.upper));
    match verdict {
        Verdict::Young { due: None } => "there is no default policy, so nothing falls due".to_owned(),
        Verdict::Young { due: Some(due) } => {
            format!("the longest retention, {days} days from its end on, has passed only after {}", told(due))
        }
        Verdict::Drop { due } => {
            format!("the longest retention, {days} days from its end on, has passed since {}", told(due))
        }
        Verdict::Blocked { reason, .. } => match reason {
            Reason::NoPolicy => "there is no default policy: nobody said how long it is kept".to_owned(),
            Reason::IncompleteHistory => match input.complete_from {
                Some(from) => {
                    format!("it begins at {lower}; what is known of jobs is whole only from {} on", told(from))
                }
                None => "what is known of jobs is not whole".to_owned(),
            },
            Reason::NotCaughtUp => "events that wait in Kafka may tell of its jobs".to_owned(),
            Reason::Bounds => format!("its bounds, {lower} and {upper}, are not those of the month in its name"),
            other => other.name().replace('_', " "),
        },
    }
}

/// A time as people read it.
#[must_use]
pub fn told(time: Millis) -> String {
    jiff::Timestamp::from_millisecond(time).map_or_else(|_| format!("{time} ms"), |time| time.to_string())
}
