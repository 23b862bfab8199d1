//! The sequencer as an operator, on worker 0: when an epoch is decoded everywhere, it gives every worker its tick.

use crate::{
    driver::Tick,
    feed::EpochEnd,
    machines::Close,
    sequencer::{Maxima, Sequencer},
    series::Quality,
    state::{Pace, Sweep},
    time::StreamTime,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, btree_map::Entry};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        StreamVec,
        channels::pact::Exchange,
        operators::{
            Capability, InputCapability,
            generic::{OutputBuilder, builder_rc::OperatorBuilder},
        },
    },
};

/// What one batch told about time and quality.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Observed {
    pub maxima: Maxima,
    pub quality: Quality,
    pub records: u64,
}

/// What is known of an epoch once it is sequenced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    pub end: EpochEnd,
    pub stream_time: StreamTime,
    pub quality: Quality,
    pub records: u64,
    /// Of every partition, so far.
    pub maxima: Maxima,
    pub sweep: Sweep,
}

/// An epoch that is not decoded everywhere yet.
struct Open {
    end: Option<EpochEnd>,
    read: Observed,
    to_ticks: Capability<u64>,
    to_meta: Capability<u64>,
}

impl Open {
    /// The epoch of an input's capability, which is held from then on.
    fn at<'a>(open: &'a mut BTreeMap<u64, Self>, held: &InputCapability<u64>) -> Option<&'a mut Self> {
        let epoch = *held.least()?;
        match open.entry(epoch) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => {
                let (to_ticks, to_meta) = (held.retain_least(0)?, held.retain_least(1)?);
                Some(entry.insert(Self { end: None, read: Observed::default(), to_ticks, to_meta }))
            }
        }
    }
}

type Vecs<T> = CapacityContainerBuilder<Vec<T>>;

pub(super) fn sequence<'scope>(
    ends: StreamVec<'scope, u64, EpochEnd>,
    observed: StreamVec<'scope, u64, Observed>,
    mut sequencer: Sequencer,
    pace: Pace,
) -> (StreamVec<'scope, u64, Tick>, StreamVec<'scope, u64, Meta>) {
    let peers = ends.scope().peers();
    let mut builder = OperatorBuilder::new("sequencer".to_owned(), ends.scope());
    let mut ends = builder.new_input(ends, Exchange::new(|_: &EpochEnd| 0));
    let mut observed = builder.new_input(observed, Exchange::new(|_: &Observed| 0));
    let (ticks, ticks_stream) = builder.new_output();
    let (meta, meta_stream) = builder.new_output();
    let mut ticks = OutputBuilder::<_, Vecs<Tick>>::from(ticks);
    let mut meta = OutputBuilder::<_, Vecs<Meta>>::from(meta);
    builder.build(move |_| {
        let mut position = 0;
        let mut open: BTreeMap<u64, Open> = BTreeMap::new();
        move |frontiers| {
            ends.for_each(|capability, data| {
                if let Some(sum) = Open::at(&mut open, &capability) {
                    sum.end = data.pop();
                }
            });
            observed.for_each(|capability, data| {
                if let Some(sum) = Open::at(&mut open, &capability) {
                    data.drain(..).for_each(|part| sum.read.add(&part));
                }
            });
            let (mut ticks, mut meta) = (ticks.activate(), meta.activate());
            let may_come = |epoch: &u64| frontiers.iter().any(|frontier| frontier.less_equal(epoch));
            while let Some(entry) = open.first_entry().filter(|entry| !may_come(entry.key())) {
                let Open { end, read, to_ticks, to_meta } = entry.remove();
                // an epoch without an end is one that the feeder broke off: it is not committed
                let Some(end) = end else { continue };
                let now = sequencer.close(&end, &read.maxima);
                let sweep = pace.take(&mut position);
                let close = Close { now, last: end.last, sweep };
                let maxima = sequencer.maxima().clone();
                let tick = |worker| Tick { worker, close, retention: end.retention.clone() };
                ticks.session(&to_ticks).give_iterator((0..peers).map(tick));
                let Observed { quality, records, .. } = read;
                meta.session(&to_meta).give(Meta { end, stream_time: now, quality, records, maxima, sweep });
            }
        }
    });
    (ticks_stream, meta_stream)
}

impl Observed {
    fn add(&mut self, part: &Self) {
        self.maxima.merge(&part.maxima);
        self.quality.merge(&part.quality);
        self.records += part.records;
    }
}
