//! From bytes to events: the only place that sees text (the contract itself is in `schemas/`).
//!
//! One pass over the JSON, borrowed, in time and memory linear in the record, whatever its bytes are. What cannot be
//! read becomes a dead letter with its reason and its bytes (I5). A record's outcome is a function of the record and
//! the settings alone, so a replay decides as the first reading did (I1).
//!
//! Inside: [`kafka`] (parts of a record), [`envelope`] and [`data`] (JSON as found), [`contract`] (what it must be).

mod contract;
mod data;
mod depth;
mod envelope;
mod fault;
mod ids;
mod kafka;
mod scalar;
#[cfg(test)]
mod tests;
mod time;

pub use contract::TYPE_PREFIX;
pub use fault::Fault;
pub use time::parse_rfc3339;

use crate::{
    event::{AgentEvent, DeliveryEvent, Event, RunEvent},
    feed::{Batch, DeadLetter, Partition, Reason, Records},
    names::{NameCache, Names},
    sequencer::Maxima,
    series::Quality,
    settings::Settings,
    time::Millis,
};
use contract::Contract;
use envelope::Envelope;
use kafka::{Mode, Parts};
use std::borrow::Cow;

/// What came out of one batch.
#[derive(Debug, Default)]
pub struct Decoded {
    pub runs: Vec<RunEvent>,
    pub agents: Vec<AgentEvent>,
    pub deliveries: Vec<DeliveryEvent>,
    pub dead_letters: Vec<DeadLetter>,
    /// The largest min(event time, record timestamp) of each partition, of those that are not from later than they were read.
    pub maxima: Maxima,
    /// `events`, `rejected`, `ignored`, `skewed` (clamped times), and the bounds on names.
    pub quality: Quality,
    /// Records read, whatever became of them.
    pub records: u64,
}

/// What a record that keeps the contract is.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<'a> {
    Event(Event),
    /// A CloudEvent of this type, which is not ours.
    Ignored(Cow<'a, str>),
}

/// One worker's decoder.
#[derive(Debug)]
pub struct Decoder {
    contract: Contract,
    max_event_bytes: usize,
    max_event_depth: usize,
    max_skew_ms: Millis,
}

/// Where a record comes from.
#[derive(Clone, Copy)]
struct Origin {
    partition: Partition,
    offset: i64,
    timestamp: Option<Millis>,
    /// [`Batch::read_at`]; [`Millis::MAX`]: nothing is from later.
    read_at: Millis,
}

impl Origin {
    /// The record's time, which bounds the event's. A broker takes any number; one before 1970 is nobody's clock.
    fn stamp(self) -> Option<Millis> {
        self.timestamp.filter(|timestamp| *timestamp >= 0)
    }
}

impl Decoder {
    #[must_use]
    pub fn new(settings: &Settings, names: Names) -> Self {
        Self {
            contract: Contract::new(settings, NameCache::new(names, settings.limits.max_name_bytes)),
            max_event_bytes: settings.limits.max_event_bytes,
            max_event_depth: settings.limits.max_event_depth,
            max_skew_ms: settings.max_skew_ms,
        }
    }

    /// Decodes every record of the batch, adding to `out`.
    pub fn decode(&mut self, batch: &Batch, out: &mut Decoded) {
        let read_at = batch.read_at.unwrap_or(Millis::MAX);
        match &batch.records {
            Records::Lines { first_line } => self.decode_lines(batch, *first_line, read_at, out),
            Records::Kafka(records) => {
                for record in records {
                    let (partition, offset, timestamp) = (record.partition, record.offset, record.timestamp);
                    let origin = Origin { partition, offset, timestamp, read_at };
                    self.decode_record(origin, Parts::of(record, &batch.bytes), out);
                }
            }
        }
        self.contract.count_names(&mut out.quality);
    }

    /// Judges one line of a file by the contract.
    ///
    /// # Errors
    /// The fault for which it would become a dead letter.
    pub fn check_line<'a>(&mut self, line: &'a [u8]) -> Result<Verdict<'a>, Fault> {
        self.read(Parts::line(line)).1
    }

    fn decode_lines(&mut self, batch: &Batch, first_line: i64, read_at: Millis, out: &mut Decoded) {
        let mut rest = batch.bytes.as_slice();
        let mut offset = first_line;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            if !line.trim_ascii_start().is_empty() {
                let origin = Origin { partition: batch.partition, offset, timestamp: None, read_at };
                self.decode_record(origin, Parts::line(line), out);
            }
            offset = offset.saturating_add(1);
        }
    }

    fn decode_record(&mut self, origin: Origin, parts: Parts<'_>, out: &mut Decoded) {
        out.records += 1;
        let (time, verdict) = self.read(parts);
        // what is refused tells of time only where a clock other than its own bears it out
        let time = time.filter(|_| verdict.is_ok() || origin.stamp().is_some());
        let happened = time.map(|time| origin.stamp().map_or(time, |stamp| time.min(stamp)));
        if let Some(time) = happened.filter(|time| *time <= origin.read_at) {
            out.maxima.see(origin.partition, time);
        }
        match verdict {
            Ok(Verdict::Event(event)) => self.accept(origin, event, out),
            Ok(Verdict::Ignored(_)) => out.quality.ignored += 1,
            Err(fault) => reject(origin, parts, fault, out),
        }
    }

    /// The event time, where it can be read, and what the record is.
    fn read<'a>(&mut self, parts: Parts<'a>) -> (Option<Millis>, Result<Verdict<'a>, Fault>) {
        match self.open(parts) {
            Err(fault) => (None, Err(fault)),
            Ok(envelope) => {
                let time = contract::event_time(&envelope);
                (time, self.contract.judge(envelope, time))
            }
        }
    }

    fn open<'a>(&self, parts: Parts<'a>) -> Result<Envelope<'a>, Fault> {
        let len = parts.value.len();
        if len > self.max_event_bytes {
            let detail = format!("longer than max_event_bytes, which is {}", self.max_event_bytes);
            return Err(Fault::new(Reason::TooLarge, detail));
        }
        depth::check(parts.value, self.max_event_depth)?;
        let mode = Mode::of(parts.headers)?;
        if len == 0 && mode == Mode::Structured {
            let detail = "the value is empty or null (a tombstone?); wanted a CloudEvent";
            return Err(Fault::new(Reason::NotCloudEvent, detail));
        }
        let not_utf8 = |error| Fault::new(Reason::NotJson, format!("the value is not UTF-8: {error}"));
        let value = std::str::from_utf8(parts.value).map_err(not_utf8)?;
        match mode {
            Mode::Structured => Envelope::structured(value),
            Mode::Binary => Envelope::binary(parts.headers, value),
        }
    }

    fn accept(&mut self, origin: Origin, event: Event, out: &mut Decoded) {
        out.quality.events[event.kind() as usize] += 1;
        let limit = origin.stamp().map_or(Millis::MAX, |stamp| stamp.saturating_add(self.max_skew_ms));
        out.quality.skewed += u64::from(event.time() > limit);
        match event {
            Event::Run(event) => out.runs.push(RunEvent { time: event.time.min(limit), ..event }),
            Event::Agent(event) => out.agents.push(AgentEvent { time: event.time.min(limit), ..event }),
            Event::Delivery(event) => {
                out.deliveries.push(DeliveryEvent { time: event.time.min(limit), ..event });
                let archived = self.contract.take_archived();
                out.runs.extend(archived.map(|event| RunEvent { time: event.time.min(limit), ..event }));
            }
        }
    }
}

#[cold]
fn reject(origin: Origin, parts: Parts<'_>, fault: Fault, out: &mut Decoded) {
    out.quality.rejected[fault.reason as usize] += 1;
    out.dead_letters.push(DeadLetter {
        partition: origin.partition,
        offset: origin.offset,
        timestamp: origin.timestamp,
        reason: fault.reason,
        detail: fault.detail,
        key: parts.key.to_vec(),
        headers: parts.headers.to_vec(),
        value: parts.value.to_vec(),
    });
}
