//! `state show`: what is stored, as one report.

use super::{load, manifest, open_to_look};
use crate::{
    clock::wall_ms,
    store::{Lease, Snapshot, StateUrl},
    wiring::{Details, RunError},
};
use dataflows::{audit::Contents, time::Millis};
use serde::Serialize;
use std::collections::BTreeMap;

/// All of it; times in RFC 3339, ages in whole seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub state: String,
    /// 0: nothing is committed.
    pub epoch: u64,
    pub generation: u64,
    pub horizon: u64,
    pub committed_at: Option<String>,
    pub committed_age_seconds: Option<i64>,
    pub stream_time: Option<String>,
    /// `None`: a replay's.
    pub topic: Option<String>,
    pub topic_id: Option<String>,
    pub shown: bool,
    /// Next offsets by partition.
    pub offsets: BTreeMap<u32, i64>,
    pub lease: Holder,
    pub size: Size,
    /// `None`: it cannot be read, see `trouble`.
    pub holds: Option<Holds>,
    pub trouble: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Holder {
    pub generation: u64,
    pub instance_id: String,
    pub process: String,
    pub released: bool,
    pub last_renewal: Option<String>,
    pub last_renewal_age_seconds: Option<i64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Size {
    pub blobs: u64,
    pub bytes: u64,
    pub disk_bytes: u64,
    pub oldest_epoch: Option<u64>,
}

/// Ages are those at the stream time.
#[derive(Clone, Debug, Serialize)]
pub struct Holds {
    pub jobs: usize,
    pub jobs_running: usize,
    pub jobs_pending: usize,
    pub jobs_dispatchable: usize,
    pub oldest_job_since: Option<String>,
    pub oldest_job_age_seconds: Option<i64>,
    pub runs: usize,
    pub runs_queued: usize,
    pub agents: usize,
    pub agents_online: usize,
    pub remembered_runs_and_jobs: usize,
    pub remembered_deliveries: usize,
    pub pipelines: usize,
    pub names: usize,
}

/// Looks at the state, which may be written meanwhile.
pub async fn show(url: &StateUrl) -> Result<Report, RunError> {
    let store = open_to_look(url).await?;
    let mut snapshot = store.snapshot().await?;
    let now = wall_ms();
    let (details, mut trouble) = match manifest::details(&snapshot.manifest) {
        Ok(details) => (details, None),
        Err(reason) => (Details::default(), Some(format!("the manifest: {reason}"))),
    };
    let mut holds = None;
    if trouble.is_none() {
        let loaded = load::load(&mut snapshot, &details).await?;
        trouble = loaded.damages.first().map(ToString::to_string);
        holds = loaded.contents.map(|contents| held(&contents, snapshot.manifest.stream_time_ms));
    }
    Ok(report(url, &snapshot, details, now, holds, trouble))
}

fn report(
    url: &StateUrl,
    snapshot: &Snapshot,
    details: Details,
    now: Millis,
    holds: Option<Holds>,
    trouble: Option<String>,
) -> Report {
    let (manifest, sizes) = (&snapshot.manifest, &snapshot.sizes);
    let committed = (manifest.epoch > 0).then_some(manifest.committed_at_ms);
    Report {
        state: url.to_string(),
        epoch: manifest.epoch,
        generation: manifest.generation,
        horizon: manifest.horizon,
        committed_at: committed.map(time),
        committed_age_seconds: committed.map(|at| age(at, now)),
        stream_time: manifest.stream_time_ms.map(time),
        topic: Some(details.topic).filter(|topic| !topic.is_empty()),
        topic_id: details.topic_id,
        shown: details.shown,
        offsets: details.offsets,
        lease: holder(&snapshot.lease, now),
        size: Size {
            blobs: sizes.blobs,
            bytes: sizes.bytes,
            disk_bytes: sizes.disk_bytes,
            oldest_epoch: sizes.oldest_epoch,
        },
        holds,
        trouble,
    }
}

fn holder(lease: &Lease, now: Millis) -> Holder {
    let renewed = (lease.generation > 0).then_some(lease.renewed_at_ms);
    Holder {
        generation: lease.generation,
        instance_id: lease.instance_id.clone(),
        process: lease.holder.clone(),
        released: lease.released,
        last_renewal: renewed.map(time),
        last_renewal_age_seconds: renewed.map(|at| age(at, now)),
    }
}

fn held(contents: &Contents, stream_time: Option<Millis>) -> Holds {
    let runs = &contents.runs;
    let oldest = runs.oldest_pending;
    Holds {
        jobs: runs.jobs,
        jobs_running: runs.jobs_running,
        jobs_pending: runs.jobs_pending,
        jobs_dispatchable: runs.jobs_dispatchable,
        oldest_job_since: oldest.map(time),
        oldest_job_age_seconds: oldest.zip(stream_time).map(|(since, now)| age(since, now)),
        runs: runs.runs,
        runs_queued: runs.runs_queued,
        agents: contents.agents,
        agents_online: contents.agents_online,
        remembered_runs_and_jobs: runs.remembered,
        remembered_deliveries: contents.deliveries,
        pipelines: contents.snapshot.pipelines.len(),
        names: contents.names,
    }
}

/// A time beyond the calendar is shown as it is stored.
pub(super) fn time(ms: Millis) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |time| time.to_string())
}

const fn age(since: Millis, now: Millis) -> i64 {
    now.saturating_sub(since) / 1_000
}
