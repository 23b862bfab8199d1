//! Collect: puts together what all workers and machines say of an epoch, and hands it out whole and in order (I3).

use super::{EpochOutput, Lane, sequence::Meta};
use crate::{feed::DeadLetter, machines::Closed, route::Share, state};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc::Sender},
};
use timely::dataflow::{
    StreamVec,
    channels::pact::Exchange,
    operators::{Concatenate, Operator, vec::Map},
};

/// A contribution to an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Part {
    Closed(Box<Closed>),
    DeadLetter(DeadLetter),
    Meta(Box<Meta>),
}

#[derive(Debug, Default)]
struct Open {
    closed: Option<Closed>,
    dead_letters: Vec<DeadLetter>,
    meta: Option<Meta>,
}

pub(super) fn collect<'scope>(
    closed: Vec<StreamVec<'scope, u64, Closed>>,
    meta: StreamVec<'scope, u64, Meta>,
    dead_letters: StreamVec<'scope, u64, DeadLetter>,
    output: Sender<EpochOutput>,
) {
    let scope = meta.scope();
    let peers = scope.peers();
    let mut parts: Vec<StreamVec<'scope, u64, Part>> =
        closed.into_iter().map(|stream| stream.map(|closed| Part::Closed(Box::new(closed)))).collect();
    parts.push(meta.map(|meta| Part::Meta(Box::new(meta))));
    parts.push(dead_letters.map(Part::DeadLetter));
    let mut open: BTreeMap<u64, Open> = BTreeMap::new();
    scope.concatenate(parts).sink(Exchange::new(|_: &Part| 0), "collect", move |(input, frontier)| {
        input.for_each(|capability, data| {
            if let Some(epoch) = capability.least().copied() {
                let open = open.entry(epoch).or_default();
                data.drain(..).for_each(|part| open.add(part));
            }
        });
        while let Some(entry) = open.first_entry().filter(|entry| !frontier.less_equal(entry.key())) {
            if let Some(whole) = entry.remove().finish(peers) {
                // nobody listens any more: the service is ending
                let _ = output.send(whole);
            }
        }
    });
}

impl Open {
    fn add(&mut self, part: Part) {
        match part {
            Part::Meta(meta) => self.meta = Some(*meta),
            Part::DeadLetter(letter) => self.dead_letters.push(letter),
            Part::Closed(closed) => match &mut self.closed {
                None => self.closed = Some(*closed),
                Some(sum) => {
                    sum.deltas.merge(&closed.deltas);
                    sum.results.extend(closed.results);
                    sum.touched += closed.touched;
                    sum.state.extend(closed.state);
                    sum.retention.merge(closed.retention);
                }
            },
        }
    }

    /// `None` for an epoch that the feeder broke off: nothing of it may be shown.
    fn finish(self, peers: usize) -> Option<EpochOutput> {
        let (meta, mut closed) = (self.meta?, self.closed?);
        closed.deltas.quality.merge(&meta.quality);
        closed.retention.sort();
        let mut dead_letters = self.dead_letters;
        dead_letters.sort_by_key(|letter| (letter.partition, letter.offset));
        Some(EpochOutput {
            end: Arc::new(meta.end),
            stream_time: meta.stream_time,
            deltas: closed.deltas,
            results: closed.results,
            dead_letters,
            records: meta.records,
            touched: closed.touched,
            state: lanes(closed.state, peers),
            maxima: meta.maxima,
            sweep: meta.sweep,
            retention: closed.retention,
        })
    }
}

/// One blob for each worker that has something to store.
fn lanes(sections: Vec<(usize, state::Section)>, peers: usize) -> Vec<Lane> {
    let mut by_worker: BTreeMap<usize, Vec<state::Section>> = BTreeMap::new();
    for (worker, section) in sections {
        by_worker.entry(worker).or_default().push(section);
    }
    let lane = |(worker, sections): (usize, Vec<_>)| Lane::of(Share { worker, peers }, sections);
    by_worker.into_iter().map(lane).collect()
}
