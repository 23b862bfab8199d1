//! The CloudEvents 1.0 envelope: attributes and data, in either content mode of the Kafka binding.

use super::{
    data::Data,
    fault::Fault,
    kafka::Headers,
    scalar::{Key, Members, Scalar, Skip, Value, fields},
};
use crate::feed::Reason;
use serde::de::{DeserializeSeed, MapAccess};
use std::{borrow::Cow, str};

fields! {
    /// What the envelope is asked for. Other attributes (`subject`, `datacontenttype`, extensions) are passed over.
    Attribute {
        SpecVersion = "specversion",
        Id = "id",
        Source = "source",
        Type = "type",
        Time = "time",
        TraceParent = "traceparent",
        Data = "data",
    }
}

/// One record as read, unjudged. The attribute `data` holds the shape of the data, `Object` where `data` was filled.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    attributes: [Scalar<'a>; Attribute::ALL.len()],
    pub(super) data: Data<'a>,
}

impl<'a> Envelope<'a> {
    pub(super) fn get(&self, attribute: Attribute) -> &Scalar<'a> {
        &self.attributes[attribute as usize]
    }

    fn put(&mut self, attribute: Attribute, value: Scalar<'a>) {
        self.attributes[attribute as usize].put(value);
    }

    /// Takes an attribute out.
    pub(super) fn take(&mut self, attribute: Attribute) -> Scalar<'a> {
        std::mem::take(&mut self.attributes[attribute as usize])
    }

    /// Structured mode: the value is the whole event.
    pub(super) fn structured(value: &'a str) -> Result<Self, Fault> {
        let mut envelope = Self::default();
        match parse(value, &mut envelope)? {
            Scalar::Object => Ok(envelope),
            other => Err(Fault::attribute("value", &other, "a CloudEvent, a JSON object")),
        }
    }

    /// Binary mode: attributes in `ce_*` headers, the value is `data`.
    pub(super) fn binary(headers: Headers<'a>, value: &'a str) -> Result<Self, Fault> {
        let mut envelope = Self::default();
        for (name, content) in headers {
            let attribute = name.strip_prefix(b"ce_").and_then(|name| str::from_utf8(name).ok());
            match attribute.and_then(Attribute::from_name) {
                None | Some(Attribute::Data) => {}
                Some(attribute) => envelope.put(attribute, Scalar::Text(header_text(attribute, content)?)),
            }
        }
        let shape = if value.is_empty() { Scalar::Absent } else { parse(value, &mut envelope.data)? };
        envelope.attributes[Attribute::Data as usize] = shape;
        Ok(envelope)
    }
}

/// A header's value as text. Only what is needed must be UTF-8: a `traceparent` that is not is ignored like any other
/// invalid one.
fn header_text(attribute: Attribute, content: &[u8]) -> Result<Cow<'_, str>, Fault> {
    if attribute == Attribute::TraceParent {
        return Ok(String::from_utf8_lossy(content));
    }
    let text = str::from_utf8(content);
    let fault = |error| {
        let detail = format!("header `ce_{}` is not UTF-8 ({error}); wanted text in UTF-8", attribute.name());
        Fault::new(Reason::NotCloudEvent, detail)
    };
    text.map(Cow::Borrowed).map_err(fault)
}

/// Parses one JSON value and nothing after it; the members of an object go into `members`.
fn parse<'a, M>(text: &'a str, members: &mut M) -> Result<Scalar<'a>, Fault>
where
    for<'m> &'m mut M: Members<'a>,
{
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = Value(members).deserialize(&mut deserializer);
    parsed
        .and_then(|shape| deserializer.end().map(|()| shape))
        .map_err(|error| Fault::new(Reason::NotJson, format!("the value is not JSON: {error}")))
}

impl<'de> Members<'de> for &mut Envelope<'de> {
    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(attribute)) = map.next_key::<Key<Attribute>>()? {
            match attribute {
                None => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
                Some(Attribute::Data) => {
                    let shape = map.next_value_seed(Value(&mut self.data))?;
                    self.put(Attribute::Data, shape);
                }
                Some(attribute) => {
                    let value = map.next_value_seed(Value(Skip))?;
                    self.put(attribute, value);
                }
            }
        }
        Ok(())
    }
}
