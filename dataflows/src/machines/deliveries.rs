//! The delivery machine: what counts once however often it is delivered. docs/rules.md, "Deliveries".

use super::{Close, Closed, Machine, domain};
use crate::{
    event::{Delivery, DeliveryEvent},
    memory::{Fingerprint, Memory},
    route::{Route, route},
    series::{Deltas, Limit, Quality},
    settings::Settings,
    state::{Cursor, Reader, Sweep, Table, Unusable, Writer},
    time::{Millis, StreamTime},
};
use hashbrown::HashMap;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub struct DeliveriesMachine {
    window_ms: Millis,
    /// New in the open epoch.
    new: HashMap<u128, New>,
    memory: Memory,
    before: StreamTime,
    quality: Quality,
    cursor: Cursor,
}

/// What shares a key that was unknown when the epoch began.
#[derive(Debug)]
struct New {
    /// The smallest (time, labels): this one counts.
    first: (Millis, Delivery),
    /// If this is in time all are.
    latest: Millis,
    copies: u64,
}

impl DeliveriesMachine {
    /// The machine of one of `workers` workers.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "the machines are all made alike")]
    pub fn new(settings: Arc<Settings>, workers: usize) -> Self {
        let max_ids = settings.limits.max_remembered_ids.div_ceil(workers);
        Self {
            window_ms: settings.dedup_window_ms,
            new: HashMap::new(),
            memory: Memory::new(settings.memory_ms(), max_ids),
            before: StreamTime::UNKNOWN,
            quality: Quality::default(),
            cursor: Cursor::default(),
        }
    }

    /// Things remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.memory.len()
    }

    fn count(what: Delivery, deltas: &mut Deltas) {
        match what {
            Delivery::Archived(result) => deltas.archives[result as usize] += 1,
            Delivery::PartitionDropped => deltas.partitions_dropped += 1,
            Delivery::Webhook { provider, outcome } => {
                deltas.webhooks[usize::from(provider)][usize::from(outcome)] += 1;
            }
        }
    }
}

fn print(key: u128) -> Fingerprint {
    Fingerprint::of(domain::DELIVERY, route(key), [key])
}

impl Machine for DeliveriesMachine {
    type Event = DeliveryEvent;

    fn apply(&mut self, event: &DeliveryEvent) {
        let seen = (event.time, event.what);
        if let Some(new) = self.new.get_mut(&event.key) {
            new.first = seen.min(new.first);
            new.latest = event.time.max(new.latest);
            new.copies += 1;
        } else if self.memory.get(print(event.key), self.before).is_some() {
            self.quality.duplicates += 1;
        } else {
            self.new.insert(event.key, New { first: seen, latest: event.time, copies: 1 });
        }
    }

    fn close(&mut self, at: Close, closed: &mut Closed) {
        closed.touched += self.new.len() as u64;
        for (key, new) in self.new.drain() {
            if self.before.is_past(new.latest.saturating_add(self.window_ms)) {
                self.quality.late += new.copies;
                continue;
            }
            self.quality.duplicates += new.copies - 1;
            Self::count(new.first.1, &mut closed.deltas);
            let evicted = self.memory.insert(print(key), 0, new.latest.max(at.now.0), at.now);
            self.quality.over_limit[Limit::RememberedIds as usize] += evicted;
        }
        closed.deltas.quality.merge(&std::mem::take(&mut self.quality));
        self.memory.sweep(at.now);
        self.before = at.now;
    }

    const TABLE: Table = Table::Deliveries;

    fn record(&mut self) {
        self.memory.record();
    }

    fn save(&mut self, sweep: Sweep, out: &mut Writer) {
        self.memory.save(out);
        out.sweeps();
        self.memory.save_swept(self.cursor.advance(sweep, Memory::shards()), out);
    }

    fn load(&mut self, mut entries: Reader<'_>, owns: &mut impl FnMut(Route) -> bool) -> Result<(), Unusable> {
        while !entries.is_empty() {
            let tag = entries.u8()?;
            if !self.memory.load(tag, &mut entries, owns)? {
                return Err(Unusable::damaged(format!("a delivery of kind {tag}")));
            }
        }
        Ok(())
    }

    fn loaded(&mut self, now: StreamTime) -> Result<(), Unusable> {
        self.before = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ArchiveResult;

    const HOUR: Millis = 3_600_000;

    fn event(key: u128, time: Millis, what: Delivery) -> DeliveryEvent {
        DeliveryEvent { time, key, what }
    }

    fn close(machine: &mut DeliveriesMachine, now: Millis) -> Deltas {
        let mut closed = Closed::new(&Settings::default());
        machine.close(Close { now: StreamTime(now), last: false, sweep: Sweep::default() }, &mut closed);
        closed.deltas
    }

    #[test]
    fn each_delivery_counts_once_within_the_window() {
        let mut machine = DeliveriesMachine::new(Arc::new(Settings::default()), 1);
        let failed = Delivery::Archived(ArchiveResult::Failed);
        for key in [1, 2, 1] {
            machine.apply(&event(key, 10, failed));
        }
        let deltas = close(&mut machine, HOUR);
        assert_eq!((deltas.archives, deltas.quality.duplicates), ([0, 2, 0, 0], 1));
        machine.apply(&event(1, 10, failed));
        assert_eq!(close(&mut machine, 100 * HOUR).archives, [0; 4]);
        machine.apply(&event(3, 10, Delivery::PartitionDropped));
        let deltas = close(&mut machine, 101 * HOUR);
        assert_eq!((deltas.partitions_dropped, deltas.quality.late), (0, 1));
    }

    #[test]
    fn a_delivery_is_remembered_from_the_later_of_its_time_and_the_epochs() {
        let window = Settings::default().memory_ms();
        for (time, now) in [(HOUR, 0), (0, HOUR)] {
            let mut machine = DeliveriesMachine::new(Arc::new(Settings::default()), 1);
            machine.apply(&event(1, time, Delivery::PartitionDropped));
            close(&mut machine, now);
            close(&mut machine, HOUR + window);
            let again = event(1, HOUR + window, Delivery::PartitionDropped);
            machine.apply(&again);
            assert_eq!(close(&mut machine, HOUR + window + 1).partitions_dropped, 0, "from {time}, read by {now}");
            machine.apply(&again);
            assert_eq!(close(&mut machine, HOUR + window + 1).partitions_dropped, 1, "from {time}, read by {now}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_by_a_share_of_the_whole_and_what_is_forgotten_early_is_counted() {
        let limits = crate::settings::Limits { max_remembered_ids: 512, ..crate::settings::Limits::default() };
        let mut machine = DeliveriesMachine::new(Arc::new(Settings { limits, ..Settings::default() }), 2);
        for key in 1..=5_000 {
            machine.apply(&event(key, 10, Delivery::PartitionDropped));
        }
        let deltas = close(&mut machine, HOUR);
        assert_eq!(deltas.partitions_dropped, 5_000);
        assert_eq!(machine.remembered(), 256, "one in each shard");
        assert_eq!(deltas.quality.over_limit[Limit::RememberedIds as usize], 5_000 - 256);
    }

    #[test]
    fn of_two_that_share_a_key_the_smaller_counts_whatever_the_order() {
        for swap in [false, true] {
            let mut machine = DeliveriesMachine::new(Arc::new(Settings::default()), 1);
            let mut both = [
                event(1, 10, Delivery::Webhook { provider: 0, outcome: 1 }),
                event(1, 9, Delivery::Webhook { provider: 1, outcome: 0 }),
            ];
            if swap {
                both.reverse();
            }
            for event in &both {
                machine.apply(event);
            }
            let deltas = close(&mut machine, 0);
            assert_eq!((deltas.webhooks[1][0], deltas.webhooks[0][1]), (1, 0));
        }
    }
}
