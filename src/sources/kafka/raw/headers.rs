//! The headers of a record as bytes. The binding's own iterator panics at a name that is not UTF-8.

use rdkafka::{
    bindings::{
        rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_headers, rd_kafka_resp_err_t as ResponseCode,
    },
    message::BorrowedMessage,
};
use std::{
    ffi::{CStr, c_char, c_void},
    marker::PhantomData,
    ptr, slice,
};

/// (name, value) of each header, in their order. An absent value is empty; librdkafka ends a name at its first NUL.
pub fn headers<'a>(message: &'a BorrowedMessage<'_>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let list = HeaderList::of(message);
    list.into_iter().flat_map(|list| (0..).map_while(move |index| list.get(index)))
}

/// librdkafka's list of headers, which lives in its message.
#[derive(Clone, Copy)]
struct HeaderList<'a> {
    list: *const rd_kafka_headers_t,
    message: PhantomData<&'a c_void>,
}

impl<'a> HeaderList<'a> {
    /// `None`: there are no headers, or none that can be read.
    fn of(message: &'a BorrowedMessage<'_>) -> Option<Self> {
        let mut list = ptr::null_mut();
        // SAFETY: the message is alive while it is borrowed, `list` may be written to, and only the thread that has
        // polled a message asks for its headers, which the first question parses and keeps in the message.
        let code = unsafe { rd_kafka_message_headers(message.ptr(), &raw mut list) };
        let found = code == ResponseCode::RD_KAFKA_RESP_ERR_NO_ERROR && !list.is_null();
        found.then_some(Self { list, message: PhantomData })
    }

    /// `None` behind the last.
    fn get(self, index: usize) -> Option<(&'a [u8], &'a [u8])> {
        let (mut name, mut value, mut size) = (ptr::null::<c_char>(), ptr::null::<c_void>(), 0_usize);
        // SAFETY: the list is alive as long as its message, so during 'a, and the three places may be written to.
        let code = unsafe { rd_kafka_header_get_all(self.list, index, &raw mut name, &raw mut value, &raw mut size) };
        if code != ResponseCode::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return None;
        }
        // SAFETY: librdkafka keeps every name with a NUL behind it, unchanged as long as the list.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        let value = if value.is_null() || size == 0 {
            &[]
        } else {
            // SAFETY: a value that is there has `size` bytes, unchanged as long as the list.
            unsafe { slice::from_raw_parts(value.cast(), size) }
        };
        Some((name, value))
    }
}
