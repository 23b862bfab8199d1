//! One poll that waits, as the binding's own does, and that tells the offset at which the end of a partition is signalled,
//! which the binding's does not.

use super::{Record, Said};
use rdkafka::{
    bindings::{
        RD_KAFKA_EVENT_ERROR, RD_KAFKA_EVENT_FETCH, RD_KAFKA_EVENT_LOG, rd_kafka_event_destroy, rd_kafka_event_error,
        rd_kafka_event_error_is_fatal, rd_kafka_event_error_string, rd_kafka_event_log, rd_kafka_event_message_next,
        rd_kafka_event_t, rd_kafka_event_topic_partition, rd_kafka_event_type, rd_kafka_message_t,
        rd_kafka_queue_destroy, rd_kafka_queue_get_consumer, rd_kafka_queue_poll, rd_kafka_topic_partition_destroy,
    },
    client::{Client, ClientContext},
};
use std::{borrow::Cow, ffi::CStr, ptr, time::Duration};

/// What a poll gave.
pub enum Came<'a> {
    /// The queue was empty.
    Nothing,
    Record(Record<'a>),
    Said(Said),
    /// A line of librdkafka's own.
    Line {
        facility: Cow<'a, str>,
        text: Cow<'a, str>,
        level: i32,
    },
    /// What concerns nobody.
    Other,
}

/// What one poll has taken from a consumer's queue; freed when dropped.
pub struct Polled {
    event: *mut rd_kafka_event_t,
    /// Its record, where it has one; it lives as long as the event.
    message: *const rd_kafka_message_t,
}

impl Polled {
    /// What comes within `wait`, at most one thing.
    pub fn wait<C: ClientContext>(consumer: &Client<C>, wait: Duration) -> Self {
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client is alive while it is borrowed; one that is no consumer has no such queue, which is null. The
        // queue is given back once, and the event belongs to whoever polled it.
        let event = unsafe {
            let queue = rd_kafka_queue_get_consumer(consumer.native_ptr());
            if queue.is_null() {
                return Self { event: ptr::null_mut(), message: ptr::null() };
            }
            let event = rd_kafka_queue_poll(queue, wait);
            rd_kafka_queue_destroy(queue);
            event
        };
        // SAFETY: the event is there, or null, which is of no kind.
        let message = unsafe {
            if rd_kafka_event_type(event) == RD_KAFKA_EVENT_FETCH {
                rd_kafka_event_message_next(event)
            } else {
                ptr::null()
            }
        };
        Self { event, message }
    }

    pub fn came(&self) -> Came<'_> {
        // SAFETY: where there is a message it lives as long as the event, so while `self` is borrowed, and nobody writes to
        // these fields.
        if let Some(message) = unsafe { self.message.as_ref() } {
            return Record::of(message).map_or_else(Came::Said, Came::Record);
        }
        // SAFETY: the event is there, or null, which is of no kind.
        match unsafe { rd_kafka_event_type(self.event) } {
            RD_KAFKA_EVENT_ERROR => Came::Said(self.said()),
            RD_KAFKA_EVENT_LOG => self.line(),
            _ if self.event.is_null() => Came::Nothing,
            _ => Came::Other,
        }
    }

    fn line(&self) -> Came<'_> {
        let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: an event of this kind is there, and the three places may be written to.
        let code = unsafe { rd_kafka_event_log(self.event, &raw mut facility, &raw mut text, &raw mut level) };
        if code != 0 || facility.is_null() || text.is_null() {
            return Came::Other;
        }
        // SAFETY: both texts live as long as the event.
        unsafe {
            Came::Line {
                facility: CStr::from_ptr(facility).to_string_lossy(),
                text: CStr::from_ptr(text).to_string_lossy(),
                level,
            }
        }
    }

    fn said(&self) -> Said {
        // SAFETY: an event of this kind is there, and its text lives as long as it does; the partition is ours to give back.
        unsafe {
            let text = rd_kafka_event_error_string(self.event);
            let reason =
                if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() };
            let place = rd_kafka_event_topic_partition(self.event);
            let (partition, offset) = place.as_ref().map_or((-1, -1), |place| (place.partition, place.offset));
            if !place.is_null() {
                rd_kafka_topic_partition_destroy(place);
            }
            let fatal = rd_kafka_event_error_is_fatal(self.event) != 0;
            Said::new(rd_kafka_event_error(self.event), fatal, partition, offset, reason)
        }
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        if !self.event.is_null() {
            // SAFETY: the event is nobody else's, and is destroyed once, with its message.
            unsafe { rd_kafka_event_destroy(self.event) }
        }
    }
}
