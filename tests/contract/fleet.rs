//! The made-up fleet keeps the contract, and what it calls garbage breaks it.

use crate::schemas::validator;
use dataflows::{decode::Decoder, names::Names, settings::Settings};
use gocdnext_flow::fleet::{Fleet, FleetOptions, Noise, NoiseOptions};
use serde_json::Value;
use std::collections::BTreeSet;

fn fleet() -> Fleet {
    Fleet::new(FleetOptions { max_jobs: Some(1_000), ..FleetOptions::default() })
}

#[test]
fn every_event_of_the_fleet_is_taken_by_schema_and_decoder() {
    let schema = validator("event");
    let mut decoder = Decoder::new(&Settings::default(), Names::new(1_000));
    let mut events = BTreeSet::new();
    for record in fleet() {
        let event: Value = serde_json::from_slice(&record.value).unwrap();
        schema.validate(&event).unwrap_or_else(|error| panic!("{error} at {}: {event:#}", error.instance_path()));
        decoder.check_line(&record.value).unwrap_or_else(|fault| panic!("{fault}: {event:#}"));
        events.insert(record.value);
    }
    assert!(events.len() > 5_000, "{}", events.len());
}

#[test]
fn every_record_of_garbage_is_refused_and_is_one_line() {
    let mut decoder = Decoder::new(&Settings::default(), Names::new(1_000));
    let events: BTreeSet<_> = fleet().map(|record| record.value).collect();
    let noise = NoiseOptions { garbage: 0.2, ..NoiseOptions::default() };
    let mut garbage = 0;
    for record in Noise::new(fleet(), noise).filter(|record| !events.contains(&record.value)) {
        assert!(!record.value.contains(&b'\n') && !record.value.is_empty());
        assert!(decoder.check_line(&record.value).is_err(), "{}", String::from_utf8_lossy(&record.value));
        garbage += 1;
    }
    assert!(garbage > 1_000, "{garbage}");
}
