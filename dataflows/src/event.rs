//! The events as the machines see them: fixed-size, ids as numbers, times in ms, names interned.
//!
//! Only [`crate::decode`] makes them from text. `schemas/` holds the contract they come from.

use crate::{names::NameId, time::Millis, words::words};
use serde::{Deserialize, Serialize};

/// A UUID as a number. `0` (the nil UUID) stands for "none" where an id is optional.
pub type Id = u128;

words! {
    /// Every event type of the contract. The name is the `CloudEvents` attribute `type` without its prefix `io.gocdnext.`; also
    /// the value of the label `type`.
    pub enum Kind {
        RunQueued = "run.queued",
        RunStarted = "run.started",
        RunFinished = "run.finished",
        JobQueued = "job.queued",
        JobReady = "job.ready",
        JobScheduled = "job.scheduled",
        JobStarted = "job.started",
        JobFinished = "job.finished",
        JobRequeued = "job.requeued",
        AgentConnected = "agent.connected",
        AgentHeartbeat = "agent.heartbeat",
        AgentDisconnected = "agent.disconnected",
        LogArchived = "log.archived",
        LogPartitionDropped = "log.partition_dropped",
        WebhookReceived = "webhook.received",
    }
}

words! {
    /// How a run or an attempt ended. `cancelled` is read as `Canceled`; any other word is `Unknown`.
    pub enum Status {
        Success = "success",
        Failed = "failed",
        Canceled = "canceled",
        Skipped = "skipped",
        Unknown = "unknown",
    }
}

words! {
    /// What became of one try to archive a job's log.
    pub enum ArchiveResult {
        Success = "success",
        Failed = "failed",
        Skipped = "skipped",
        Other = "other",
    }
}

/// A run or job event, or with retention on what `log.archived` tells of a job; routed by `run`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    pub kind: Kind,
    pub time: Millis,
    /// Fingerprint of (source, id), see [`crate::decode`]: breaks ties between facts of the same time.
    pub tie: u64,
    pub run: Id,
    pub project: Id,
    pub pipeline: Id,
    /// Job events: the job; otherwise 0.
    pub job: Id,
    /// 0: none given.
    pub agent: Id,
    /// Trace id of `traceparent`; 0: none given.
    pub trace: u128,
    /// Job events: from 1; otherwise 0.
    pub attempt: u32,
    /// The pipeline's slug.
    pub slug: NameId,
    /// Job events: the job's name.
    pub name: NameId,
    /// `run.finished`, `job.finished` and `log.archived` (what became of it); otherwise `Unknown`.
    pub status: Status,
    /// `job.queued`: false while its stage is not active.
    pub dispatchable: bool,
    pub exit_code: Option<i32>,
}

/// An agent event; routed by `agent`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentEvent {
    pub kind: Kind,
    pub time: Millis,
    pub agent: Id,
}

/// What is counted once for each delivery (webhooks, archives) or each name (partitions); routed by `key`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryEvent {
    pub time: Millis,
    /// Fingerprint of (source, id), or of the partition's name.
    pub key: u128,
    pub what: Delivery,
}

/// Label values are indices into the lists of [`crate::settings::Settings`]; the last is `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Delivery {
    Archived(ArchiveResult),
    PartitionDropped,
    Webhook { provider: u16, outcome: u16 },
}

impl Delivery {
    /// The event type that carries it.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Archived(_) => Kind::LogArchived,
            Self::PartitionDropped => Kind::LogPartitionDropped,
            Self::Webhook { .. } => Kind::WebhookReceived,
        }
    }
}

/// Any event, as [`crate::decode`] gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    Run(RunEvent),
    Agent(AgentEvent),
    Delivery(DeliveryEvent),
}

impl Event {
    #[must_use]
    pub const fn time(&self) -> Millis {
        match self {
            Self::Run(e) => e.time,
            Self::Agent(e) => e.time,
            Self::Delivery(e) => e.time,
        }
    }

    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Run(e) => e.kind,
            Self::Agent(e) => e.kind,
            Self::Delivery(e) => e.what.kind(),
        }
    }
}
