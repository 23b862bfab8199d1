//! What the fleet says: one function for each family of events.

use super::{
    Fleet, Record,
    archive::Archive,
    runs::{Job, Run},
    writer::{Json, uuid_text},
};
use dataflows::event::{ArchiveResult, Kind, Status};

/// How an attempt ended: its status and, where a process ended, its exit code.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    pub status: Status,
    pub exit_code: Option<i32>,
    pub error: Option<&'static str>,
}

impl Ending {
    pub const fn without_process(status: Status) -> Self {
        Self { status, exit_code: None, error: None }
    }
}

impl Fleet {
    pub(super) fn say_run(&mut self, run: &Run, kind: Kind, status: Option<Status>) {
        let mut json = self.run_event(run, kind);
        if let Some(status) = status {
            json.text("status", status.name());
        }
        self.send(run.id, json);
    }

    pub(super) fn say_queued(&mut self, run: &Run, job: &Job, dispatchable: bool) {
        let mut json = self.job_event(run, job, Kind::JobQueued);
        json.boolean("dispatchable", dispatchable);
        self.send(run.id, json);
    }

    /// `job.ready`, `job.scheduled` and `job.started`.
    pub(super) fn say_job(&mut self, run: &Run, job: &Job, kind: Kind) {
        let mut json = self.job_event(run, job, kind);
        if let (Kind::JobScheduled | Kind::JobStarted, Some(agent)) = (kind, job.agent) {
            json.id("agent_id", self.agents[agent as usize].id);
        }
        self.send(run.id, json);
    }

    pub(super) fn say_finished(&mut self, run: &Run, job: &Job, ending: Ending) {
        let mut json = self.job_event(run, job, Kind::JobFinished);
        json.text("status", ending.status.name());
        if let Some(agent) = job.agent {
            json.id("agent_id", self.agents[agent as usize].id);
        }
        if let Some(code) = ending.exit_code {
            json.number("exit_code", code);
        }
        if let Some(error) = ending.error {
            json.text("error", error);
        }
        self.send(run.id, json);
    }

    pub(super) fn say_requeued(&mut self, run: &Run, job: &Job, reason: &str) {
        let mut json = self.job_event(run, job, Kind::JobRequeued);
        json.text("reason", reason);
        self.send(run.id, json);
    }

    pub(super) fn say_agent(&mut self, agent: u32, kind: Kind) {
        let (id, pool) = (self.agents[agent as usize].id, self.agents[agent as usize].pool);
        let mut json = self.event(kind, None);
        json.id("agent_id", id).text("pool", super::plan::POOLS[usize::from(pool)].0);
        self.send(id, json);
    }

    pub(super) fn say_archived(&mut self, archive: &Archive, result: ArchiveResult) {
        let pipeline = &self.plan.pipelines[archive.pipeline as usize];
        let project = self.plan.tenants[pipeline.tenant].project;
        let event_id = self.dice.id();
        let mut json = Json::event(Kind::LogArchived, event_id, archive.replica, self.now, Some(archive.trace));
        json.id("project_id", project).id("pipeline_id", pipeline.id).text("pipeline", &pipeline.slug);
        json.id("run_id", archive.run).id("job_id", archive.job);
        json.number("attempt", i32::from(archive.attempt)).text("result", result.name());
        self.send(archive.run, json);
    }

    pub(super) fn say_partition_dropped(&mut self, partition: &str, upper_bound_ms: i64) {
        let key = self.dice.id();
        let mut json = self.event(Kind::LogPartitionDropped, None);
        json.text("partition", partition).time("upper_bound", upper_bound_ms);
        self.send(key, json);
    }

    pub(super) fn say_webhook(&mut self, provider: &str, outcome: &str) {
        let key = self.dice.id();
        let mut json = self.event(Kind::WebhookReceived, None);
        json.text("provider", provider).text("outcome", outcome);
        self.send(key, json);
    }

    fn run_event(&mut self, run: &Run, kind: Kind) -> Json {
        let event_id = self.dice.id();
        let pipeline = &self.plan.pipelines[run.pipeline as usize];
        let project = self.plan.tenants[pipeline.tenant].project;
        let mut json = Json::event(kind, event_id, run.replica, self.now, Some(run.trace));
        json.id("project_id", project).id("pipeline_id", pipeline.id);
        json.text("pipeline", &pipeline.slug).id("run_id", run.id);
        json
    }

    fn job_event(&mut self, run: &Run, job: &Job, kind: Kind) -> Json {
        let mut json = self.run_event(run, kind);
        let plan = &self.plan.pipelines[run.pipeline as usize].jobs[job.plan];
        json.id("job_id", job.id).text("job", plan.name).text("stage", plan.stage_name);
        json.number("attempt", i32::from(job.attempt));
        json
    }

    fn event(&mut self, kind: Kind, trace: Option<super::writer::Trace>) -> Json {
        let id = self.dice.id();
        let replica = self.replica();
        Json::event(kind, id, replica, self.now, trace)
    }

    /// One of the control plane's replicas.
    pub(super) fn replica(&mut self) -> u8 {
        u8::try_from(self.dice.below(3)).unwrap_or_default()
    }

    fn send(&mut self, key: u128, json: Json) {
        self.out.push_back(Record { time_ms: self.now, key: uuid_text(key), value: json.finish() });
    }
}
