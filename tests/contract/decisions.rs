//! What goes to the topic of decisions keeps its schema, and the examples are what is sent.

use crate::{json_files, schemas::validator, schemas_dir};
use dataflows::retention::{Decision, Kind, Reason, Subject};
use gocdnext_flow::sinks::decisions::{TYPE_PREFIX, event};
use serde_json::json;
use std::fs;

const PARTITION: &str = "log_lines_y2026m01";

fn partition() -> Subject {
    Subject::Partition(PARTITION.into())
}

fn archive(try_: u32) -> Subject {
    Subject::Archive {
        job: 0xd7e4_b9c0_6a52_4f1d_9c38_7b5e_2a1f_0d04,
        attempt: 1,
        run: 0xc1d8_a6b2_3f49_4e7b_b6a5_2e9f_1d4c_8a03,
        project: 0x5b0c_1f0e_7f64_4c57_9f0a_5d0a_3c6a_1b01,
        ended_at: 1_769_851_800_125,
        try_,
    }
}

/// One of each kind, by the name of its example.
fn decisions() -> Vec<(&'static str, Decision)> {
    let due = ("due", 1_777_593_600_000.into());
    let decision =
        |kind, subject, time, reason: &str, facts| Decision::new(kind, subject, time, reason.into(), facts);
    let blocked =
        |reason, subject, why: &str| decision(Kind::Blocked(reason), subject, 1_777_593_600_000, why, [due.clone()]);
    vec![
        (
            "ensure_partition",
            decision(
                Kind::EnsurePartition,
                partition(),
                1_759_276_800_000,
                "the current month and 3 ahead must have a partition, and log_lines_y2026m01 is not there",
                [("months_ahead", 3.into())],
            ),
        ),
        (
            "drop_partition",
            decision(
                Kind::DropPartition,
                partition(),
                1_777_593_600_000,
                "the longest retention, 89 days from its end on, has passed since 2026-05-01T00:00:00Z",
                [due.clone()],
            ),
        ),
        (
            "archive_logs",
            decision(
                Kind::ArchiveLogs,
                archive(2),
                1_769_852_400_125,
                "its archive has failed, and is tried again",
                [("failed_at", "2026-01-31T09:35:00.125Z".to_owned().into())],
            ),
        ),
        ("blocked", blocked(Reason::IncompleteHistory, partition(), "what is known of jobs is not whole")),
        ("blocked-archive", blocked(Reason::ArchiveFailed, archive(10), "its archive has failed as often as it may")),
    ]
}

#[test]
fn every_kind_of_decision_keeps_its_schema_and_has_its_example() {
    let (schema, examples) = (validator("decision"), json_files("examples/decisions"));
    for (name, decision) in decisions() {
        let event = event(&decision);
        schema.validate(&event).unwrap_or_else(|error| panic!("{name}: {error}\n{event:#}"));
        let example = examples.iter().find(|(file, _)| file == name);
        assert_eq!(example.map(|(_, example)| example), Some(&event), "{name}: the example is\n{event:#}");
    }
    assert_eq!(examples.len(), decisions().len());
}

#[test]
fn decisions_of_every_kind_and_reason_are_in_schema_and_topic() {
    let schema = validator("decision");
    for reason in Reason::ALL {
        let blocked = Decision::new(Kind::Blocked(reason), partition(), 0, "why".into(), []);
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
