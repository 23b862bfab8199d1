//! One setting's value: as it was written ([`Raw`]), as it is valid ([`Value`]), as a field holds it ([`Held`]).
//!
//! What turns the first into the second is [`super::kind::Kind`].

use crate::store::StateUrl;
use dataflows::{sequencer::Clock, time::Millis};
use std::{net::SocketAddr, time::Duration};

/// A value as read, before anyone asked what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// A TOML string, a variable or a flag.
    Text(String),
    /// A bare TOML number.
    Number(String),
    Bool(bool),
    List(Vec<Self>),
    /// Anything that no setting takes: the word is TOML's name for it.
    Other(&'static str),
}

impl Raw {
    /// As it is quoted in an error.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) | Self::Number(text) => format!("`{text}`"),
            Self::Bool(yes) => format!("`{yes}`"),
            Self::List(items) => format!("[{}]", items.iter().map(Self::shown).collect::<Vec<_>>().join(", ")),
            Self::Other(what) => format!("a {what}"),
        }
    }

    /// Whether it looks like an address with a password in it, which belongs to another setting.
    pub(super) fn may_hold_password(&self) -> bool {
        match self {
            Self::Text(text) => text.contains("://") || text.contains('@'),
            Self::List(items) => items.iter().any(Self::may_hold_password),
            Self::Number(_) | Self::Bool(_) | Self::Other(_) => false,
        }
    }

    /// The text of a scalar.
    pub(super) fn scalar(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Bool(yes) => Some(yes.to_string()),
            Self::List(_) | Self::Other(_) => None,
        }
    }

    /// The items of a list; a text is split at commas and spaces.
    pub(super) fn items(&self) -> Option<Vec<String>> {
        match self {
            Self::List(items) => items.iter().map(Self::scalar).collect(),
            Self::Text(text) => Some(
                text.split(|c: char| c == ',' || c.is_whitespace())
                    .filter(|item| !item.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
            Self::Number(text) => Some(vec![text.clone()]),
            Self::Bool(_) | Self::Other(_) => None,
        }
    }
}

/// A valid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Flag(bool),
    Number(u64),
    Duration(Millis),
    Address(SocketAddr),
    State(StateUrl),
    Durations(Vec<Millis>),
    Names(Vec<String>),
}

impl Value {
    /// Whether what is shown is less than what was given.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::State(url) if url.is_secret())
    }
}

/// An address that is not given.
pub const NONE: &str = "none";

/// How a field of [`super::Config`] holds a value.
pub trait Held: Sized {
    fn value(&self) -> Value;
    /// `None` where the table gives a field a kind that does not fit it.
    fn held(value: &Value) -> Option<Self>;
}

macro_rules! held {
    ($type:ty, $of:ident => $value:expr, $pattern:pat => $field:expr) => {
        impl Held for $type {
            fn value(&self) -> Value {
                let $of = self;
                $value
            }

            fn held(value: &Value) -> Option<Self> {
                match value {
                    $pattern => $field,
                    _ => None,
                }
            }
        }
    };
}

held!(String, s => Value::Text(s.clone()), Value::Text(s) => Some(s.clone()));
held!(bool, b => Value::Flag(*b), Value::Flag(b) => Some(*b));
held!(u64, n => Value::Number(*n), Value::Number(n) => Some(*n));
held!(u32, n => Value::Number(u64::from(*n)), Value::Number(n) => u32::try_from(*n).ok());
held!(usize, n => Value::Number(u64::try_from(*n).unwrap_or(u64::MAX)), Value::Number(n) => usize::try_from(*n).ok());
held!(Millis, ms => Value::Duration(*ms), Value::Duration(ms) => Some(*ms));
held!(Duration, d => Value::Duration(Millis::try_from(d.as_millis()).unwrap_or(Millis::MAX)),
    Value::Duration(ms) => u64::try_from(*ms).ok().map(Self::from_millis));
held!(SocketAddr, a => Value::Address(*a), Value::Address(a) => Some(*a));
held!(StateUrl, url => Value::State(url.clone()), Value::State(url) => Some(url.clone()));
held!(Vec<Millis>, list => Value::Durations(list.clone()), Value::Durations(list) => Some(list.clone()));
held!(Vec<String>, list => Value::Names(list.clone()), Value::Names(list) => Some(list.clone()));
held!(Clock, clock => Value::Text(if *clock == Self::Wall { "wall" } else { "log" }.into()),
Value::Text(word) => match word.as_str() {
    "wall" => Some(Self::Wall),
    "log" => Some(Self::Log),
    _ => None,
});

impl Held for Option<StateUrl> {
    fn value(&self) -> Value {
        self.clone().map_or_else(|| Value::Text(NONE.into()), Value::State)
    }

    fn held(value: &Value) -> Option<Self> {
        match value {
            Value::State(url) => Some(Some(url.clone())),
            Value::Text(word) if word == NONE => Some(None),
            _ => None,
        }
    }
}
