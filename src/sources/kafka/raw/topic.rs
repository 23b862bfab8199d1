//! A topic's id, by which one that was deleted and made anew is told from the former one. The binding does not ask.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rdkafka::{
    bindings::{
        rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_request_timeout,
        rd_kafka_DescribeTopics, rd_kafka_DescribeTopics_result_topics, rd_kafka_TopicCollection_destroy,
        rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_t,
        rd_kafka_TopicDescription_topic_id, rd_kafka_Uuid_least_significant_bits,
        rd_kafka_Uuid_most_significant_bits, rd_kafka_admin_op_t, rd_kafka_error_code,
        rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy, rd_kafka_event_error, rd_kafka_event_t,
        rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll,
    },
    client::{Client, ClientContext},
    error::RDKafkaErrorCode,
};
use std::{
    ffi::{CString, c_int},
    ptr,
    time::Duration,
};

/// How much longer than its timeout an answer is waited for: librdkafka answers by itself when time is up.
const MARGIN_MS: c_int = 500;

/// The id as Kafka's own tools write it; `None`: the broker is too old to have one. Takes at most a little longer than
/// `within`.
pub fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    within: Duration,
) -> Result<Option<String>, RDKafkaErrorCode> {
    let topic = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let event = describe(client, &topic, c_int::try_from(within.as_millis()).unwrap_or(c_int::MAX))?;
    // SAFETY: the event is alive until the end of this function.
    accepted(unsafe { rd_kafka_event_error(event.0) }.into())?;
    let description = only_topic(&event).ok_or(RDKafkaErrorCode::UnknownTopic)?;
    // SAFETY: the description lives in the event; where it has no error, that is null, which the outer call takes.
    accepted(unsafe { rd_kafka_error_code(rd_kafka_TopicDescription_error(description)) }.into())?;
    // SAFETY: the id lives in the description.
    let (high, low) = unsafe {
        let id = rd_kafka_TopicDescription_topic_id(description);
        (rd_kafka_Uuid_most_significant_bits(id), rd_kafka_Uuid_least_significant_bits(id))
    };
    Ok(text(high, low))
}

/// Librdkafka's structure, destroyed once, when dropped.
struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: whoever makes an `Owned` gives it a pointer that is nobody else's, and what destroys it.
        unsafe { (self.1)(self.0) }
    }
}

/// Asks, and waits for the answer.
fn describe<C: ClientContext>(
    client: &Client<C>,
    topic: &CString,
    within_ms: c_int,
) -> Result<Owned<rd_kafka_event_t>, RDKafkaErrorCode> {
    let operation = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let client = client.native_ptr();
    let mut names = [topic.as_ptr()];
    // SAFETY: the client is alive while it is borrowed; `names` has one C string, which is copied.
    let (queue, options, topics) = unsafe {
        (
            Owned(rd_kafka_queue_new(client), rd_kafka_queue_destroy),
            Owned(rd_kafka_AdminOptions_new(client, operation), rd_kafka_AdminOptions_destroy),
            Owned(
                rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
                rd_kafka_TopicCollection_destroy,
            ),
        )
    };
    // SAFETY: client, options, topics and queue are alive; the call copies the first two. An answer after the queue is
    // destroyed is dropped by librdkafka. No text is asked for where the timeout is refused: null, 0.
    let event = unsafe {
        accepted(rd_kafka_AdminOptions_set_request_timeout(options.0, within_ms, ptr::null_mut(), 0).into())?;
        rd_kafka_DescribeTopics(client, topics.0, options.0, queue.0);
        rd_kafka_queue_poll(queue.0, within_ms.saturating_add(MARGIN_MS))
    };
    let none = RDKafkaErrorCode::OperationTimedOut;
    if event.is_null() { Err(none) } else { Ok(Owned(event, rd_kafka_event_destroy)) }
}

/// The description of the one topic asked for, which lives in the event.
fn only_topic(event: &Owned<rd_kafka_event_t>) -> Option<*const rd_kafka_TopicDescription_t> {
    let mut count = 0;
    // SAFETY: the event is alive; of another kind it has no result, which is null.
    let result = unsafe { rd_kafka_event_DescribeTopics_result(event.0) };
    if result.is_null() {
        return None;
    }
    // SAFETY: the result is the event itself; `count` may be written to.
    let topics = unsafe { rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    // SAFETY: the array has `count` pointers.
    (count == 1).then(|| unsafe { *topics })
}

fn accepted(code: RDKafkaErrorCode) -> Result<(), RDKafkaErrorCode> {
    if code == RDKafkaErrorCode::NoError { Ok(()) } else { Err(code) }
}

/// Zero is no id.
fn text(high: i64, low: i64) -> Option<String> {
    let bytes = [high.to_be_bytes(), low.to_be_bytes()].concat();
    (high != 0 || low != 0).then(|| URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_kafkas_own_tools_do() {
        assert_eq!(text(0, 0), None);
        assert_eq!(text(0, 1).as_deref(), Some("AAAAAAAAAAAAAAAAAAAAAQ"));
        assert_eq!(text(-1, -1).as_deref(), Some("_____________________w"));
    }
}
