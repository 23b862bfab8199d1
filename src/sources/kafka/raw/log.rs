//! Where librdkafka's own lines go that a burst comes across: unasked it writes them to standard error, among our JSON.

use rdkafka::{
    bindings::{rd_kafka_set_logger, rd_kafka_t},
    client::{Client, ClientContext},
};
use std::ffi::{CStr, c_char, c_int};

/// From now on they go to the debug log, as those that polls come across.
pub fn log_quietly<C: ClientContext>(client: &Client<C>) {
    // SAFETY: the client is alive while it is borrowed, and the function lives for ever.
    unsafe { rd_kafka_set_logger(client.native_ptr(), Some(line)) }
}

unsafe extern "C" fn line(_: *const rd_kafka_t, level: c_int, facility: *const c_char, text: *const c_char) {
    if facility.is_null() || text.is_null() {
        return;
    }
    // SAFETY: librdkafka hands over two C strings that live during the call.
    let (facility, text) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(text)) };
    tracing::debug!(target: "librdkafka", level, facility = %facility.to_string_lossy(), "{}", text.to_string_lossy());
}
