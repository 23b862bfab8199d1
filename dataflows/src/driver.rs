//! The one generic driver: it owns buffers, capabilities and frontiers, so that machines need not.
//!
//! Its contract with a machine, epoch by epoch in order: every event of the epoch is applied, then the epoch is closed
//! once, at the stream time of its tick. Data of the oldest open epoch is applied as it comes; data of later epochs
//! waits, for an earlier epoch is not closed yet. [`Schedule`] decides that from times alone; the operator around it
//! moves the data.

use crate::{
    event::Id,
    machines::{Close, Closed, Work},
    retention::RetentionInput,
    route::{owner, route},
    settings::Settings,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use timely::{
    ExchangeData,
    dataflow::{
        StreamVec,
        channels::pact::{Exchange, Pipeline},
        operators::{Capability, Operator},
    },
};

/// The end of an epoch, as each worker is told it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tick {
    pub worker: usize,
    pub close: Close,
    /// As the epoch's end has it.
    pub retention: Option<Arc<RetentionInput>>,
}

/// What waits for its epoch. `C` is the capability to answer at that epoch.
#[derive(Debug)]
struct Schedule<E, C> {
    open: BTreeMap<u64, Open<E, C>>,
}

#[derive(Debug)]
struct Open<E, C> {
    capability: C,
    batches: Vec<Vec<E>>,
    tick: Option<Tick>,
}

/// What to do next.
#[derive(Debug)]
enum Step<E, C> {
    Apply(Vec<Vec<E>>),
    Close(Tick, C),
}

impl<E, C> Default for Schedule<E, C> {
    fn default() -> Self {
        Self { open: BTreeMap::new() }
    }
}

impl<E, C> Schedule<E, C> {
    fn at(&mut self, epoch: u64, capability: impl FnOnce() -> C) -> &mut Open<E, C> {
        self.open.entry(epoch).or_insert_with(|| Open { capability: capability(), batches: vec![], tick: None })
    }

    /// The next step. `earlier_may_come(epoch)`: input of an epoch before it may still arrive; `may_come(epoch)`:
    /// input of the epoch itself may.
    fn next(
        &mut self,
        earlier_may_come: impl Fn(&u64) -> bool,
        may_come: impl Fn(&u64) -> bool,
    ) -> Option<Step<E, C>> {
        let mut entry = self.open.first_entry()?;
        let epoch = *entry.key();
        if earlier_may_come(&epoch) {
            return None;
        }
        let batches = std::mem::take(&mut entry.get_mut().batches);
        if !batches.is_empty() {
            return Some(Step::Apply(batches));
        }
        if may_come(&epoch) {
            return None;
        }
        let open = entry.remove();
        // without a tick the feeder broke the epoch off: it is never closed, so nothing of it is ever shown
        open.tick.map(|tick| Step::Close(tick, open.capability))
    }
}

/// Runs a machine on a stream of its events, routed by their `key`; gives what each epoch moved.
pub fn drive<'scope, W>(
    mut machine: W,
    settings: Arc<Settings>,
    events: StreamVec<'scope, u64, W::Event>,
    ticks: StreamVec<'scope, u64, Tick>,
    key: impl Fn(&W::Event) -> Id + 'static,
) -> StreamVec<'scope, u64, Closed>
where
    W: Work + 'static,
    W::Event: ExchangeData,
{
    let (worker, peers) = (events.scope().index(), events.scope().peers());
    let by_worker = Exchange::new(|tick: &Tick| tick.worker as u64);
    let by_key = Exchange::new(move |event: &W::Event| owner(route(key(event)), peers) as u64);
    events.binary_frontier(ticks, by_key, by_worker, W::NAME, move |_, _| {
        let mut schedule: Schedule<W::Event, Capability<u64>> = Schedule::default();
        move |(events, events_frontier), (ticks, ticks_frontier), output| {
            events.for_each(|capability, data| {
                if let Some(epoch) = capability.least().copied() {
                    let hold = || capability.retain_least(0).unwrap_or_else(|| unreachable!("it has a least time"));
                    schedule.at(epoch, hold).batches.push(std::mem::take(data));
                }
            });
            ticks.for_each(|capability, data| {
                if let Some(epoch) = capability.least().copied() {
                    let hold = || capability.retain_least(0).unwrap_or_else(|| unreachable!("it has a least time"));
                    let open = schedule.at(epoch, hold);
                    open.tick = data.pop().or(open.tick.take());
                }
            });
            let earlier = |epoch: &u64| events_frontier.less_than(epoch) || ticks_frontier.less_than(epoch);
            let here = |epoch: &u64| events_frontier.less_equal(epoch) || ticks_frontier.less_equal(epoch);
            while let Some(step) = schedule.next(earlier, here) {
                match step {
                    Step::Apply(batches) => batches.iter().flatten().for_each(|event| machine.apply(event)),
                    Step::Close(Tick { close, retention, .. }, capability) => {
                        let mut closed = Closed::new(&settings);
                        machine.close(close, retention.as_deref(), &mut closed);
                        let sections = machine.sections(close.sweep).into_iter();
                        closed.state.extend(sections.map(|section| (worker, section)));
                        output.session(&capability).give(closed);
                    }
                }
            }
        }
    })
}

/// A pact for streams that are made where they are used.
pub(crate) const LOCAL: Pipeline = Pipeline;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{state::Sweep, time::StreamTime};

    const CLOSE: Close = Close { now: StreamTime(7), last: false, sweep: Sweep::ALL };
    const TICK: Tick = Tick { worker: 0, close: CLOSE, retention: None };

    fn epochs(step: Option<Step<char, u64>>) -> String {
        match step {
            None => "wait".to_owned(),
            Some(Step::Apply(batches)) => format!("apply {batches:?}"),
            Some(Step::Close(_, capability)) => format!("close with {capability}"),
        }
    }

    #[test]
    fn the_open_epoch_is_applied_at_once_a_later_one_waits_and_each_is_closed_in_order() {
        let mut schedule = Schedule::default();
        schedule.at(2, || 20).batches.push(vec!['b']);
        schedule.at(1, || 10).batches.push(vec!['a']);
        let may_come_from =
            |frontier: u64| (move |epoch: &u64| frontier < *epoch, move |epoch: &u64| frontier <= *epoch);
        let (earlier, here) = may_come_from(1);
        assert_eq!(epochs(schedule.next(earlier, here)), "apply [['a']]");
        assert_eq!(epochs(schedule.next(earlier, here)), "wait");
        schedule.at(1, || 11).tick = Some(TICK);
        let (earlier, here) = may_come_from(2);
        assert_eq!(epochs(schedule.next(earlier, here)), "close with 10");
        assert_eq!(epochs(schedule.next(earlier, here)), "apply [['b']]");
        assert_eq!(epochs(schedule.next(earlier, here)), "wait");
    }

    #[test]
    fn an_epoch_whose_end_is_known_waits_for_what_may_still_come() {
        let mut schedule = Schedule::default();
        schedule.at(1, || 10).tick = Some(TICK);
        assert_eq!(epochs(schedule.next(|_| false, |_| true)), "wait");
        schedule.at(1, || 11).batches.push(vec!['a']);
        assert_eq!(epochs(schedule.next(|_| false, |_| true)), "apply [['a']]");
        assert_eq!(epochs(schedule.next(|_| false, |_| false)), "close with 10");
    }

    #[test]
    fn an_epoch_that_was_broken_off_is_never_closed() {
        let mut schedule = Schedule::default();
        schedule.at(1, || 10).batches.push(vec!['a']);
        assert_eq!(epochs(schedule.next(|_| false, |_| false)), "apply [['a']]");
        assert_eq!(epochs(schedule.next(|_| false, |_| false)), "wait");
        assert!(schedule.open.is_empty());
    }
}
