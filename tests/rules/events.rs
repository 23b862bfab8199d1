//! Made-up events in which everything goes wrong.

use dataflows::time::Millis;
use serde_json::{Value, json};

const HOUR_MS: Millis = 3_600_000;

/// Ids that no other event has.
#[derive(Default)]
pub struct Events {
    last: u64,
}

impl Events {
    fn id(&mut self) -> String {
        self.last += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.last)
    }

    fn event(&mut self, kind: &str, time: Millis, data: &Value) -> String {
        let time = jiff::Timestamp::from_millisecond(time).unwrap().to_string();
        let id = self.id();
        json!({"specversion": "1.0", "type": format!("io.gocdnext.{kind}"), "source": "/test", "id": id, "time": time, "data": data})
            .to_string()
    }

    /// A job of a run, both new unless a run is given.
    fn job(&mut self, pipeline: u8, run: Option<&str>) -> Value {
        let run = run.map_or_else(|| self.id(), str::to_owned);
        json!({
            "project_id": "00000000-0000-4000-9000-000000000001",
            "pipeline_id": format!("00000000-0000-4000-a000-{pipeline:012x}"),
            "pipeline": format!("pipeline-{pipeline}"),
            "run_id": run, "job_id": self.id(), "job": "build", "stage": "test", "attempt": 1, "dispatchable": true,
            "agent_id": "00000000-0000-4000-b000-000000000001", "status": "failed", "result": "failed",
        })
    }

    /// Runs that wait, and a job that has waited for an hour; they stay so.
    pub fn waiting(&mut self, now: Millis) -> Vec<String> {
        let mut events = Vec::new();
        for _ in 0..20 {
            let run = self.job(1, None);
            events.push(self.event("run.queued", now, &run));
        }
        let job = self.job(1, None);
        events.push(self.event("job.queued", now - HOUR_MS, &job));
        events
    }

    /// A second of trouble: jobs that waited for an hour and failed, of more pipelines and more to a run than there is room
    /// for, one that was lost, archives that fail, and a record that is no event.
    pub fn trouble(&mut self, now: Millis) -> Vec<String> {
        let mut events = vec!["no event".to_owned()];
        for pipeline in [1, 2].repeat(5) {
            let job = self.job(pipeline, None);
            events.push(self.event("job.queued", now - HOUR_MS, &job));
            events.push(self.event("job.scheduled", now, &job));
            events.push(self.event("job.finished", now, &job));
            events.push(self.event("log.archived", now, &job));
        }
        let run = self.id();
        for _ in 0..2 {
            let job = self.job(1, Some(&run));
            events.push(self.event("job.queued", now, &job));
        }
        let lost = self.job(1, None);
        events.push(self.event("job.scheduled", now - 25 * HOUR_MS, &lost));
        events
    }
}
