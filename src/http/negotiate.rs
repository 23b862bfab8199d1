//! Which format a scraper prefers, from its `Accept` header (RFC 9110, 12.5.1).

use crate::exposition::Format;
use axum::http::{HeaderMap, header};

/// More ranges than any scraper sends; the rest is not read (I6).
const MAX_RANGES: usize = 64;

/// OpenMetrics if it is asked for by name and not less than the text format; else the text format, also when nothing
/// fits: an exposition that was not asked for helps more than a 406.
pub fn format(headers: &HeaderMap) -> Format {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<Range> = values.flat_map(|value| value.split(',')).take(MAX_RANGES).map(Range::read).collect();
    let open_metrics = weight(&ranges, "application", "openmetrics-text", &["1.0.0", "1.0"]);
    let text = weight(&ranges, "text", "plain", &["0.0.4"]);
    let preferred = match open_metrics {
        Weight { q: 0, .. } => false,
        Weight { by_name: true, q } => q >= text.q,
        Weight { by_name: false, q } => q > text.q,
    };
    if preferred { Format::OpenMetrics } else { Format::Text }
}

/// How much a format is wanted.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    by_name: bool,
    /// In thousandths.
    q: u16,
}

/// One media range of the header: `text/plain;version=0.0.4;q=0.5`.
#[derive(Debug)]
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    q: u16,
}

impl<'a> Range<'a> {
    fn read(range: &'a str) -> Self {
        let mut parts = range.split(';').map(str::trim);
        let (kind, subtype) = parts.next().and_then(|media| media.split_once('/')).unwrap_or_default();
        let mut read = Self { kind, subtype, version: None, q: 1000 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                "version" => read.version = Some(value),
                "q" | "Q" => read.q = thousandths(value),
                _ => {}
            }
        }
        read
    }

    /// How exactly it names the format: 0 not at all, 1 by `*/*`, 2 by `kind/*`, 3 by name, 4 and by version.
    fn exactness(&self, kind: &str, subtype: &str, versions: &[&str]) -> u8 {
        match (self.kind, self.subtype, self.version) {
            ("*", "*", _) => 1,
            (k, "*", _) if k.eq_ignore_ascii_case(kind) => 2,
            (k, s, version) if k.eq_ignore_ascii_case(kind) && s.eq_ignore_ascii_case(subtype) => match version {
                None => 3,
                Some(version) if versions.contains(&version) => 4,
                Some(_) => 0,
            },
            _ => 0,
        }
    }
}

/// The most exact range counts; of equally exact ones the largest.
fn weight(ranges: &[Range], kind: &str, subtype: &str, versions: &[&str]) -> Weight {
    let named = ranges.iter().map(|range| (range.exactness(kind, subtype, versions), range.q));
    let best = named.filter(|(exactness, _)| *exactness > 0).max();
    best.map(|(exactness, q)| Weight { by_name: exactness > 2, q }).unwrap_or_default()
}

/// `0.75` as 750; what is no weight weighs nothing.
fn thousandths(q: &str) -> u16 {
    match q.parse::<f32>() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
        Ok(q) if (0.0..=1.0).contains(&q) => (q * 1000.0).round() as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        format(&headers)
    }

    #[test]
    fn scrapers_get_what_they_prefer() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in
            [prometheus_2, prometheus_3, "application/openmetrics-text", "APPLICATION/OpenMetrics-Text; q=0.1"]
        {
            assert_eq!(asked(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in ["*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "text/plain", "image/png", "", ";;=,/"] {
            assert_eq!(asked(accept), Format::Text, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn weights_decide() {
        let both = |open_metrics: &str, text: &str| {
            asked(&format!(
                "text/plain;version=0.0.4;q={text}, application/openmetrics-text; version=1.0.0 ;q={open_metrics}"
            ))
        };
        assert_eq!(both("0.5", "0.4"), Format::OpenMetrics);
        assert_eq!(both("0.4", "0.5"), Format::Text);
        assert_eq!(both("0.5", "0.5"), Format::OpenMetrics);
        assert_eq!(both("0", "0"), Format::Text);
        assert_eq!(both("much", "0.001"), Format::Text);
        assert_eq!(both("7", "0.1"), Format::Text);
    }

    #[test]
    fn the_most_exact_range_counts() {
        assert_eq!(asked("application/*, application/openmetrics-text;q=0, text/*;q=0.1"), Format::Text);
        assert_eq!(asked("application/*, text/*;q=0.1"), Format::OpenMetrics);
        assert_eq!(asked("application/*, text/*"), Format::Text);
    }

    #[test]
    fn a_version_we_do_not_write_is_not_asked_for() {
        assert_eq!(asked("application/openmetrics-text;version=2.0.0, text/plain;q=0.1"), Format::Text);
        assert_eq!(asked("application/openmetrics-text;version=\"1.0.0\", text/plain;q=0.1"), Format::OpenMetrics);
    }
}
