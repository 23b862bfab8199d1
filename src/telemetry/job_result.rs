//! The line `agent job result`: one for each finished job, written after its epoch is published, at most once.
//!
//! Trace and span ids agree with exemplars without a lookup: the trace id is the run's, the span id follows from the
//! job and its attempt.

use dataflows::{graph::JobResult, names::Names};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use uuid::Uuid;

/// The target of these lines, by which the rate limit knows them.
pub(super) const JOB_RESULT: &str = "gocdnext_flow::job_result";

/// Writes the line for a job that has a status; one that is open or was reclaimed has none.
pub fn job_result(result: &JobResult, names: &Names) {
    let Some(status) = result.status else { return };
    let (pipeline, job) = (names.name(result.slug), names.name(result.name));
    let id = |id: u128| Uuid::from_u128(id).hyphenated();
    tracing::info!(
        target: JOB_RESULT,
        pipeline = &*pipeline,
        job = &*job,
        job_name = &*job,
        job_id = %id(result.job),
        run_id = %id(result.run),
        agent_id = (result.agent != 0).then(|| tracing::field::display(id(result.agent))),
        attempt = result.attempt,
        status = status.name(),
        exit_code = result.exit_code,
        duration_ms = result.duration_ms,
        trace_id = %format_args!("{:032x}", if result.trace == 0 { result.run } else { result.trace }),
        span_id = %format_args!("{:016x}", span_id(result.job, result.attempt)),
        "agent job result"
    );
}

/// The span of an attempt: `SipHash-1-3` with keys 0 over the job's 16 bytes (big-endian) and the attempt's 4; never 0.
#[must_use]
pub fn span_id(job: u128, attempt: u32) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&job.to_be_bytes());
    hasher.write(&attempt.to_be_bytes());
    hasher.finish().max(1)
}
