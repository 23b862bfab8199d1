//! Numbers made of text: UUIDs, the trace id of `traceparent`, and fingerprints of deliveries.

use crate::event::Id;
use siphasher::sip128::SipHasher13;

/// A UUID in its hyphenated form (RFC 9562), in either case: what JSON Schema's format `uuid` takes.
pub(super) fn parse_uuid(text: &str) -> Option<Id> {
    let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
    if [bytes[8], bytes[13], bytes[18], bytes[23]] != *b"----" {
        return None;
    }
    let mut digits = [0; 32];
    digits[..8].copy_from_slice(&bytes[..8]);
    digits[8..12].copy_from_slice(&bytes[9..13]);
    digits[12..16].copy_from_slice(&bytes[14..18]);
    digits[16..20].copy_from_slice(&bytes[19..23]);
    digits[20..].copy_from_slice(&bytes[24..]);
    parse_hex(&digits)
}

/// 32 hexadecimal digits. Written without branches, so that it compiles to vector instructions: an event has five.
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a branch")]
fn parse_hex(digits: &[u8; 32]) -> Option<u128> {
    let mut nibbles = [0_u8; 32];
    let mut valid = true;
    for (nibble, byte) in nibbles.iter_mut().zip(digits) {
        let digit = byte.wrapping_sub(b'0');
        let letter = (byte | 0x20).wrapping_sub(b'a');
        valid &= (digit < 10) | (letter < 6);
        *nibble = if digit < 10 { digit } else { letter.wrapping_add(10) };
    }
    let mut number = [0_u8; 16];
    for (byte, pair) in number.iter_mut().zip(nibbles.as_chunks::<2>().0) {
        *byte = (pair[0] << 4) | (pair[1] & 0x0f);
    }
    valid.then_some(u128::from_be_bytes(number))
}

/// The trace id of a W3C `traceparent`; 0 where it is invalid, which the standard says to ignore.
pub(super) fn trace_id(traceparent: &str) -> u128 {
    parse_traceparent(traceparent.as_bytes()).unwrap_or(0)
}

fn parse_traceparent(bytes: &[u8]) -> Option<u128> {
    let (head, rest) = bytes.split_at_checked(55)?;
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let (version, trace, parent, flags) = (&head[..2], &head[3..35], &head[36..52], &head[53..]);
    let well_formed = [head[2], head[35], head[52]] == *b"---"
        && [version, parent, flags].into_iter().flatten().all(hex)
        && !trace.iter().fold(false, |upper, byte| upper | byte.is_ascii_uppercase())
        && version != b"ff"
        && parent.iter().any(|byte| *byte != b'0');
    // a later version may append fields
    let ends = rest.is_empty() || (version != b"00" && rest[0] == b'-');
    if !(well_formed && ends) {
        return None;
    }
    parse_hex(trace.try_into().ok()?)
}

/// Fingerprints names by SipHash-1-3 of 128 bits under fixed keys, the same in every process and version: they are
/// remembered over restarts.
#[derive(Debug)]
pub(super) struct Fingerprints {
    deliveries: SipHasher13,
    partitions: SipHasher13,
    buffer: Vec<u8>,
}

impl Fingerprints {
    pub(super) fn new() -> Self {
        Self {
            deliveries: SipHasher13::new_with_key(b"gocdnext/deliver"),
            partitions: SipHasher13::new_with_key(b"gocdnext/partiti"),
            buffer: Vec::new(),
        }
    }

    /// Of a delivery. The byte 0xff, which UTF-8 never has, keeps ("a", "bc") and ("ab", "c") apart.
    pub(super) fn delivery(&mut self, source: &str, id: &str) -> u128 {
        self.buffer.clear();
        self.buffer.extend_from_slice(source.as_bytes());
        self.buffer.push(0xff);
        self.buffer.extend_from_slice(id.as_bytes());
        self.deliveries.hash(&self.buffer).as_u128()
    }

    /// Of a partition's name: a domain of its own.
    pub(super) fn partition(&self, name: &str) -> u128 {
        self.partitions.hash(name.as_bytes()).as_u128()
    }
}

/// The half of a fingerprint that breaks ties between facts of the same time.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
pub(super) const fn tie(fingerprint: u128) -> u64 {
    fingerprint as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_in_either_case() {
        let id = Some(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(parse_uuid("01234567-89ab-cdef-0123-456789abcdef"), id);
        assert_eq!(parse_uuid("01234567-89AB-CDEF-0123-456789ABCDEF"), id);
        assert_eq!(parse_uuid("00000000-0000-0000-0000-000000000000"), Some(0));
    }

    #[test]
    fn every_byte_that_is_no_hex_digit_spoils_a_uuid() {
        let good = *b"01234567-89ab-cdef-0123-456789abcdef";
        for position in (0..36).filter(|i| ![8, 13, 18, 23].contains(i)) {
            for byte in 0..=0x7f_u8 {
                let mut bytes = good;
                bytes[position] = byte;
                let text = std::str::from_utf8(&bytes).unwrap();
                assert_eq!(parse_uuid(text).is_some(), byte.is_ascii_hexdigit(), "{text:?}");
            }
        }
    }

    #[test]
    fn other_forms_of_uuid_are_refused() {
        for text in [
            "",
            "0123456789abcdef0123456789abcdef",
            "{01234567-89ab-cdef-0123-456789abcdef}",
            "urn:uuid:01234567-89ab-cdef-0123-456789abcdef",
            "01234567-89ab-cdef-0123-456789abcdef0",
            "012345678-9ab-cdef-0123-456789abcdef",
            "é1234567-89ab-cdef-0123-456789abcde",
        ] {
            assert_eq!(parse_uuid(text), None, "{text}");
        }
    }

    #[test]
    fn a_traceparent_gives_its_trace_id_or_nothing() {
        let id = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
        let parent = |head: &str, tail: &str| trace_id(&format!("{head}-4bf92f3577b34da6a3ce929d0e0e4736-{tail}"));
        assert_eq!(parent("00", "00f067aa0ba902b7-01"), id);
        assert_eq!(parent("cc", "00f067aa0ba902b7-01-later"), id);
        assert_eq!(parent("00", "00f067aa0ba902b7-01-later"), 0);
        assert_eq!(parent("ff", "00f067aa0ba902b7-01"), 0);
        assert_eq!(parent("00", "0000000000000000-01"), 0);
        assert_eq!(parent("00", "00F067AA0BA902B7-01"), 0);
        assert_eq!(trace_id("00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), 0);
        assert_eq!(trace_id("00-xbf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), 0);
        assert_eq!(parent("0é", "00f067aa0ba902b7-0"), 0);
        assert_eq!(trace_id(""), 0);
    }

    #[test]
    fn fingerprints_never_change_and_keep_their_domains_apart() {
        let mut prints = Fingerprints::new();
        assert_eq!(prints.delivery("/gocdnext", "1"), prints.delivery("/gocdnext", "1"));
        assert_ne!(prints.delivery("a", "bc"), prints.delivery("ab", "c"));
        assert_ne!(prints.partition("a"), prints.deliveries.hash(b"a").as_u128());
        assert_eq!(
            prints.delivery("/gocdnext", "1"),
            0x47ee_ae3b_1abe_cd82_ad25_d578_fbd5_8f5d,
            "remembered state depends on this value"
        );
    }
}
