//! Values that are more than a word or a number: addresses, topics, log filters, lists. Each is read whole or refused
//! with what to write in its place.

use super::{
    units::{self, Unreadable},
    value::{Raw, Value},
};
use crate::store::UrlError;
use dataflows::time::Millis;

pub const MAX_BUCKETS: usize = 100;
pub const MAX_NAMES: usize = 1_000;
pub const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Why a value is refused, and what would be taken in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub problem: String,
    pub suggestion: Option<String>,
}

impl Refusal {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), suggestion: None }
    }

    pub(super) fn instead(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(Into::into);
        self
    }
}

pub(super) fn no_unit(text: &str) -> Refusal {
    let ways = ["s", "m", "h", "d"].map(|unit| format!("`{text}{unit}`"));
    Refusal::new(format!("found `{text}`, a duration without a unit; write {} or the like", ways.join(", ")))
}

pub(super) fn address_hint(text: &str) -> Option<String> {
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some(format!("127.0.0.1:{port}"));
    }
    let port = text.strip_prefix(':').unwrap_or(text);
    port.parse::<u16>().ok().map(|port| format!("0.0.0.0:{port}"))
}

pub(super) fn brokers(text: &str) -> Result<Value, Refusal> {
    for broker in text.split(',').map(str::trim) {
        let port = broker.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
        let host = port.map_or(broker, |port| &broker[..broker.len() - port.len() - 1]);
        if host.is_empty() || broker.contains(char::is_whitespace) {
            return Err(Refusal::new(format!("found `{text}`")));
        }
        if port.is_some_and(|port| !matches!(port.parse::<u16>(), Ok(1..))) {
            return Err(Refusal::new(format!("found `{broker}`, whose port is no number from 1 to 65535")));
        }
    }
    Ok(Value::Text(text.to_owned()))
}

pub(super) fn topic(text: &str) -> Result<Value, Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.len() > 249 || !text.chars().all(legal) || text == "." || text == ".." {
        return Err(Refusal::new(format!("found `{text}`")));
    }
    Ok(Value::Text(text.to_owned()))
}

pub(super) fn log_filter(text: &str) -> Result<Value, Refusal> {
    for directive in text.split(',') {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim();
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            return Err(Refusal::new(format!("found `{text}`")).instead(nearest(level, LEVELS)));
        }
    }
    Ok(Value::Text(text.to_owned()))
}

/// The text is not quoted: a wrong address may hold a right password.
pub(super) fn state(text: &str) -> Result<Value, Refusal> {
    let a_path = !text.is_empty() && !text.contains(':') && !text.contains('@');
    let hint = a_path.then(|| format!("sqlite:{text}"));
    text.parse().map(Value::State).map_err(|error: UrlError| Refusal::new(error.to_string()).instead(hint))
}

pub(super) fn durations(raw: &Raw) -> Result<Value, Refusal> {
    let items = raw.items().ok_or_else(|| Refusal::new(format!("found {}", raw.shown())))?;
    if items.is_empty() || items.len() > MAX_BUCKETS {
        return Err(Refusal::new(format!("found {} of them", items.len())));
    }
    let mut list: Vec<Millis> = Vec::with_capacity(items.len());
    for item in items {
        let ms = units::duration(&item).map_err(|why| match why {
            Unreadable::NoUnit => no_unit(&item),
            _ => Refusal::new(format!("found `{item}`")),
        })?;
        if ms <= list.last().copied().unwrap_or(0) {
            let before =
                list.last().map_or_else(|| "0".to_owned(), |last| format!("`{}`", units::show_duration(*last)));
            return Err(Refusal::new(format!("found `{item}`, which is not greater than {before} before it")));
        }
        list.push(ms);
    }
    Ok(Value::Durations(list))
}

pub(super) fn names(raw: &Raw) -> Result<Value, Refusal> {
    let items = raw.items().ok_or_else(|| Refusal::new(format!("found {}", raw.shown())))?;
    if items.len() > MAX_NAMES {
        return Err(Refusal::new(format!("found {} of them", items.len())));
    }
    for (at, item) in items.iter().enumerate() {
        if item == "other" || item.is_empty() || items[..at].contains(item) {
            let why = if item == "other" { "which is always there" } else { "twice or empty" };
            return Err(Refusal::new(format!("found `{item}`, {why}")));
        }
    }
    Ok(Value::Names(items))
}

/// The candidate most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |candidate: &str| strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase());
    candidates
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
