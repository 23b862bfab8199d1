//! The events as the machines see them: fixed-size, ids as numbers, times in ms, names interned.
//!
//! Only [`crate::decode`] makes them from text. `schemas/` holds the contract they come from.

use crate::{names::NameId, time::Millis};
use serde::{Deserialize, Serialize};

/// A UUID as a number. `0` (the nil UUID) stands for "none" where an id is optional.
pub type Id = u128;

/// Every event type of the contract, in the order of the design's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    RunQueued,
    RunStarted,
    RunFinished,
    JobQueued,
    JobReady,
    JobScheduled,
    JobStarted,
    JobFinished,
    JobRequeued,
    AgentConnected,
    AgentHeartbeat,
    AgentDisconnected,
    LogArchived,
    LogPartitionDropped,
    WebhookReceived,
}

impl Kind {
    pub const ALL: [Self; 15] = [
        Self::RunQueued,
        Self::RunStarted,
        Self::RunFinished,
        Self::JobQueued,
        Self::JobReady,
        Self::JobScheduled,
        Self::JobStarted,
        Self::JobFinished,
        Self::JobRequeued,
        Self::AgentConnected,
        Self::AgentHeartbeat,
        Self::AgentDisconnected,
        Self::LogArchived,
        Self::LogPartitionDropped,
        Self::WebhookReceived,
    ];

    /// The `CloudEvents` attribute `type` without its prefix `io.gocdnext.`; also the value of the label `type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunQueued => "run.queued",
            Self::RunStarted => "run.started",
            Self::RunFinished => "run.finished",
            Self::JobQueued => "job.queued",
            Self::JobReady => "job.ready",
            Self::JobScheduled => "job.scheduled",
            Self::JobStarted => "job.started",
            Self::JobFinished => "job.finished",
            Self::JobRequeued => "job.requeued",
            Self::AgentConnected => "agent.connected",
            Self::AgentHeartbeat => "agent.heartbeat",
            Self::AgentDisconnected => "agent.disconnected",
            Self::LogArchived => "log.archived",
            Self::LogPartitionDropped => "log.partition_dropped",
            Self::WebhookReceived => "webhook.received",
        }
    }

    /// The kind whose [`name`](Self::name) this is.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How a run or an attempt ended. `cancelled` is read as `Canceled`; any other word is `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Status {
    Success,
    Failed,
    Canceled,
    Skipped,
    Unknown,
}

impl Status {
    pub const ALL: [Self; 5] = [Self::Success, Self::Failed, Self::Canceled, Self::Skipped, Self::Unknown];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        }
    }
}

/// What became of one try to archive a job's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ArchiveResult {
    Success,
    Failed,
    Skipped,
    Other,
}

impl ArchiveResult {
    pub const ALL: [Self; 4] = [Self::Success, Self::Failed, Self::Skipped, Self::Other];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Other => "other",
        }
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
