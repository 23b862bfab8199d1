//! What a real log does to its events: it shuffles them within a window, delivers some twice, and has garbage between.
//!
//! What must stay true: no event is overtaken by one that lies further behind it than the window; with no disorder,
//! duplicates and garbage the events pass unchanged; the noise has dice of its own, so it never changes what the
//! fleet does.

use super::{Record, random::Dice};
use dataflows::time::Millis;
use std::{cmp::Ordering, collections::BinaryHeap};

/// How far events are displaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disorder {
    #[default]
    None,
    /// An event may come after so many that followed it.
    Events(u64),
    /// An event may be delivered so many ms after it happened.
    Time(Millis),
}

/// Options of [`Noise`]; fractions are of the number of events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NoiseOptions {
    pub seed: u64,
    pub disorder: Disorder,
    /// Events that are delivered a second time.
    pub duplicates: f64,
    /// Records between the events that are none: each must be rejected.
    pub garbage: f64,
}

/// What was let through so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub events: u64,
    pub duplicates: u64,
    pub garbage: u64,
}

/// An iterator of records with noise. See the module.
#[derive(Debug)]
pub struct Noise<I> {
    inner: I,
    options: NoiseOptions,
    dice: Dice,
    held: BinaryHeap<Held>,
    order: u64,
    /// What is held up to this place in the order of delivery can no more be overtaken.
    safe: i64,
    index: i64,
    ended: bool,
    counts: Counts,
}

#[derive(Debug)]
struct Held {
    place: i64,
    order: u64,
    record: Record,
}

impl Ord for Held {
    /// The greatest is the next: a [`BinaryHeap`] gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.place, other.order).cmp(&(self.place, self.order))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Held {}

impl<I: Iterator<Item = Record>> Noise<I> {
    pub fn new(inner: I, options: NoiseOptions) -> Self {
        Self {
            inner,
            options,
            dice: Dice::new(options.seed, 1),
            held: BinaryHeap::new(),
            order: 0,
            safe: i64::MIN,
            index: 0,
            ended: false,
            counts: Counts::default(),
        }
    }

    /// What makes the events.
    pub const fn inner(&self) -> &I {
        &self.inner
    }

    /// What came out or is about to.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn take_in(&mut self, record: Record) {
        let time = record.time_ms;
        self.counts.events += 1;
        if self.dice.chance(self.options.duplicates) {
            self.counts.duplicates += 1;
            self.hold(record.clone());
        }
        if self.dice.chance(self.options.garbage) {
            self.counts.garbage += 1;
            let value = garbage(&record.value, &mut self.dice);
            self.hold(Record { value, ..record });
        }
        self.hold(record);
        self.index += 1;
        self.safe = match self.options.disorder {
            Disorder::Time(_) => time,
            Disorder::Events(_) | Disorder::None => self.index,
        };
    }

    fn hold(&mut self, mut record: Record) {
        let place = match self.options.disorder {
            Disorder::None => self.index,
            Disorder::Events(window) => self.index.saturating_add_unsigned(self.dice.below(window.saturating_add(1))),
            Disorder::Time(window) => {
                record.time_ms += self.dice.between(0, window.max(0));
                record.time_ms
            }
        };
        self.order += 1;
        self.held.push(Held { place, order: self.order, record });
    }
}

impl<I: Iterator<Item = Record>> Iterator for Noise<I> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            if self.held.peek().is_some_and(|next| self.ended || next.place <= self.safe) {
                return self.held.pop().map(|held| held.record);
            }
            match self.inner.next() {
                Some(record) => self.take_in(record),
                None if self.held.is_empty() => return None,
                None => self.ended = true,
            }
        }
    }
}

/// A record that no reader may take for an event, made from one. It holds no line feed, so it is one line of a file.
fn garbage(event: &[u8], dice: &mut Dice) -> Vec<u8> {
    match dice.below(8) {
        0 => event[..event.len() / 2].to_vec(),
        1 => b"level=info msg=\"this is a line of a log and no event\"".to_vec(),
        2 => spoiled(event, b"\"time\":\"", b"T").unwrap_or_default(),
        3 => spoiled(event, b",\"type\"", b",\"tape\"").unwrap_or_default(),
        4 => spoiled(event, b"_id\":\"", b"_id\":\"x").unwrap_or_else(|| b"{}".to_vec()),
        // the first field of every event's data is required
        5 => spoiled(event, b"\"data\":{\"", b"\"data\":{\"_").unwrap_or_default(),
        6 => spoiled(event, b"\"id\":\"", b"\"id\":\"\xff").unwrap_or_default(),
        _ => [vec![b'['; 200], vec![b']'; 200]].concat(),
    }
}

/// The event with `with` written over the place of the first `what`.
fn spoiled(event: &[u8], what: &[u8], with: &[u8]) -> Option<Vec<u8>> {
    let at = memchr::memmem::find(event, what)?;
    let mut bytes = event.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: i64) -> impl Iterator<Item = Record> {
        (0..count).map(|n| Record { time_ms: n * 10, key: [0; 36], value: n.to_string().into_bytes() })
    }

    fn numbers(options: NoiseOptions) -> Vec<i64> {
        let out = Noise::new(records(10_000), options);
        out.map(|record| String::from_utf8(record.value).unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn without_noise_the_events_pass_unchanged() {
        assert!(Noise::new(records(1_000), NoiseOptions::default()).eq(records(1_000)));
    }

    #[test]
    fn disorder_is_bounded_by_its_window_and_loses_nothing() {
        let windows = [(Disorder::Events(50), 50), (Disorder::Time(500), 50)];
        for (disorder, window) in windows {
            let out = numbers(NoiseOptions { seed: 3, disorder, ..NoiseOptions::default() });
            let mut newest = 0;
            let mut overtaken = 0;
            for number in &out {
                newest = newest.max(*number);
                overtaken = overtaken.max(newest - number);
            }
            assert!(overtaken <= window && overtaken > window / 2, "{disorder:?}: {overtaken}");
            let mut sorted = out;
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..10_000));
        }
    }

    #[test]
    fn delivery_by_time_is_in_order_and_never_early() {
        let options = NoiseOptions { disorder: Disorder::Time(500), ..NoiseOptions::default() };
        let out: Vec<_> = Noise::new(records(1_000), options).collect();
        assert!(out.is_sorted_by_key(|record| record.time_ms));
        for record in out {
            let happened = String::from_utf8(record.value).unwrap().parse::<i64>().unwrap() * 10;
            assert!((happened..=happened + 500).contains(&record.time_ms));
        }
    }

    #[test]
    fn duplicates_are_counted_and_the_same_bytes() {
        let options = NoiseOptions { duplicates: 0.1, disorder: Disorder::Events(20), ..NoiseOptions::default() };
        let mut out = numbers(options);
        assert!((10_800..11_200).contains(&out.len()), "{}", out.len());
        out.sort_unstable();
        out.dedup();
        assert_eq!(out.len(), 10_000);
    }
}
