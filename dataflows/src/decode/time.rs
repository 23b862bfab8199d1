//! RFC 3339 date-times, read strictly: exactly what JSON Schema's format `date-time` takes, so that both agree.
//!
//! `T` and `Z` in either case, any number of fraction digits (cut to ms), offsets up to 23:59, no spaces. A leap
//! second is taken where it is 23:59:60 in UTC and counts as the first second of the next minute.

use crate::time::Millis;

/// Milliseconds since 1970 of an RFC 3339 date-time; `None` where it is not one.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    let bytes = text.as_bytes();
    let (date_time, rest) = bytes.split_at_checked(19)?;
    let at = |i: usize, wanted: u8| date_time[i].eq_ignore_ascii_case(&wanted);
    if !(at(4, b'-') && at(7, b'-') && at(10, b'T') && at(13, b':') && at(16, b':')) {
        return None;
    }
    let part = |i: usize| two_digits(date_time[i], date_time[i + 1]);
    let year = part(0)? * 100 + part(2)?;
    let (month, day) = (part(5)?, part(8)?);
    let (hour, minute, second) = (part(11)?, part(14)?, part(17)?);
    let in_range = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    if !in_range {
        return None;
    }
    let (millis, rest) = fraction(rest)?;
    let offset_minutes = offset(rest)?;
    let utc_minute = hour * 60 + minute - offset_minutes;
    if second == 60 && utc_minute.rem_euclid(24 * 60) != 24 * 60 - 1 {
        return None;
    }
    let minutes = days_from_civil(year, month, day) * 24 * 60 + utc_minute;
    Some((minutes * 60 + second) * 1_000 + millis)
}

fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// The fraction of a second, if there is one, and what follows it.
fn fraction(rest: &[u8]) -> Option<(Millis, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    let digit = |i: usize| if i < len { i64::from(digits[i] - b'0') } else { 0 };
    Some((digit(0) * 100 + digit(1) * 10 + digit(2), &digits[len..]))
}

/// `Z`, or `+hh:mm`, in minutes east of UTC.
fn offset(rest: &[u8]) -> Option<i64> {
    match rest {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two_digits(*h1, *h2)?, two_digits(*m1, *m2)?);
            let east = hours * 60 + minutes;
            (hours <= 23 && minutes <= 59).then_some(if *sign == b'+' { east } else { -east })
        }
        _ => None,
    }
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counted in years that begin in March, so that the leap
/// day comes last.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2026-11-23T13:00:00.123456789Z", 1_795_438_800_123),
            ("2026-11-23t14:30:00.1+01:30", 1_795_438_800_100),
            ("2000-02-29T23:59:60Z", 951_868_800_000),
            ("1999-01-01T01:29:60+01:30", 915_148_800_000),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("9999-12-31T23:59:59.999-23:59", 253_402_387_139_999),
        ] {
            assert_eq!(parse_rfc3339(text), Some(millis), "{text}");
        }
    }

    #[test]
    fn what_is_not_rfc_3339() {
        for text in [
            "",
            "now",
            "2026-11-23",
            "2026-11-23 13:00:00Z",
            "2026-11-23T13:00:00",
            "2026-11-23T13:00:00.Z",
            "2026-11-23T13:00Z",
            "2026-11-23T13:00:00+0100",
            "2026-11-23T13:00:00+24:00",
            "2026-11-23T13:00:00Z ",
            "2026-02-29T13:00:00Z",
            "2026-00-10T13:00:00Z",
            "2026-01-00T13:00:00Z",
            "2026-01-10T24:00:00Z",
            "2026-01-10T13:00:60Z",
            "2026-01-10T13:00:61Z",
            "+026-01-10T13:00:00Z",
            "2026-01-10T13:00:00,5Z",
            "２026-01-10T13:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_comes_back(millis in -62_167_219_200_000_i64..253_402_300_800_000) {
            let text = jiff::Timestamp::from_millisecond(millis).unwrap().to_string();
            prop_assume!(!text.starts_with('-'));
            prop_assert_eq!(parse_rfc3339(&text), Some(millis), "{}", text);
        }
    }
}
