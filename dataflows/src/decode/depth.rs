//! The bound on nesting (I6): nothing here recurses with the input, but what is handed on may meet a reader that does.

use super::fault::Fault;
use crate::feed::Reason;

/// A value whose brackets nest deeper than the bound. Most values have too few of them to need a closer look.
pub(super) fn check(value: &[u8], max_depth: usize) -> Result<(), Fault> {
    if opening_brackets(value) <= max_depth || depth(value) <= max_depth {
        return Ok(());
    }
    let detail = format!("nested deeper than max_event_depth, which is {max_depth}");
    Err(Fault::new(Reason::TooDeep, detail))
}

/// Counted in bytes, a short chunk at a time, which compiles to vector instructions: every record is looked at.
fn opening_brackets(value: &[u8]) -> usize {
    let count = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(matches!(byte, b'[' | b'{'))).sum::<u8>();
    value.chunks(128).map(|chunk| usize::from(count(chunk))).sum()
}

/// The deepest nesting of brackets outside of strings.
fn depth(value: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in value {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_outside_of_strings_only() {
        for (value, deepest) in [
            ("", 0),
            ("{}", 1),
            (r#"{"a":[1,{"b":2}],"c":{}}"#, 3),
            (r#""[[[""#, 0),
            (r#"["\\",["\"[["]]"#, 2),
            ("]]]][", 1),
        ] {
            assert!(check(value.as_bytes(), deepest).is_ok(), "{value}");
            assert_eq!(depth(value.as_bytes()), deepest, "{value}");
        }
    }

    #[test]
    fn every_bracket_of_a_long_value_is_counted() {
        let value = "[".repeat(1_000);
        assert_eq!(opening_brackets(value.as_bytes()), 1_000);
        assert!(check(value.as_bytes(), 1_000).is_ok() && check(value.as_bytes(), 999).is_err());
    }
}
