//! Schema and decoder agree on events that nobody wrote by hand.

use crate::{
    decode,
    mutations::{ATTRIBUTES, FIELDS, apply, edges, mutated},
    schemas::validator,
    valid_examples,
};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;
use std::cell::Cell;

/// How many events both took and both refused.
#[derive(Default)]
struct Tally {
    taken: Cell<u32>,
    refused: Cell<u32>,
}

impl Tally {
    fn compare(&self, schema: &jsonschema::Validator, event: &Value) -> Result<(), String> {
        let by_schema = schema.validate(event).map_err(|error| format!("{} at {}", error, error.instance_path()));
        let by_decoder = decode(event);
        let count = if by_schema.is_ok() { &self.taken } else { &self.refused };
        count.set(count.get() + 1);
        if by_schema.is_ok() == by_decoder.is_ok() {
            return Ok(());
        }
        Err(format!("schema: {by_schema:?}\ndecoder: {by_decoder:?}\n{event:#}"))
    }
}

#[test]
fn on_every_edge_of_every_field_of_every_type() {
    let schema = validator("event");
    let tally = Tally::default();
    let paths =
        ATTRIBUTES.iter().map(|name| vec![*name]).chain(FIELDS.iter().map(|name| vec!["data", name.as_str()]));
    assert!(FIELDS.len() >= 20, "{FIELDS:?}");
    let paths: Vec<_> = paths.collect();
    for (_, example) in valid_examples() {
        for path in &paths {
            for change in edges() {
                let mut event = example.clone();
                apply(&mut event, path, change);
                tally.compare(&schema, &event).unwrap_or_else(|difference| panic!("{path:?}\n{difference}"));
            }
        }
    }
    assert!(
        tally.taken.get() > 10_000 && tally.refused.get() > 10_000,
        "{} {}",
        tally.taken.get(),
        tally.refused.get()
    );
}

#[test]
fn on_mutated_events() {
    let schema = validator("event");
    let tally = Tally::default();
    let cases = 20_000;
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let events = mutated(valid_examples().into_iter().map(|(_, event)| event).collect());
    let result = runner.run(&events, |event| tally.compare(&schema, &event).map_err(TestCaseError::fail));
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(tally.taken.get() > cases / 10 && tally.refused.get() > cases / 10);
}
