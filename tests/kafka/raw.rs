//! Sends what rdkafka's safe interface cannot: headers whose name is any bytes, as clients in C and Go do.

use rdkafka::{
    bindings::{RD_KAFKA_MSG_F_COPY, rd_kafka_producev, rd_kafka_resp_err_t, rd_kafka_vtype_t as Argument},
    producer::{BaseProducer, Producer},
};
use std::ffi::CStr;

/// Puts a record with one header on a partition.
pub fn send_with_header(
    producer: &BaseProducer,
    topic: &CStr,
    partition: i32,
    value: &[u8],
    (name, content): (&CStr, &[u8]),
) {
    // SAFETY: the client is alive while the producer is borrowed. Each tag is followed by what it announces: a C string,
    // an i32, an i32 of flags, pointer and size, C string with pointer and size; the last is the end. librdkafka copies
    // the value (F_COPY) and always the headers before it returns.
    let code = unsafe {
        rd_kafka_producev(
            producer.client().native_ptr(),
            Argument::RD_KAFKA_VTYPE_TOPIC,
            topic.as_ptr(),
            Argument::RD_KAFKA_VTYPE_PARTITION,
            partition,
            Argument::RD_KAFKA_VTYPE_MSGFLAGS,
            RD_KAFKA_MSG_F_COPY,
            Argument::RD_KAFKA_VTYPE_VALUE,
            value.as_ptr(),
            value.len(),
            Argument::RD_KAFKA_VTYPE_HEADER,
            name.as_ptr(),
            content.as_ptr(),
            content.len(),
            Argument::RD_KAFKA_VTYPE_END,
        )
    };
    assert_eq!(code, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, "room in the queue");
}
