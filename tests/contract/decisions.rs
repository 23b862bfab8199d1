//! What goes to the topic of decisions keeps its schema, and the examples are what is sent.

use crate::{json_files, schemas::validator, schemas_dir};
use dataflows::{
    event::{Kind as EventKind, RunEvent, Status},
    machines::{Close, Closed},
    names::NameId,
    retention::{
        Catalogue, Decision, Kind, Policies, Policy, Reason, RetentionInput, Subject,
        archives::ArchivesMachine,
        month::Month,
        note::{Key, Note},
        partitions::{Given, Moment},
    },
    settings::Settings,
    state::Sweep,
    time::{Millis, StreamTime},
};
use gocdnext_flow::sinks::decisions::{TYPE_PREFIX, event};
use serde_json::json;
use std::{fs, ops::Range, sync::Arc};

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;
/// The first of January 2026.
const JANUARY: Millis = 1_767_225_600_000;
/// When the attempt ended.
const ENDED: Millis = 1_769_851_800_125;
const PROJECT: u128 = 0x5b0c_1f0e_7f64_4c57_9f0a_5d0a_3c6a_1b01;
const ATTEMPT: Key = Key {
    run: 0xc1d8_a6b2_3f49_4e7b_b6a5_2e9f_1d4c_8a03,
    job: 0xd7e4_b9c0_6a52_4f1d_9c38_7b5e_2a1f_0d04,
    attempt: 1,
};

fn policies() -> Arc<Policies> {
    let default = Some(Policy { log_retention_days: 89, archive: true });
    Arc::new(Policies { default, ..Policies::default() })
}

/// What is decided at `now` where these months, from January on, have a partition.
fn of_partitions(months: Range<i64>, now: Millis, complete_from: Millis) -> Vec<Decision> {
    let partitions = months.map(|month| Month::of(JANUARY).plus(month).partition()).collect();
    let input = RetentionInput {
        policies: policies(),
        catalogue: Some(Arc::new(Catalogue { partitions, now })),
        complete_from: Some(complete_from),
    };
    let months_ahead = Settings::default().retention.months_ahead;
    Given::default().decide(&input, Moment { now: StreamTime(now), caught_up: true }, months_ahead).decisions
}

/// What is decided about the log of an attempt whose archive always fails.
fn of_archives() -> Vec<Decision> {
    let settings = Arc::new(Settings::default());
    let input = RetentionInput { policies: policies(), ..RetentionInput::default() };
    let failed = RunEvent {
        kind: EventKind::LogArchived,
        time: ENDED,
        tie: 0,
        run: ATTEMPT.run,
        project: PROJECT,
        pipeline: 1,
        job: ATTEMPT.job,
        agent: 0,
        trace: 0,
        attempt: ATTEMPT.attempt,
        slug: NameId::OTHER,
        name: NameId::OTHER,
        status: Status::Failed,
        dispatchable: false,
        exit_code: None,
    };
    let mut machine = ArchivesMachine::new(Arc::clone(&settings), 1);
    machine.note(&Note { dispatched: ENDED - HOUR, ended: ENDED, ..Note::seen(ATTEMPT, PROJECT) });
    let (mut decisions, mut last) = (vec![], ENDED);
    while decisions.last().is_none_or(|decision: &Decision| decision.kind == Kind::ArchiveLogs) {
        let mut closed = Closed::new(&settings);
        // longer than between two tries, and shorter than silence lasts
        let at = Close { now: StreamTime(last + 7 * HOUR), last: false, sweep: Sweep::default() };
        machine.close(at, Some(&input), &mut closed);
        assert_eq!(closed.retention.decisions.len(), 1, "{:?}", closed.retention.decisions);
        decisions.append(&mut closed.retention.decisions);
        last = decisions[decisions.len() - 1].time;
        machine.outcome(&RunEvent { time: last, ..failed });
    }
    decisions
}

/// One of each kind as it is decided, by the name of its example.
fn decisions() -> Vec<(&'static str, Decision)> {
    let one = |decisions: Vec<Decision>| {
        let [decision] = <[Decision; 1]>::try_from(decisions).unwrap();
        decision
    };
    // January's is missing in October; it is old enough in May
    let (october, may) = (JANUARY - 90 * DAY, JANUARY + 121 * DAY);
    let mut archives = of_archives();
    let given_up = archives.pop().unwrap();
    vec![
        ("ensure_partition", one(of_partitions(-3..0, october, october))),
        ("drop_partition", one(of_partitions(0..8, may, JANUARY - 17 * DAY))),
        ("archive_logs", archives.swap_remove(1)),
        ("blocked", one(of_partitions(0..8, may, JANUARY + 14 * DAY))),
        ("blocked-archive", given_up),
    ]
}

#[test]
fn every_kind_of_decision_keeps_its_schema_and_has_its_example() {
    let (schema, examples) = (validator("decision"), json_files("examples/decisions"));
    let kinds = json_files("decisions");
    for (name, decision) in decisions() {
        let event = event(&decision);
        schema.validate(&event).unwrap_or_else(|error| panic!("{name}: {error}\n{event:#}"));
        let example = examples.iter().find(|(file, _)| file == name);
        assert_eq!(example.map(|(_, example)| example), Some(&event), "{name}: the example is\n{event:#}");
        let kind = format!("{}.schema", decision.kind.name());
        let (_, kind) = kinds.iter().find(|(file, _)| *file == kind).unwrap();
        let facts = &kind["properties"]["data"]["properties"]["facts"]["properties"];
        for fact in decision.facts.keys() {
            assert!(facts[fact].is_object(), "{name}: the schema does not name the fact {fact}");
        }
    }
    assert_eq!(examples.len(), decisions().len());
}

#[test]
fn decisions_of_every_kind_and_reason_are_in_schema_and_topic() {
    let schema = validator("decision");
    for reason in Reason::ALL {
        let partition = Subject::Partition("log_lines_y2026m01".into());
        let blocked = Decision::new(Kind::Blocked(reason), partition, 0, "why".into(), []);
        schema.validate(&event(&blocked)).unwrap_or_else(|error| panic!("{}: {error}", reason.name()));
    }
    let asyncapi = fs::read_to_string(schemas_dir().join("asyncapi.yaml")).unwrap();
    for kind in Kind::NAMES {
        assert!(asyncapi.contains(&format!("name: {TYPE_PREFIX}{kind}\n")), "{kind}");
        assert!(asyncapi.contains(&format!("$ref: decisions/{kind}.schema.json\n")), "{kind}");
    }
}

#[test]
fn what_is_no_decision_is_refused() {
    let schema = validator("decision");
    let (_, drop) = decisions().swap_remove(1);
    let without = |pointer: &str, name: &str| {
        let mut event = event(&drop);
        event.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name);
        event
    };
    for (pointer, name) in [("", "id"), ("", "time"), ("/data", "partition"), ("/data", "reason"), ("/data", "facts")]
    {
        assert!(!schema.is_valid(&without(pointer, name)), "{name}");
    }
    let mut other = event(&drop);
    other["id"] = json!("1");
    assert!(!schema.is_valid(&other), "no UUID");
}
