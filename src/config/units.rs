//! Durations and sizes as people write them: `250ms`, `90s`, `1h30m`, `14d`; `64MiB`, `1GB`, `4096`.
//!
//! A duration always needs a unit: `job_ttl = 24` would be hours to one reader and seconds to the next. What
//! [`duration`] and [`size`] accept, [`show_duration`] and [`show_size`] write in a form that reads back the same.

use dataflows::time::Millis;

/// Unit and its length in ms, the longest first.
const DURATIONS: [(&str, Millis); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Unit (lower case) and its length in bytes.
const SIZES: [(&str, u64); 8] = [
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("", 1),
];

/// Why a text is no duration or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// A number alone, where only a unit would say what it means.
    NoUnit,
    Malformed,
    TooLarge,
}

/// `1h30m` in ms. Parts go from the longest unit to the shortest; a fraction must come out in whole milliseconds.
pub fn duration(text: &str) -> Result<Millis, Unreadable> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Unreadable::Malformed);
    }
    let (mut rest, mut total, mut longest) = (text, 0, Millis::MAX);
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let (unit, next) = after.split_at(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()));
        if unit.is_empty() && after.is_empty() && !number.is_empty() {
            return Err(Unreadable::NoUnit);
        }
        let length = DURATIONS.iter().find(|(name, _)| *name == unit).ok_or(Unreadable::Malformed)?.1;
        if length >= longest {
            return Err(Unreadable::Malformed);
        }
        let part = decimal(number, length)?;
        total = i64::checked_add(total, part).ok_or(Unreadable::TooLarge)?;
        (rest, longest) = (next.trim_start(), length);
    }
    Ok(total)
}

/// `64MiB` in bytes; a number alone is bytes.
pub fn size(text: &str) -> Result<u64, Unreadable> {
    let (number, unit) = split_number(text.trim());
    let unit = unit.trim().to_ascii_lowercase();
    let length = SIZES.iter().find(|(name, _)| *name == unit).ok_or(Unreadable::Malformed)?.1;
    let bytes = decimal(number, i64::try_from(length).map_err(|_| Unreadable::TooLarge)?)?;
    u64::try_from(bytes).map_err(|_| Unreadable::Malformed)
}

/// A whole number, `_` between digits allowed: `10_000_000`.
pub fn count(text: &str) -> Result<u64, Unreadable> {
    let digits: String = text.trim().chars().filter(|c| *c != '_').collect();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Unreadable::Malformed);
    }
    digits.parse().map_err(|_| Unreadable::TooLarge)
}

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len()))
}

/// `number` times `unit`, exact or refused.
fn decimal(number: &str, unit: i64) -> Result<i64, Unreadable> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let units = i64::try_from(count(whole)?).map_err(|_| Unreadable::TooLarge)?;
    let mut total = units.checked_mul(unit).ok_or(Unreadable::TooLarge)?;
    if number.contains('.') {
        if fraction.contains('_') {
            return Err(Unreadable::Malformed);
        }
        let digits = i64::try_from(count(fraction)?).map_err(|_| Unreadable::TooLarge)?;
        let scale = u32::try_from(fraction.len()).ok().and_then(|places| 10_i64.checked_pow(places));
        let scaled = digits.checked_mul(unit).ok_or(Unreadable::TooLarge)?;
        let scale = scale.filter(|scale| scaled % scale == 0).ok_or(Unreadable::Malformed)?;
        total = total.checked_add(scaled / scale).ok_or(Unreadable::TooLarge)?;
    }
    Ok(total)
}

/// In the longest unit that comes out whole; hours up to three days, as people say them.
#[must_use]
pub fn show_duration(ms: Millis) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let whole = |(unit, length): &&(&str, Millis)| {
        ms % length == 0 && *unit != "w" && (*unit != "d" || ms > 3 * length) && ms >= *length
    };
    DURATIONS.iter().find(whole).map_or_else(|| format!("{ms}ms"), |(unit, length)| format!("{}{unit}", ms / length))
}

/// In the longest binary unit that comes out whole.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, length)| bytes > 0 && bytes.is_multiple_of(*length))
        .map_or_else(|| bytes.to_string(), |(unit, length)| format!("{}{unit}", bytes / length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        let cases = [
            ("250ms", 250),
            ("90s", 90_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("10000d", 864_000_000_000),
            ("2w", 1_209_600_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2.5s", 2_500),
            ("0s", 0),
        ];
        for (text, ms) in cases {
            assert_eq!(duration(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "5 parsecs", "-5s", "1m2h", "1s1s", "0.0001s", "1.s", ".5s", "5S", "1._5s", "1.2.3s"] {
            assert_eq!(duration(text), Err(Unreadable::Malformed), "{text}");
        }
        assert_eq!(duration("24"), Err(Unreadable::NoUnit));
        assert_eq!(duration("1h30"), Err(Unreadable::NoUnit));
        assert_eq!(duration("99999999999999999999d"), Err(Unreadable::TooLarge));
        assert_eq!(duration("9223372036854775807w"), Err(Unreadable::TooLarge));
    }

    #[test]
    fn sizes_are_read_in_both_kinds_of_unit() {
        let cases =
            [("64MiB", 64 << 20), ("1GB", 1_000_000_000), ("4096", 4096), ("1.5 KiB", 1536), ("10kB", 10_000)];
        for (text, bytes) in cases {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "4 bytes", "-1"] {
            assert_eq!(size(text), Err(Unreadable::Malformed), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for ms in [0, 1, 250, 2_500, 60_000, 90_000, 86_400_000, 259_200_000, 1_209_600_000, 5_400_000] {
            assert_eq!(duration(&show_duration(ms)), Ok(ms));
        }
        assert_eq!(show_duration(86_400_000), "24h");
        assert_eq!(show_duration(1_209_600_000), "14d");
        for bytes in [0, 1, 1024, 4097, 64 << 20, 3 << 30] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_duration_and_size_written_reads_back(ms in 0_i64..=i64::MAX, bytes in 0_u64..=(1 << 62)) {
            proptest::prop_assert_eq!(duration(&show_duration(ms)), Ok(ms));
            proptest::prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        /// Any text is read or refused; none panics.
        #[test]
        fn any_text_is_judged(text in "[0-9._ a-zA-Zµ-]{0,24}") {
            for read in [duration(&text).ok(), size(&text).ok().and_then(|bytes| i64::try_from(bytes).ok())] {
                proptest::prop_assert!(read.is_none_or(|number| number >= 0));
            }
        }
    }
}
