//! The source: stamps what the feeder sends with the open epoch, and moves on when it says so.
//!
//! Two outputs, batches and epoch ends, whose capabilities go down together: an epoch's end is sent before its
//! capability is given up. Only worker 0 sends the ends on; all workers give up the epoch.

use crate::{
    feed::{Batch, EpochEnd, Feed},
    time::Epoch,
};
use std::sync::mpsc::{Receiver, TryRecvError};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        Scope, StreamVec,
        operators::{
            Capability,
            generic::{OutputBuilder, builder_rc::OperatorBuilder},
        },
    },
    scheduling::SyncActivator,
};

/// Messages taken in one go, so that the rest of the graph gets its turn.
const MESSAGES_A_TURN: usize = 8;

type Vecs<T> = CapacityContainerBuilder<Vec<T>>;

pub(super) struct Source<'scope> {
    pub batches: StreamVec<'scope, u64, Batch>,
    pub ends: StreamVec<'scope, u64, EpochEnd>,
    /// Wakes the worker when the feeder has sent something.
    pub waker: SyncActivator,
}

pub(super) fn source(scope: Scope<'_, u64>, feeds: Receiver<Feed>, first_epoch: Epoch) -> Source<'_> {
    let mut builder = OperatorBuilder::new("source".to_owned(), scope);
    let address = builder.operator_info().address;
    let (batches, batches_stream) = builder.new_output();
    let mut batches = OutputBuilder::<_, Vecs<Batch>>::from(batches);
    let (ends, ends_stream) = builder.new_output();
    let mut ends = OutputBuilder::<_, Vecs<EpochEnd>>::from(ends);
    let activator = scope.activator_for(address.clone());
    let waker = scope.worker().sync_activator_for(address.to_vec());
    let leads = scope.index() == 0;
    builder.build(move |capabilities| {
        let mut open = OpenEpoch::new(capabilities, first_epoch);
        move |_| {
            let mut batches = batches.activate();
            let mut ends = ends.activate();
            for _ in 0..MESSAGES_A_TURN {
                let Some(epoch) = &mut open else { return };
                match feeds.try_recv() {
                    Ok(Feed::Batch(batch)) => batches.session(&epoch.batches).give(batch),
                    Ok(Feed::EpochEnd(end)) => {
                        if leads {
                            ends.session(&epoch.ends).give((*end).clone());
                        }
                        epoch.move_on(end.next_epoch);
                    }
                    Err(TryRecvError::Empty) => return,
                    Err(TryRecvError::Disconnected) => open = None,
                }
            }
            activator.activate();
        }
    });
    Source { batches: batches_stream, ends: ends_stream, waker }
}

/// The capabilities of the open epoch, one an output.
struct OpenEpoch {
    batches: Capability<u64>,
    ends: Capability<u64>,
}

impl OpenEpoch {
    fn new(capabilities: Vec<Capability<u64>>, first: Epoch) -> Option<Self> {
        let [batches, ends] = <[_; 2]>::try_from(capabilities).ok()?;
        let mut open = Self { batches, ends };
        open.move_on(first);
        Some(open)
    }

    fn move_on(&mut self, to: Epoch) {
        self.batches.downgrade(&to.0);
        self.ends.downgrade(&to.0);
    }
}
