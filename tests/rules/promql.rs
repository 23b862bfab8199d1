//! As much of `PromQL` as is needed to take expressions apart and to shorten their ranges.

use std::time::Duration;

/// The parts of an alert's expression that must always give something: without its guard, its comparisons, and `absent`.
pub fn bare(expression: &str) -> Vec<String> {
    let expression = unwrapped(expression.trim());
    let mut parts = Vec::new();
    for (operator, operand) in operands(expression) {
        if operator == "unless" && operand.contains("gocdnext_flow_caught_up") {
            continue;
        }
        match operands(unwrapped(operand)).len() {
            1 => parts.push(uncompared(operand).to_owned()),
            _ => parts.extend(bare(operand)),
        }
    }
    parts
}

/// Without parentheses around the whole, and without `absent`.
fn unwrapped(expression: &str) -> &str {
    let inner = expression.strip_prefix("absent").unwrap_or(expression).strip_prefix('(');
    let inner = inner.and_then(|inner| inner.strip_suffix(')'));
    inner
        .filter(|inner| levels(inner).all(|(_, _, level)| level >= 0))
        .map_or(expression, |inner| unwrapped(inner.trim()))
}

/// Each byte outside of strings, its place, and how many brackets are open behind it.
fn levels(text: &str) -> impl Iterator<Item = (usize, u8, i32)> {
    let (mut quoted, mut level) = (false, 0);
    text.bytes().enumerate().filter_map(move |(at, byte)| {
        quoted ^= byte == b'"';
        level += match byte {
            b'(' | b'[' | b'{' if !quoted => 1,
            b')' | b']' | b'}' if !quoted => -1,
            _ => 0,
        };
        (!quoted).then_some((at, byte, level))
    })
}

/// What set operators join, each with the operator before it.
fn operands(expression: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let (mut operator, mut begin) = ("", 0);
    for (at, _, _) in levels(expression).filter(|(_, byte, level)| *level == 0 && byte.is_ascii_whitespace()) {
        let rest = expression[at..].trim_start();
        let Some(word) = ["and", "or", "unless"]
            .into_iter()
            .find(|word| rest.strip_prefix(word).is_some_and(|after| after.starts_with([' ', '\n', '('])))
        else {
            continue;
        };
        let start = expression.len() - rest.len();
        if at < begin || start < begin {
            continue;
        }
        found.push((operator, expression[begin..at].trim()));
        operator = word;
        let after = rest[word.len()..].trim_start();
        let matching = after.strip_prefix("on").map(str::trim_start).filter(|list| list.starts_with('('));
        let operand = matching.and_then(|list| Some(&list[list.find(')')? + 1..])).unwrap_or(after);
        begin = expression.len() - operand.len();
    }
    found.push((operator, expression[begin..].trim()));
    found
}

/// The left side of a comparison.
fn uncompared(expression: &str) -> &str {
    let expression = unwrapped(expression);
    let comparison = levels(expression).find(|(_, byte, level)| *level == 0 && b"<>=!".contains(byte));
    comparison.map_or(expression, |(at, _, _)| expression[..at].trim())
}

/// Every range in brackets, changed.
pub fn with_ranges(expression: &str, change: impl Fn(Duration) -> Duration) -> String {
    let mut out = String::new();
    let mut rest = expression;
    while let Some((before, inside)) = rest.split_once('[') {
        let (range, after) = inside.split_once(']').expect("a range ends");
        out += before;
        out.extend(["[", &written(change(duration(range))), "]"]);
        rest = after;
    }
    out + rest
}

/// `5m`
pub fn duration(text: &str) -> Duration {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = digits.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    let seconds = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        unit => panic!("{unit} in {text}"),
    };
    Duration::from_secs(count * seconds)
}

pub fn written(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// Whether buckets are asked for by their bound: how one is written depends on the format of the scrape.
pub fn names_a_bucket(expression: &str) -> bool {
    let dense: String = expression.split_whitespace().collect();
    let label = |before: &str| before.ends_with(['{', ',']);
    dense.match_indices("le").any(|(at, _)| label(&dense[..at]) && dense[at + 2..].starts_with(['=', '!']))
}

mod tests {
    use super::*;

    #[test]
    fn alerts_are_taken_apart() {
        let guarded = "sum(x{a=\"b > c\"}) > 10\n unless on() (min_over_time(gocdnext_flow_caught_up[1h]) == 0)";
        assert_eq!(bare(guarded), ["sum(x{a=\"b > c\"})"]);
        assert_eq!(bare("up == 0\n or absent(up)"), ["up", "up"]);
        assert_eq!(bare("a unless on(job, instance) b"), ["a", "b"]);
        let burning =
            "(\n (\n q(0.1, a) > scalar(x) and q(0.1, b) > scalar(x)\n )\n or\n (c > 1))\n and on() sum(n) > 2";
        assert_eq!(bare(burning), ["q(0.1, a)", "q(0.1, b)", "c", "sum(n)"]);
    }

    #[test]
    fn ranges_are_found() {
        let halved = with_ranges("rate(x[10m]) / rate(y{z=\"1\"}[1h])", |range| range / 2);
        assert_eq!(halved, "rate(x[300000ms]) / rate(y{z=\"1\"}[1800000ms])");
        assert_eq!(with_ranges("up == 0", |range| range), "up == 0");
    }

    #[test]
    fn buckets_by_their_bounds_are_found() {
        assert!(names_a_bucket("x_bucket{le=\"10\"}") && names_a_bucket("x{status=\"a\", le =~ \"10.*\"}"));
        assert!(!names_a_bucket("sum by (le) (x_bucket{title=\"le=1\"})"));
    }
}
