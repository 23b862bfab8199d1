//! JSON values as far as the contract looks at them, read in one pass and borrowed from the record.
//!
//! Reading never fails on a value's type: a field of the wrong type is kept as found, so that it matters only to the
//! event types that have that field, and the fault can name it. Only text that is not JSON is an error here.
//! A name that is given twice is kept as [`Scalar::Twice`] and refused wherever it is used: which one was meant
//! cannot be known. (A schema sees parsed values and cannot tell; the contract says so.)

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::{borrow::Cow, fmt};

/// One JSON value; arrays and objects by their shape only.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'a> {
    #[default]
    Absent,
    Null,
    Bool(bool),
    Int(i64),
    /// Also integers beyond i64: every bound of the contract is far below.
    Float(f64),
    /// Borrowed where it has no escapes.
    Text(Cow<'a, str>),
    Array,
    Object,
    Twice,
}

impl<'a> Scalar<'a> {
    /// Fills a slot; the second time it becomes [`Scalar::Twice`].
    pub(super) fn put(&mut self, value: Self) {
        *self = if matches!(self, Self::Absent) { value } else { Self::Twice };
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// A string with something in it.
    pub(super) fn as_name(&self) -> Option<&str> {
        self.as_text().filter(|text| !text.is_empty())
    }

    pub(super) fn borrowed(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// What is done with the members of an object.
pub(super) trait Members<'de> {
    fn read<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error>;
}

/// Members nobody asks for. They are skipped without recursion, however deep.
pub(super) struct Skip;

impl<'de> Members<'de> for Skip {
    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Reads any value as a [`Scalar`], and an object's members into `M`.
pub(super) struct Value<M>(pub(super) M);

impl<'de, M: Members<'de>> DeserializeSeed<'de> for Value<M> {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: Members<'de>> Visitor<'de> for Value<M> {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Int(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "only its being out of every range matters")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(i64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::borrowed(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scalar<'de>, A::Error> {
        self.0.read(map)?;
        Ok(Scalar::Object)
    }
}

/// Declares the fields of an object: an enum of them, found by name.
macro_rules! fields {
    ($(#[$doc:meta])* $name:ident { $($field:ident = $text:literal),* $(,)? }) => {
        $crate::words::words! {
            $(#[$doc])*
            pub(super) enum $name { $($field = $text,)* }
        }

        impl<'de> serde::Deserialize<'de> for $crate::decode::scalar::Key<$name> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Name;
                impl serde::de::Visitor<'_> for Name {
                    type Value = $crate::decode::scalar::Key<$name>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a name")
                    }

                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
                        Ok($crate::decode::scalar::Key($name::from_name(name)))
                    }
                }
                deserializer.deserialize_identifier(Name)
            }
        }
    };
}
pub(super) use fields;

/// An object's key: one of the fields `F`, or one that nobody asks for.
pub(super) struct Key<F>(pub(super) Option<F>);
