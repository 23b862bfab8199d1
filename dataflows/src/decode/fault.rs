//! Why a record was rejected, in words: which field, what was found, what is wanted.

use super::scalar::Scalar;
use crate::feed::Reason;

/// A record that does not keep the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", reason.name())]
pub struct Fault {
    pub reason: Reason,
    /// For people; names the field.
    pub detail: String,
}

/// Longest piece of a value that is shown in a detail, in characters.
const SHOWN: usize = 80;

impl Fault {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// An attribute of the CloudEvents envelope is absent or unreadable.
    #[cold]
    pub(super) fn attribute(name: &str, found: &Scalar<'_>, wanted: &str) -> Self {
        Self::new(Reason::NotCloudEvent, describe(name, found, wanted))
    }

    /// A field of `data` is absent or unreadable. A required field that is null counts as absent.
    #[cold]
    pub(super) fn field(name: &str, found: &Scalar<'_>, wanted: &str) -> Self {
        let absent = matches!(found, Scalar::Absent | Scalar::Null);
        let reason = if absent { Reason::MissingField } else { Reason::InvalidField };
        Self::new(reason, describe(name, found, wanted))
    }
}

fn describe(name: &str, found: &Scalar<'_>, wanted: &str) -> String {
    match found {
        Scalar::Absent => format!("`{name}` is missing; wanted {wanted}"),
        Scalar::Twice => format!("`{name}` is given more than once; wanted {wanted}, once"),
        other => format!("`{name}` is {}; wanted {wanted}", show(other)),
    }
}

fn show(value: &Scalar<'_>) -> String {
    match value {
        Scalar::Absent => "absent".into(),
        Scalar::Null => "null".into(),
        Scalar::Bool(value) => value.to_string(),
        Scalar::Int(value) => value.to_string(),
        Scalar::Float(value) => value.to_string(),
        Scalar::Text(text) => format!("{:?}", shorten(text)),
        Scalar::Array => "an array".into(),
        Scalar::Object => "an object".into(),
        Scalar::Twice => "given more than once".into(),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
