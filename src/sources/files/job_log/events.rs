//! The event side: what each row tells, when, and how it is written as structured CloudEvents.

use super::rows::{Row, Table};
use dataflows::time::Millis;
use jiff::Timestamp;
use std::io::Write;
use uuid::Uuid;

/// One moment of a row; ordered by time, then as its rank says, then by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    pub time: Millis,
    what: What,
    pub row: u32,
}

/// In the order in which they are told at equal times: who ends is out before anyone starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    End,
    Submit,
    Start,
    /// The end of a job that ended as it began: it comes after its own beginning.
    EndAtOnce,
}

/// What a row has to tell.
pub(super) fn steps(row: &Row, number: u32) -> impl Iterator<Item = Step> {
    let step = |time, what| Step { time, what, row: number };
    let begun = row.start.unwrap_or(row.submit);
    let end = |time| step(time, if time > begun { What::End } else { What::EndAtOnce });
    let submit = Some(step(row.submit, What::Submit));
    let start = row.start.map(|time| step(time, What::Start));
    [submit, start, row.end.map(end)].into_iter().flatten()
}

/// Writes events; keeps its buffers.
#[derive(Debug, Default)]
pub(super) struct Writer {
    job_data: String,
}

impl Writer {
    /// Writes the events of one step as lines; gives their number.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, step: &Step, row: &Row, table: &Table) -> u64 {
        let dispatched = row.start.is_some();
        let agent = row.agent.filter(|_| dispatched).map(|agent| table.word(agent).agent);
        let agent = agent.map_or_else(String::new, |agent| format!(r#","agent_id":"{agent}""#));
        let status = format!(r#","status":{}"#, table.word(row.status).json);
        self.describe_job(row, table);
        let event = |out: &mut Vec<u8>, kind: &str, extra: [&str; 3]| {
            write_event(out, kind, step.time, row, table, extra);
        };
        match step.what {
            What::Submit => {
                event(out, "run.queued", ["", "", ""]);
                event(out, "job.queued", [&self.job_data, "", ""]);
                2
            }
            What::Start => {
                event(out, "job.scheduled", [&self.job_data, &agent, ""]);
                event(out, "run.started", ["", "", ""]);
                event(out, "job.started", [&self.job_data, &agent, ""]);
                3
            }
            What::End | What::EndAtOnce => {
                event(out, "job.finished", [&self.job_data, &agent, &status]);
                event(out, "run.finished", ["", "", &status]);
                2
            }
        }
    }

    fn describe_job(&mut self, row: &Row, table: &Table) {
        let job = Uuid::new_v5(&row.run, b"job");
        self.job_data = format!(r#","job_id":"{job}","job":{},"attempt":1"#, table.word(row.queue).json);
    }
}

fn write_event(out: &mut Vec<u8>, kind: &str, time: Millis, row: &Row, table: &Table, extra: [&str; 3]) {
    let (queue, project) = (table.word(row.queue), table.word(row.user).project);
    let (run, pipeline, slug) = (row.run, queue.pipeline, &queue.json);
    let time = Timestamp::from_millisecond(time).unwrap_or(Timestamp::UNIX_EPOCH);
    let [job, agent, status] = extra;
    // writing to memory does not fail
    let _ = writeln!(
        out,
        r#"{{"specversion":"1.0","id":"{run}/{kind}","source":"urn:gocdnext:job-log","type":"io.gocdnext.{kind}","time":"{time}","datacontenttype":"application/json","data":{{"project_id":"{project}","pipeline_id":"{pipeline}","pipeline":{slug},"run_id":"{run}"{job}{agent}{status}}}}}"#
    );
}
