//! A Kafka record: its headers, and the content mode they say (CloudEvents Kafka protocol binding, section 3).

use super::{fault::Fault, scalar::Scalar};
use crate::feed::KafkaRecord;

/// A record's parts, borrowed from the batch's arena.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub key: &'a [u8],
    pub headers: Headers<'a>,
    pub value: &'a [u8],
}

impl<'a> Parts<'a> {
    /// A line of a file: it has a value only.
    pub(super) const fn line(value: &'a [u8]) -> Self {
        Self { key: &[], headers: Headers(&[]), value }
    }

    /// Positions outside the arena give empty parts.
    pub(super) fn of(record: &KafkaRecord, bytes: &'a [u8]) -> Self {
        let part = |start: u32, end: u32| bytes.get(start as usize..end as usize).unwrap_or_default();
        Self {
            key: part(record.key_start, record.headers_start),
            headers: Headers(part(record.headers_start, record.value_start)),
            value: part(record.value_start, record.value_end),
        }
    }
}

/// Headers as [`KafkaRecord`] lays them out; iterates over (name, value). What is cut short ends them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers<'a>(&'a [u8]);

impl Headers<'_> {
    /// A copy for the dead letters; what is not UTF-8 in a name is replaced, since names are text there.
    pub(super) fn to_vec(self) -> Vec<(String, Vec<u8>)> {
        self.into_iter().map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec())).collect()
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        HeaderIter(self.0)
    }
}

pub(super) struct HeaderIter<'a>(&'a [u8]);

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        self.0 = rest;
        Some((name, value))
    }
}

/// How an event lies in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Structured,
    Binary,
}

impl Mode {
    /// Structured by content-type; else binary where there are `ce_` headers; else structured if nothing is said.
    pub(super) fn of(headers: Headers<'_>) -> Result<Self, Fault> {
        if headers.is_empty() {
            return Ok(Self::Structured);
        }
        let mut content_type: Option<String> = None;
        let mut attributes = false;
        for (name, value) in headers {
            if name.eq_ignore_ascii_case(b"content-type") {
                content_type = Some(media_type(value));
            }
            // a name that is not UTF-8 is nobody's attribute
            attributes |= name.starts_with(b"ce_") && str::from_utf8(name).is_ok();
        }
        match content_type.as_deref() {
            Some("application/cloudevents+json" | "application/cloudevents") => Ok(Self::Structured),
            Some(other) if other.starts_with("application/cloudevents") => Err(wrong_content_type(other)),
            _ if attributes => Ok(Self::Binary),
            None => Ok(Self::Structured),
            Some(other) => Err(wrong_content_type(other)),
        }
    }
}

/// Lower case, without parameters.
fn media_type(value: &[u8]) -> String {
    let value = value.split(|byte| *byte == b';').next().unwrap_or_default();
    String::from_utf8_lossy(value.trim_ascii()).to_ascii_lowercase()
}

#[cold]
fn wrong_content_type(found: &str) -> Fault {
    let wanted = "application/cloudevents+json, none at all, or `ce_*` headers beside it";
    Fault::attribute("content-type", &Scalar::borrowed(found), wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(headers: &[(impl AsRef<[u8]>, &str)]) -> Option<Mode> {
        let mut bytes = Vec::new();
        for (name, value) in headers {
            let name = name.as_ref();
            bytes.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        Mode::of(Headers(&bytes)).ok()
    }

    #[test]
    fn the_content_type_decides_then_the_headers() {
        let json = ("content-type", "application/json");
        let structured = ("Content-Type", "Application/CloudEvents+JSON; charset=UTF-8");
        let ce = ("ce_specversion", "1.0");
        assert_eq!(mode(&[("", ""); 0]), Some(Mode::Structured));
        assert_eq!(mode(&[("other", "x")]), Some(Mode::Structured));
        assert_eq!(mode(&[structured]), Some(Mode::Structured));
        assert_eq!(mode(&[ce, structured]), Some(Mode::Structured));
        assert_eq!(mode(&[ce]), Some(Mode::Binary));
        assert_eq!(mode(&[(b"ce_\xff", "x")]), Some(Mode::Structured), "no attribute has such a name");
        assert_eq!(mode(&[json, ce]), Some(Mode::Binary));
        assert_eq!(mode(&[json]), None);
        assert_eq!(mode(&[("content-type", "application/cloudevents-batch+json")]), None);
        assert_eq!(mode(&[ce, ("content-type", "application/cloudevents+avro")]), None);
    }

    #[test]
    fn headers_cut_short_end_there() {
        for bytes in [&[][..], &[1], &[1, 0], &[1, 0, b'a'], &[1, 0, b'a', 9, 0, 0, 0, b'x'], &[0xff; 7]] {
            assert_eq!(Headers(bytes).into_iter().count(), 0, "{bytes:?}");
        }
        assert_eq!(Headers(&[1, 0, b'a', 1, 0, 0, 0, b'x', 1]).to_vec(), [("a".to_owned(), b"x".to_vec())]);
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_kept_as_far_as_text_can() {
        let headers = Headers(&[2, 0, b'a', 0xff, 1, 0, 0, 0, 0xfe]);
        assert_eq!(headers.to_vec(), [("a\u{fffd}".to_owned(), vec![0xfe])]);
    }
}
