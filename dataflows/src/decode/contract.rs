//! What each event type must have, field by field: the decoder's side of `schemas/`, which says the same.
//!
//! `tests/contract.rs` holds the two against each other: a change here without one there fails.

use super::{
    Verdict,
    data::{Data, Field},
    envelope::{Attribute, Envelope},
    fault::Fault,
    ids::{Fingerprints, tie, trace_id},
    scalar::Scalar,
    time::parse_rfc3339,
};
use crate::{
    event::{AgentEvent, ArchiveResult, Delivery, DeliveryEvent, Event, Kind, RunEvent, Status},
    names::{NameCache, NameId},
    series::Quality,
    settings::Settings,
    time::Millis,
};

/// Prefix of every event type.
pub const TYPE_PREFIX: &str = "io.gocdnext.";

/// Turns envelopes into events.
#[derive(Debug)]
pub(super) struct Contract {
    names: NameCache,
    prints: Fingerprints,
    providers: Vec<String>,
    outcomes: Vec<String>,
    /// With retention on, what the last event told of a job's archive, beside being a delivery.
    archived: Option<RunEvent>,
    retention: bool,
}

/// An event's place in time and among its like, the same for all types.
struct Stamp<'e> {
    kind: Kind,
    time: Millis,
    source: &'e str,
    id: &'e str,
    trace: u128,
}

impl Contract {
    pub(super) fn new(settings: &Settings, names: NameCache) -> Self {
        let (providers, outcomes) = (settings.webhook_providers.clone(), settings.webhook_outcomes.clone());
        let retention = settings.retention.on;
        Self { names, prints: Fingerprints::new(), providers, outcomes, archived: None, retention }
    }

    /// What the event judged last tells of a job's archive, for the archives machine.
    pub(super) const fn take_archived(&mut self) -> Option<RunEvent> {
        self.archived.take()
    }

    /// Counts how often a bound on names was met since it was asked last.
    pub(super) fn count_names(&mut self, quality: &mut Quality) {
        self.names.count(quality);
    }

    /// Judges an envelope whose time is `time`.
    pub(super) fn judge<'a>(
        &mut self,
        mut envelope: Envelope<'a>,
        time: Option<Millis>,
    ) -> Result<Verdict<'a>, Fault> {
        let version = envelope.get(Attribute::SpecVersion);
        if version.as_text() != Some("1.0") {
            return Err(Fault::attribute("specversion", version, "\"1.0\""));
        }
        let type_name = name(&envelope, Attribute::Type)?;
        let (source, id) = (name(&envelope, Attribute::Source)?, name(&envelope, Attribute::Id)?);
        let Some(kind) = type_name.strip_prefix(TYPE_PREFIX).and_then(Kind::from_name) else {
            let Scalar::Text(type_name) = envelope.take(Attribute::Type) else {
                return Ok(Verdict::Ignored("".into()));
            };
            return Ok(Verdict::Ignored(type_name));
        };
        let Some(time) = time else {
            let wanted = "an RFC 3339 date-time with offset, as 2026-01-31T09:30:00Z";
            return Err(Fault::attribute("time", envelope.get(Attribute::Time), wanted));
        };
        match envelope.get(Attribute::Data) {
            Scalar::Object => {}
            other => return Err(Fault::field("data", other, "an object")),
        }
        let trace = envelope.get(Attribute::TraceParent).as_text().map_or(0, trace_id);
        self.event(&Stamp { kind, time, source, id, trace }, &envelope.data).map(Verdict::Event)
    }

    fn event(&mut self, stamp: &Stamp<'_>, data: &Data<'_>) -> Result<Event, Fault> {
        match stamp.kind {
            Kind::RunQueued | Kind::RunStarted | Kind::RunFinished => self.run(stamp, data).map(Event::Run),
            Kind::JobQueued
            | Kind::JobReady
            | Kind::JobScheduled
            | Kind::JobStarted
            | Kind::JobFinished
            | Kind::JobRequeued => self.job(stamp, data).map(Event::Run),
            Kind::AgentConnected | Kind::AgentHeartbeat | Kind::AgentDisconnected => {
                agent(stamp, data).map(Event::Agent)
            }
            Kind::LogArchived => self.archived(stamp, data).map(Event::Delivery),
            Kind::LogPartitionDropped => self.partition_dropped(stamp, data).map(Event::Delivery),
            Kind::WebhookReceived => self.webhook(stamp, data).map(Event::Delivery),
        }
    }

    // Names are interned last, here and in `job`: an event that is refused takes none of the table's room.
    fn run(&mut self, stamp: &Stamp<'_>, data: &Data<'_>) -> Result<RunEvent, Fault> {
        let (event, slug) = self.of_run(stamp, data)?;
        Ok(RunEvent { slug: self.names.intern(slug), ..event })
    }

    /// What all events of a run and its jobs have, and the pipeline's slug.
    fn of_run<'d>(&mut self, stamp: &Stamp<'_>, data: &'d Data<'_>) -> Result<(RunEvent, &'d str), Fault> {
        let finished = stamp.kind == Kind::RunFinished;
        let event = RunEvent {
            kind: stamp.kind,
            time: stamp.time,
            tie: tie(self.prints.delivery(stamp.source, stamp.id)),
            run: data.id(Field::RunId)?,
            project: data.id(Field::ProjectId)?,
            pipeline: data.id(Field::PipelineId)?,
            job: 0,
            agent: 0,
            trace: stamp.trace,
            attempt: 0,
            slug: NameId::OTHER,
            name: NameId::OTHER,
            status: Status::Unknown,
            dispatchable: false,
            exit_code: None,
        };
        let slug = data.name(Field::Pipeline)?;
        let status = if finished { status(data.text(Field::Status)?) } else { Status::Unknown };
        Ok((RunEvent { status, ..event }, slug))
    }

    fn job(&mut self, stamp: &Stamp<'_>, data: &Data<'_>) -> Result<RunEvent, Fault> {
        data.optional_text(Field::Stage)?;
        let (job, attempt, name) = (data.id(Field::JobId)?, data.attempt()?, data.name(Field::Job)?);
        let dispatchable = data.boolean(Field::Dispatchable, true)?;
        let (event, slug) = self.of_run(stamp, data)?;
        let mut event = RunEvent { job, attempt, dispatchable, ..event };
        match stamp.kind {
            Kind::JobScheduled | Kind::JobStarted => event.agent = data.optional_id(Field::AgentId)?,
            Kind::JobFinished => {
                data.optional_text(Field::Error)?;
                event.agent = data.optional_id(Field::AgentId)?;
                event.status = status(data.text(Field::Status)?);
                event.exit_code = data.exit_code()?;
            }
            Kind::JobRequeued => data.optional_text(Field::Reason)?,
            _ => {}
        }
        Ok(RunEvent { name: self.names.intern(name), slug: self.names.intern(slug), ..event })
    }

    fn archived(&mut self, stamp: &Stamp<'_>, data: &Data<'_>) -> Result<DeliveryEvent, Fault> {
        let (job, attempt, (event, _)) = (data.id(Field::JobId)?, data.attempt()?, self.of_run(stamp, data)?);
        let event = RunEvent { job, attempt, ..event };
        let result = ArchiveResult::from_name(data.text(Field::Result)?).unwrap_or(ArchiveResult::Other);
        let status = match result {
            ArchiveResult::Success => Status::Success,
            ArchiveResult::Skipped => Status::Skipped,
            ArchiveResult::Failed => Status::Failed,
            ArchiveResult::Other => Status::Unknown,
        };
        self.archived = self.retention.then_some(RunEvent { status, ..event });
        Ok(self.delivery(stamp, Delivery::Archived(result)))
    }

    fn webhook(&mut self, stamp: &Stamp<'_>, data: &Data<'_>) -> Result<DeliveryEvent, Fault> {
        let provider = index(&self.providers, data.text(Field::Provider)?);
        let outcome = index(&self.outcomes, data.text(Field::Outcome)?);
        Ok(self.delivery(stamp, Delivery::Webhook { provider, outcome }))
    }

    fn delivery(&mut self, stamp: &Stamp<'_>, what: Delivery) -> DeliveryEvent {
        DeliveryEvent { time: stamp.time, key: self.prints.delivery(stamp.source, stamp.id), what }
    }

    fn partition_dropped(&self, stamp: &Stamp<'_>, data: &Data<'_>) -> Result<DeliveryEvent, Fault> {
        data.time(Field::UpperBound)?;
        let key = self.prints.partition(data.name(Field::Partition)?);
        Ok(DeliveryEvent { time: stamp.time, key, what: Delivery::PartitionDropped })
    }
}

/// When an event happened, where that can be read.
pub(super) fn event_time(envelope: &Envelope<'_>) -> Option<Millis> {
    parse_rfc3339(envelope.get(Attribute::Time).as_text()?)
}

fn agent(stamp: &Stamp<'_>, data: &Data<'_>) -> Result<AgentEvent, Fault> {
    data.optional_text(Field::Pool)?;
    Ok(AgentEvent { kind: stamp.kind, time: stamp.time, agent: data.id(Field::AgentId)? })
}

fn name<'e>(envelope: &'e Envelope<'_>, attribute: Attribute) -> Result<&'e str, Fault> {
    let found = envelope.get(attribute);
    let wanted = "a string that is not empty";
    found.as_name().ok_or_else(|| Fault::attribute(attribute.name(), found, wanted))
}

fn status(word: &str) -> Status {
    match word {
        "cancelled" => Status::Canceled,
        _ => Status::from_name(word).unwrap_or(Status::Unknown),
    }
}

/// A label value's place in its list; what is not in it is `other`, one beyond the end.
fn index(list: &[String], word: &str) -> u16 {
    let index = list.iter().position(|known| known == word).unwrap_or(list.len());
    u16::try_from(index).unwrap_or(u16::MAX)
}
