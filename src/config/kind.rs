//! What a setting may be, in words and as a check: from [`Raw`] to [`Value`], or to a [`Refusal`] that says what to write.

use super::{
    grammar::{self, LEVELS, MAX_BUCKETS, MAX_NAMES, Refusal, nearest},
    units::{self, Unreadable},
    value::{NONE, Raw, Value},
};
use dataflows::time::Millis;

/// What a setting may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text that is not empty.
    Text,
    Brokers,
    Topic,
    LogFilter,
    Flag,
    Choice(&'static [&'static str]),
    Count {
        min: u64,
        max: u64,
    },
    Size {
        min: u64,
        max: u64,
    },
    Duration {
        min: Millis,
        max: Millis,
    },
    Address,
    /// Where the durable state is; may hold a password.
    State,
    /// As [`State`](Self::State), or `none`.
    OptionalState,
    /// Bucket bounds: ascending, 1 to [`MAX_BUCKETS`].
    Durations,
    /// Label values, without `other`.
    Names,
}

impl Kind {
    /// What is allowed, in words.
    #[must_use]
    pub fn allowed(self) -> String {
        match self {
            Self::Text => "a text that is not empty".into(),
            Self::Brokers => "host:port, several separated by commas".into(),
            Self::Topic => "a Kafka topic: 1 to 249 letters, digits, `.`, `_` and `-`".into(),
            Self::LogFilter => {
                format!("a level ({}), or target=level, several separated by commas", LEVELS.join(", "))
            }
            Self::Flag => "true or false".into(),
            Self::Choice(words) => words.join(" or "),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Size { min, max } => {
                format!(
                    "a size from {} to {}, as 4096, 64KiB, 64MiB or 1GB",
                    units::show_size(min),
                    units::show_size(max)
                )
            }
            Self::Duration { min, max } => format!(
                "a duration from {} to {}, as 250ms, 90s, 5m, 1h30m, 24h, 14d or 2w",
                units::show_duration(min),
                units::show_duration(max)
            ),
            Self::Address => "ip:port, as 0.0.0.0:8153 or [::1]:8153".into(),
            Self::State => "sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE".into(),
            Self::OptionalState => format!("{}, or {NONE}", Self::State.allowed()),
            Self::Durations => {
                format!("1 to {MAX_BUCKETS} ascending durations, as [\"1s\", \"2500ms\", \"5m\"] or 1s,2500ms,5m")
            }
            Self::Names => {
                format!("up to {MAX_NAMES} names, none twice and none of them `other`, as [\"a\", \"b\"] or a,b")
            }
        }
    }

    /// One word for `--help`.
    #[must_use]
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Brokers => "HOST:PORT,...",
            Self::Topic => "TOPIC",
            Self::LogFilter => "FILTER",
            Self::Flag => "BOOL",
            Self::Choice(_) => "CHOICE",
            Self::Count { .. } => "N",
            Self::Size { .. } => "SIZE",
            Self::Duration { .. } => "DURATION",
            Self::Address => "IP:PORT",
            Self::State | Self::OptionalState => "URL",
            Self::Durations => "DURATION,...",
            Self::Names => "NAME,...",
        }
    }

    /// From as read to as valid.
    pub fn read(self, raw: &Raw) -> Result<Value, Refusal> {
        match self {
            Self::Durations => grammar::durations(raw),
            Self::Names => grammar::names(raw),
            _ => match raw.scalar() {
                Some(text) => self.read_scalar(raw, text.trim()),
                None if matches!(self, Self::State | Self::OptionalState) => Err(Refusal::new("it is no text")),
                None => Err(Refusal::new(format!("found {}", raw.shown()))),
            },
        }
    }

    fn read_scalar(self, raw: &Raw, text: &str) -> Result<Value, Refusal> {
        let found = || Refusal::new(format!("found `{text}`"));
        match self {
            Self::Text | Self::Brokers | Self::Topic | Self::LogFilter if !matches!(raw, Raw::Text(_)) => {
                Err(found().instead(Some(format!("\"{text}\""))))
            }
            Self::Text if text.is_empty() => Err(Refusal::new("it is empty")),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Brokers => grammar::brokers(text),
            Self::Topic => grammar::topic(text),
            Self::LogFilter => grammar::log_filter(text),
            Self::Flag => {
                text.parse().map(Value::Flag).map_err(|_| found().instead(nearest(text, ["true", "false"])))
            }
            Self::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Choice(words) => Err(found().instead(nearest(text, words.iter().copied()))),
            Self::Count { min, max } => {
                units::count(text).ok().filter(|n| (min..=max).contains(n)).map(Value::Number).ok_or_else(found)
            }
            Self::Size { min, max } => {
                units::size(text).ok().filter(|n| (min..=max).contains(n)).map(Value::Number).ok_or_else(found)
            }
            Self::Duration { min, max } => match units::duration(text) {
                Ok(ms) if (min..=max).contains(&ms) => Ok(Value::Duration(ms)),
                Err(Unreadable::NoUnit) => Err(grammar::no_unit(text)),
                _ => Err(found()),
            },
            Self::Address => {
                text.parse().map(Value::Address).map_err(|_| found().instead(grammar::address_hint(text)))
            }
            Self::OptionalState if text == NONE => Ok(Value::Text(NONE.into())),
            Self::State | Self::OptionalState => grammar::state(text),
            Self::Durations | Self::Names => Err(found()),
        }
    }

    /// As people read it, and as `--flags` and variables take it.
    #[must_use]
    pub fn show(self, value: &Value) -> String {
        match value {
            Value::Text(text) => text.clone(),
            Value::Flag(yes) => yes.to_string(),
            Value::Number(n) if matches!(self, Self::Size { .. }) => units::show_size(*n),
            Value::Number(n) => n.to_string(),
            Value::Duration(ms) => units::show_duration(*ms),
            Value::Address(address) => address.to_string(),
            Value::State(url) => url.to_string(),
            Value::Durations(list) => list.iter().map(|ms| units::show_duration(*ms)).collect::<Vec<_>>().join(","),
            Value::Names(list) => list.join(","),
        }
    }

    /// As TOML takes it.
    #[must_use]
    pub fn toml(self, value: &Value) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        match value {
            Value::Flag(yes) => yes.to_string(),
            Value::Number(n) if !matches!(self, Self::Size { .. }) => n.to_string(),
            Value::Durations(list) => {
                let items: Vec<_> = list.iter().map(|ms| quoted(&units::show_duration(*ms))).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Names(list) => format!("[{}]", list.iter().map(|n| quoted(n)).collect::<Vec<_>>().join(", ")),
            _ => quoted(&self.show(value)),
        }
    }
}
