//! A record as librdkafka lends it. Headers as bytes: the binding's own iterator panics at a name that is not UTF-8.

use super::Said;
use rdkafka::bindings::{
    rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_errstr, rd_kafka_message_headers,
    rd_kafka_message_t, rd_kafka_message_timestamp, rd_kafka_resp_err_t as ResponseCode,
    rd_kafka_timestamp_type_t as TimestampType,
};
use std::{
    ffi::{CStr, c_char, c_void},
    marker::PhantomData,
    ptr, slice,
};

/// One record. It stays with the thread that has taken it from the client.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a>(pub(super) &'a rd_kafka_message_t);

impl<'a> Record<'a> {
    /// A message is a record, or says something in its place.
    pub(super) fn of(message: &'a rd_kafka_message_t) -> Result<Self, Said> {
        if message.err == ResponseCode::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(Self(message));
        }
        let fatal = message.err == ResponseCode::RD_KAFKA_RESP_ERR__FATAL;
        // SAFETY: the text, where there is one, lives as long as the message.
        let reason = unsafe {
            let text = rd_kafka_message_errstr(message);
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        };
        // one of no topic is of no partition, whatever its number
        let partition = if message.rkt.is_null() { -1 } else { message.partition };
        Err(Said::new(message.err, fatal, partition, message.offset, reason))
    }

    pub const fn partition(self) -> i32 {
        self.0.partition
    }

    pub const fn offset(self) -> i64 {
        self.0.offset
    }

    /// In ms since the epoch; `None`: it has none.
    pub fn timestamp(self) -> Option<i64> {
        let mut kind = TimestampType::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive during 'a, and `kind` may be written to.
        let time = unsafe { rd_kafka_message_timestamp(self.0, &raw mut kind) };
        (time != -1 && kind != TimestampType::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE).then_some(time)
    }

    /// Empty where it is absent.
    pub const fn key(self) -> &'a [u8] {
        // SAFETY: a key that is there has `key_len` bytes, unchanged as long as the message.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    /// Empty where it is absent.
    pub const fn value(self) -> &'a [u8] {
        // SAFETY: a value that is there has `len` bytes, unchanged as long as the message.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// (name, value) of each header, in their order. An absent value is empty; librdkafka ends a name at its first NUL.
    pub fn headers(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let list = HeaderList::of(self.0);
        list.into_iter().flat_map(|list| (0..).map_while(move |index| list.get(index)))
    }
}

/// # Safety
/// `start` is null, or there are `len` bytes that stay as they are during 'a.
const unsafe fn bytes<'a>(start: *const c_void, len: usize) -> &'a [u8] {
    if start.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { slice::from_raw_parts(start.cast(), len) }
}

/// librdkafka's list of headers, which lives in its message.
#[derive(Clone, Copy)]
struct HeaderList<'a> {
    list: *const rd_kafka_headers_t,
    message: PhantomData<&'a rd_kafka_message_t>,
}

impl<'a> HeaderList<'a> {
    /// `None`: there are no headers, or none that can be read.
    fn of(message: &'a rd_kafka_message_t) -> Option<Self> {
        let mut list = ptr::null_mut();
        // SAFETY: the message is alive while it is borrowed, `list` may be written to, and only the thread that has
        // taken a message asks for its headers, which the first question parses and keeps in the message.
        let code = unsafe { rd_kafka_message_headers(message, &raw mut list) };
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
        // SAFETY: librdkafka keeps every name with a NUL behind it, and a value that is there has `size` bytes; both are
        // unchanged as long as the list.
        unsafe { Some((CStr::from_ptr(name).to_bytes(), bytes(value, size))) }
    }
}
