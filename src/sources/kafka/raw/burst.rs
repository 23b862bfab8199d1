//! Many records in one call. The binding polls them one by one, which costs three times as much.
//!
//! Unlike the binding's poll a burst never waits, and what is neither a record nor the error of a partition goes to the
//! client's log: whoever takes bursts polls, too, so that all else is served. librdkafka's own idea of a position moves one
//! past a signalled end; nothing here rests on it, and nothing may (`position`, `pause`).

use super::{Record, Said};
use rdkafka::{
    bindings::{
        rd_kafka_consume_batch_queue, rd_kafka_message_destroy, rd_kafka_message_t, rd_kafka_queue_destroy,
        rd_kafka_queue_get_consumer,
    },
    client::{Client, ClientContext},
};
use std::ptr;

/// Taken at once, at the most.
const MOST: usize = 512;

/// What one call has taken from a consumer's queue; freed when dropped.
pub struct Burst {
    taken: [*mut rd_kafka_message_t; MOST],
    count: usize,
}

impl Burst {
    /// What the consumer has in its queue now, at most so many; empty: there was nothing in it.
    pub fn take<C: ClientContext>(consumer: &Client<C>, most: usize) -> Self {
        let mut taken = [ptr::null_mut(); MOST];
        // SAFETY: the client is alive while it is borrowed; one that is no consumer has no such queue, which is null. The
        // queue is given back once. `taken` has room for as many messages as are asked for.
        let count = unsafe {
            let queue = rd_kafka_queue_get_consumer(consumer.native_ptr());
            if queue.is_null() {
                return Self { taken, count: 0 };
            }
            let count = rd_kafka_consume_batch_queue(queue, 0, taken.as_mut_ptr(), most.clamp(1, MOST));
            rd_kafka_queue_destroy(queue);
            count
        };
        Self { taken, count: usize::try_from(count).unwrap_or(0) }
    }

    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// In their order.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'_>, Said>> {
        self.taken[..self.count].iter().map(|message| {
            // SAFETY: librdkafka has put `count` messages there, which live until they are destroyed, and nobody writes
            // to these fields.
            Record::of(unsafe { &**message })
        })
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        for message in &self.taken[..self.count] {
            // SAFETY: the messages are nobody else's, and each is destroyed once.
            unsafe { rd_kafka_message_destroy(*message) }
        }
    }
}
