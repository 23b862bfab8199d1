//! Every example against schemas and decoder.

use crate::{decode, json_files, schemas::validator, valid_examples};
use dataflows::{decode::TYPE_PREFIX, event::Kind};
use std::collections::BTreeSet;

#[test]
fn the_valid_are_taken_and_the_invalid_refused_by_both() {
    let schema = validator("event");
    for (name, event) in valid_examples() {
        schema.validate(&event).unwrap_or_else(|error| panic!("{name}: {error}"));
        decode(&event).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
    let invalid = json_files("examples/invalid");
    assert!(invalid.len() >= 50);
    for (name, event) in invalid {
        assert!(!schema.is_valid(&event), "the schema takes {name}");
        assert!(decode(&event).is_err(), "the decoder takes {name}");
    }
}

#[test]
fn the_valid_are_deliveries_of_their_own() {
    let mut seen = BTreeSet::new();
    for (name, event) in valid_examples() {
        let delivery = (event["source"].to_string(), event["id"].to_string());
        assert!(seen.insert(delivery), "{name} has the source and the id of another");
    }
}

#[test]
fn every_kind_has_a_valid_example_and_all_of_a_kind_keep_its_schema() {
    for kind in Kind::ALL {
        let schema = validator(kind.name());
        let type_name = format!("{TYPE_PREFIX}{}", kind.name());
        let of_kind: Vec<_> = valid_examples().into_iter().filter(|(_, e)| e["type"] == type_name.as_str()).collect();
        assert!(of_kind.iter().any(|(name, _)| name == kind.name()), "{type_name}");
        for (name, event) in of_kind {
            schema.validate(&event).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn every_kind_but_those_of_one_shape_has_an_invalid_example() {
    let invalid = json_files("examples/invalid");
    // the same fields as run.queued
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::RunStarted) {
        assert!(invalid.iter().any(|(name, _)| name.starts_with(&format!("{}-", kind.name()))), "{}", kind.name());
    }
}
