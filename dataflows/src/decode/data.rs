//! The fields of `data`, of all event types together, and how each kind of value is read from them.

use super::{
    fault::Fault,
    ids::parse_uuid,
    scalar::{Key, Members, Scalar, Skip, Value, fields},
    time::parse_rfc3339,
};
use crate::{event::Id, time::Millis};
use serde::de::{IgnoredAny, MapAccess};

fields! {
    /// Every field of `data` that some event type has.
    Field {
        ProjectId = "project_id",
        PipelineId = "pipeline_id",
        Pipeline = "pipeline",
        RunId = "run_id",
        JobId = "job_id",
        Job = "job",
        Stage = "stage",
        Attempt = "attempt",
        Dispatchable = "dispatchable",
        AgentId = "agent_id",
        Status = "status",
        ExitCode = "exit_code",
        Error = "error",
        Reason = "reason",
        Pool = "pool",
        Result = "result",
        Partition = "partition",
        UpperBound = "upper_bound",
        Provider = "provider",
        Outcome = "outcome",
    }
}

/// The members of `data`, unjudged: the event's type, which says what they must be, may come after them.
#[derive(Debug, Default)]
pub(super) struct Data<'a> {
    fields: [Scalar<'a>; Field::ALL.len()],
}

impl<'de> Members<'de> for &mut Data<'de> {
    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(field)) = map.next_key::<Key<Field>>()? {
            if let Some(field) = field {
                let value = map.next_value_seed(Value(Skip))?;
                self.fields[field as usize].put(value);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

const UUID: &str = "a UUID with hyphens";
const TEXT: &str = "a string";
const NAME: &str = "a string that is not empty";
const TIME: &str = "an RFC 3339 date-time with offset, as 2026-01-31T09:30:00Z";

impl<'a> Data<'a> {
    fn get(&self, field: Field) -> &Scalar<'a> {
        &self.fields[field as usize]
    }

    /// Null is the same as absent where a field may be absent.
    fn optional(&self, field: Field) -> Option<&Scalar<'a>> {
        Some(self.get(field)).filter(|value| !matches!(value, Scalar::Absent | Scalar::Null))
    }

    pub(super) fn id(&self, field: Field) -> Result<Id, Fault> {
        let found = self.get(field);
        found.as_text().and_then(parse_uuid).ok_or_else(|| fault(field, found, UUID))
    }

    /// 0: none given.
    pub(super) fn optional_id(&self, field: Field) -> Result<Id, Fault> {
        self.optional(field).map_or(Ok(0), |_| self.id(field))
    }

    pub(super) fn text(&self, field: Field) -> Result<&str, Fault> {
        let found = self.get(field);
        found.as_text().ok_or_else(|| fault(field, found, TEXT))
    }

    /// A string that is not empty.
    pub(super) fn name(&self, field: Field) -> Result<&str, Fault> {
        let found = self.get(field);
        found.as_name().ok_or_else(|| fault(field, found, NAME))
    }

    /// Fields that only people read are held to the contract all the same.
    pub(super) fn optional_text(&self, field: Field) -> Result<(), Fault> {
        self.optional(field).map_or(Ok(()), |_| self.text(field).map(drop))
    }

    pub(super) fn time(&self, field: Field) -> Result<Millis, Fault> {
        let found = self.get(field);
        found.as_text().and_then(parse_rfc3339).ok_or_else(|| fault(field, found, TIME))
    }

    pub(super) fn boolean(&self, field: Field, default: bool) -> Result<bool, Fault> {
        match self.optional(field) {
            None => Ok(default),
            Some(Scalar::Bool(value)) => Ok(*value),
            Some(found) => Err(fault(field, found, "true or false")),
        }
    }

    /// From 1; 1 where none is given.
    pub(super) fn attempt(&self) -> Result<u32, Fault> {
        let read = |found: &Scalar<'_>| u32::try_from(integer(found)?).ok().filter(|attempt| *attempt >= 1);
        match self.optional(Field::Attempt) {
            None => Ok(1),
            Some(found) => read(found).ok_or_else(|| fault(Field::Attempt, found, "an integer from 1 to 4294967295")),
        }
    }

    /// 32 bits, signed or not: Windows reports codes such as 3221225477, the same bits as -1073741819.
    pub(super) fn exit_code(&self) -> Result<Option<i32>, Fault> {
        let read = |found: &Scalar<'_>| {
            let code = integer(found)?;
            i32::try_from(code).ok().or_else(|| Some(u32::try_from(code).ok()?.cast_signed()))
        };
        let Some(found) = self.optional(Field::ExitCode) else {
            return Ok(None);
        };
        let wanted = "an integer from -2147483648 to 4294967295";
        read(found).map(Some).ok_or_else(|| fault(Field::ExitCode, found, wanted))
    }
}

fn fault(field: Field, found: &Scalar<'_>, wanted: &str) -> Fault {
    Fault::field(&format!("data.{}", field.name()), found, wanted)
}

/// JSON Schema's integers: 1.0 is one too.
fn integer(found: &Scalar<'_>) -> Option<i64> {
    match found {
        Scalar::Int(value) => Some(*value),
        Scalar::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            Some(*value as i64)
        }
        _ => None,
    }
}
