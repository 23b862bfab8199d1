//! The first stage: what was written, where; nothing is judged yet but the TOML syntax.

use super::{
    fault::{Fault, Origin},
    value::Raw,
};
use std::path::Path;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value as somebody gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The setting's name, or `kafka.` and librdkafka's.
    pub name: String,
    pub value: Raw,
    pub origin: Origin,
}

/// All values of a TOML text, in the order of their keys.
pub fn toml_text(path: &Path, text: &str) -> Result<Vec<Given>, Fault> {
    let place = |start: usize| {
        let (line, column) = line_and_column(text, start);
        Origin::File { path: path.to_owned(), line, column }
    };
    // Only the message: the parser's own display quotes the line, which may hold a password.
    let table = DeTable::parse(text).map_err(|error| Fault {
        origin: place(error.span().map_or(0, |span| span.start)),
        problem: format!("this is not TOML: {}", error.message().trim()),
        allowed: None,
        suggestion: None,
    })?;
    let mut given = Vec::new();
    flatten("", table.get_ref(), &place, &mut given);
    Ok(given)
}

/// Tables become dotted names, so that `kafka."a.b"`, `kafka.a.b` and `[kafka.a] b` are the same.
fn flatten(prefix: &str, table: &DeTable<'_>, place: &dyn Fn(usize) -> Origin, given: &mut Vec<Given>) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        if let DeValue::Table(inner) = value.get_ref() {
            flatten(&format!("{name}."), inner, place, given);
        } else {
            given.push(Given { name, value: raw(value), origin: place(key.span().start) });
        }
    }
}

fn raw(value: &Spanned<DeValue<'_>>) -> Raw {
    match value.get_ref() {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => Raw::Number(
            i128::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| number.as_str().to_owned(), |number| number.to_string()),
        ),
        DeValue::Float(number) => Raw::Number(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Raw::Bool(*yes),
        DeValue::Array(items) => Raw::List(items.iter().map(raw).collect()),
        DeValue::Datetime(_) => Raw::Other("date"),
        DeValue::Table(_) => Raw::Other("table"),
    }
}

/// Both from 1; the column counts characters.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_librdkafka_property_is_the_same() {
        for text in ["kafka.\"a.b\" = 1", "kafka.a.b = 1", "[kafka]\n\"a.b\" = 1", "[kafka.a]\nb = 1"] {
            let given = toml_text(Path::new("x.toml"), text).unwrap();
            assert_eq!(given[0].name, "kafka.a.b", "{text}");
            assert_eq!(given[0].value, Raw::Number("1".into()), "{text}");
        }
    }

    #[test]
    fn a_syntax_error_tells_the_place_and_not_the_text() {
        let fault = toml_text(Path::new("x.toml"), "workers = 1\nkafka.\"sasl.password\" = \"hunter2\n").unwrap_err();
        assert!(fault.to_string().starts_with("x.toml:2:"), "{fault}");
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
    }
}
