//! Writes events as the contract has them: one structured CloudEvent a line.

use dataflows::{
    event::{AgentEvent, Delivery, DeliveryEvent, Event, Id, Kind, RunEvent},
    names::NameId,
    settings::Settings,
};

/// The event as a line. Copies of an event get the same id, other events other ids.
pub fn line(event: &Event, settings: &Settings) -> String {
    let (id, data) = match event {
        Event::Run(e) => (format!("{:x}", e.tie), run(e)),
        Event::Agent(e) => (format!("{} {} {}", e.kind.name(), e.agent, e.time), agent(e)),
        Event::Delivery(e) => delivery(e, settings),
    };
    let (kind, time) = (event.kind().name(), time(event.time()));
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/test","type":"io.gocdnext.{kind}","time":"{time}","data":{{{data}}}}}"#
    )
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}

fn uuid(id: Id) -> String {
    let hex = format!("{id:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// What a slug is called.
pub fn slug_text(slug: NameId) -> String {
    format!("slug {}", slug.0)
}

fn of_run(project: Id, pipeline: Id, slug: NameId, run: Id) -> String {
    format!(
        r#""project_id":"{}","pipeline_id":"{}","pipeline":"{}","run_id":"{}""#,
        uuid(project),
        uuid(pipeline),
        slug_text(slug),
        uuid(run)
    )
}

fn run(e: &RunEvent) -> String {
    let mut parts = vec![of_run(e.project, e.pipeline, e.slug, e.run)];
    if e.job != 0 {
        parts.push(format!(r#""job_id":"{}","job":"build","attempt":{}"#, uuid(e.job), e.attempt));
    }
    if matches!(e.kind, Kind::RunFinished | Kind::JobFinished) {
        parts.push(format!(r#""status":"{}""#, e.status.name()));
    }
    if matches!(e.kind, Kind::JobQueued) {
        parts.push(format!(r#""dispatchable":{}"#, e.dispatchable));
    }
    if matches!(e.kind, Kind::JobRequeued) {
        parts.push(r#""reason":"agent lost""#.to_owned());
    }
    if e.agent != 0 {
        parts.push(format!(r#""agent_id":"{}""#, uuid(e.agent)));
    }
    parts.join(",")
}

fn agent(e: &AgentEvent) -> String {
    format!(r#""agent_id":"{}""#, uuid(e.agent))
}

/// Id and data: of a delivery the id says which it is, of a partition its name.
fn delivery(e: &DeliveryEvent, settings: &Settings) -> (String, String) {
    let key = e.key;
    let word =
        |list: &[String], index: u16| list.get(usize::from(index)).map_or("elsewhere", String::as_str).to_owned();
    match e.what {
        Delivery::Archived(result) => {
            let ids = format!(r#""job_id":"{}","attempt":1,"result":"{}""#, uuid(1), result.name());
            (format!("archive {key}"), format!("{},{ids}", of_run(1, 1, NameId(1), 1)))
        }
        Delivery::PartitionDropped => {
            let bound = time(e.time);
            (format!("drop {key} {}", e.time), format!(r#""partition":"log_lines_{key}","upper_bound":"{bound}""#))
        }
        Delivery::Webhook { provider, outcome } => {
            let provider = word(&settings.webhook_providers, provider);
            let outcome = word(&settings.webhook_outcomes, outcome);
            (format!("webhook {key}"), format!(r#""provider":"{provider}","outcome":"{outcome}""#))
        }
    }
}
