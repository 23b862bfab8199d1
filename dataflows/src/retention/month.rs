//! Calendar months in UTC, and the names of their partitions: `log_lines_yYYYYmMM`.

use super::policy::{DAY_MS, Partition};
use crate::time::Millis;

/// The partition that takes lines of no month; it is never dropped.
pub const DEFAULT_PARTITION: &str = "log_lines_default";

const PREFIX: &str = "log_lines_y";

/// A month, counted from January of the year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(i64);

impl Month {
    #[must_use]
    pub const fn of(time: Millis) -> Self {
        // days to civil, as in H. Hinnant, "chrono-compatible low-level date algorithms"
        let days = time.div_euclid(DAY_MS) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // from March
        let month = (5 * day_of_year + 2) / 153;
        Self((era * 400 + year_of_era) * 12 + month + 2)
    }

    /// Its first moment.
    #[must_use]
    pub const fn begin(self) -> Millis {
        let from_march = self.0 - 2;
        let (year, month) = (from_march.div_euclid(12), from_march.rem_euclid(12));
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month + 2) / 5;
        (era * 146_097 + day_of_era - 719_468).saturating_mul(DAY_MS)
    }

    /// The month so many later.
    #[must_use]
    pub const fn plus(self, months: i64) -> Self {
        Self(self.0 + months)
    }

    /// Its partition, as gocdnext lays them.
    #[must_use]
    pub fn partition(self) -> Partition {
        let name = format!("{PREFIX}{:04}m{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1);
        Partition { name, lower: self.begin(), upper: self.plus(1).begin(), adopted: false }
    }

    /// The month in a partition's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let (year, month) = name.strip_prefix(PREFIX)?.split_once('m')?;
        let digits = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
        if !(digits(year, 4) && digits(month, 2)) {
            return None;
        }
        let (year, month): (i64, i64) = (year.parse().ok()?, month.parse().ok()?);
        (1..=12).contains(&month).then(|| Self(year * 12 + month - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        crate::decode::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_months_partition_has_its_name_and_bounds() {
        let partition = Month::of(at("2026-02-17T12:00:00Z")).partition();
        let (lower, upper) = (at("2026-02-01T00:00:00Z"), at("2026-03-01T00:00:00Z"));
        assert_eq!(partition, Partition { name: "log_lines_y2026m02".into(), lower, upper, adopted: false });
    }

    #[test]
    fn every_month_follows_the_one_before_without_a_gap() {
        let mut month = Month::of(at("1899-12-31T23:59:59Z"));
        for _ in 0..12 * 400 {
            let (begin, next) = (month.begin(), month.plus(1));
            assert_eq!((Month::of(begin), Month::of(next.begin() - 1)), (month, month));
            assert!((28..=31).contains(&((next.begin() - begin) / DAY_MS)));
            assert_eq!(Month::from_name(&month.partition().name), Some(month));
            month = next;
        }
        assert_eq!(month, Month::of(at("2299-12-31T23:59:59Z")));
        assert_eq!(Month::of(at("2000-03-01T00:00:00Z")).plus(-1).begin(), at("2000-02-01T00:00:00Z"));
    }

    #[test]
    fn other_names_are_of_no_month() {
        for name in [
            "log_lines_default",
            "log_lines_y2026m13",
            "log_lines_y2026m00",
            "log_lines_y26m01",
            "log_lines_y2026m1",
            "log_lines_y2026m01_old",
            "other_y2026m01",
            "log_lines_y+026m01",
        ] {
            assert_eq!(Month::from_name(name), None, "{name}");
        }
    }
}
