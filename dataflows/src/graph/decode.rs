//! Decode as an operator: batches in, one stream for each machine out, and what the sequencer must know. The arenas go back.

use super::sequence::Observed;
use crate::{
    decode::{Decoded, Decoder},
    driver::LOCAL,
    event::{AgentEvent, DeliveryEvent, RunEvent},
    feed::{Batch, DeadLetter},
    names::Names,
    settings::Settings,
};
use std::sync::mpsc::SyncSender;
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        StreamVec,
        operators::generic::{OutputBuilder, builder_rc::OperatorBuilder},
    },
};

/// An arena that a rare large record has made larger than this is not used again (I6).
const LARGEST_KEPT_BYTES: usize = 1 << 20;

pub(super) struct Streams<'scope> {
    pub runs: StreamVec<'scope, u64, RunEvent>,
    pub agents: StreamVec<'scope, u64, AgentEvent>,
    pub deliveries: StreamVec<'scope, u64, DeliveryEvent>,
    pub dead_letters: StreamVec<'scope, u64, DeadLetter>,
    pub observed: StreamVec<'scope, u64, Observed>,
}

type Vecs<T> = CapacityContainerBuilder<Vec<T>>;

pub(super) fn decode<'scope>(
    batches: StreamVec<'scope, u64, Batch>,
    settings: &Settings,
    names: Names,
    spent: SyncSender<Vec<u8>>,
) -> Streams<'scope> {
    let mut builder = OperatorBuilder::new("decode".to_owned(), batches.scope());
    let mut input = builder.new_input(batches, LOCAL);
    let (runs, runs_stream) = builder.new_output();
    let (agents, agents_stream) = builder.new_output();
    let (deliveries, deliveries_stream) = builder.new_output();
    let (dead_letters, dead_letters_stream) = builder.new_output();
    let (observed, observed_stream) = builder.new_output();
    let mut runs = OutputBuilder::<_, Vecs<RunEvent>>::from(runs);
    let mut agents = OutputBuilder::<_, Vecs<AgentEvent>>::from(agents);
    let mut deliveries = OutputBuilder::<_, Vecs<DeliveryEvent>>::from(deliveries);
    let mut dead_letters = OutputBuilder::<_, Vecs<DeadLetter>>::from(dead_letters);
    let mut observed = OutputBuilder::<_, Vecs<Observed>>::from(observed);
    let mut decoder = Decoder::new(settings, names);
    builder.build(move |_| {
        let mut out = Decoded::default();
        move |_| {
            let (mut runs, mut agents, mut deliveries) = (runs.activate(), agents.activate(), deliveries.activate());
            let (mut dead_letters, mut observed) = (dead_letters.activate(), observed.activate());
            input.for_each(|capability, batches| {
                for mut batch in batches.drain(..) {
                    decoder.decode(&batch, &mut out);
                    batch.bytes.clear();
                    if batch.bytes.capacity() <= LARGEST_KEPT_BYTES {
                        // where there are enough, or nobody asks for it, it goes
                        let _ = spent.try_send(batch.bytes);
                    }
                }
                runs.session(&capability).give_container(&mut out.runs);
                out.runs.clear();
                agents.session(&capability).give_iterator(out.agents.drain(..));
                deliveries.session(&capability).give_iterator(out.deliveries.drain(..));
                dead_letters.session(&capability).give_iterator(out.dead_letters.drain(..));
                let maxima = std::mem::take(&mut out.maxima);
                let quality = std::mem::take(&mut out.quality);
                let records = std::mem::take(&mut out.records);
                observed.session(&capability).give(Observed { maxima, quality, records });
            });
        }
    });
    Streams {
        runs: runs_stream,
        agents: agents_stream,
        deliveries: deliveries_stream,
        dead_letters: dead_letters_stream,
        observed: observed_stream,
    }
}
