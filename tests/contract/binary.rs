//! Binary content mode gives what structured mode gives.

use crate::{decode_batch, mutations::mutated, valid_examples};
use dataflows::{
    decode::Decoded,
    feed::{KafkaRecord, Records},
    names::Names,
};
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use std::cell::Cell;

/// One record; `None` where the event cannot be written in binary mode: attributes are text there.
fn binary(event: &Value) -> Option<(Vec<u8>, Records)> {
    let mut bytes = Vec::new();
    let mut header = |name: &str, value: &str| {
        bytes.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(value.as_bytes());
    };
    for (name, value) in event.as_object()? {
        match name.as_str() {
            "datacontenttype" => header("content-type", value.as_str()?),
            // data is the value; an extension that is no text cannot be a header
            "data" | "comment" => {}
            name => header(&format!("ce_{name}"), value.as_str()?),
        }
    }
    let value_start = u32::try_from(bytes.len()).unwrap();
    bytes.extend_from_slice(event.get("data").map(Value::to_string).unwrap_or_default().as_bytes());
    Some(record(bytes, value_start))
}

fn structured(event: &Value) -> (Vec<u8>, Records) {
    record(event.to_string().into_bytes(), 0)
}

fn record(bytes: Vec<u8>, value_start: u32) -> (Vec<u8>, Records) {
    let value_end = u32::try_from(bytes.len()).unwrap();
    let record = KafkaRecord {
        partition: 0,
        offset: 0,
        timestamp: Some(1_770_000_000_000),
        key_start: 0,
        headers_start: 0,
        value_start,
        value_end,
    };
    (bytes, Records::Kafka(vec![record]))
}

/// All that may be the same: dead letters keep the bytes, which differ.
fn outcome(decoded: Decoded) -> impl PartialEq + std::fmt::Debug {
    let faults: Vec<_> = decoded.dead_letters.into_iter().map(|letter| (letter.reason, letter.detail)).collect();
    (decoded.runs, decoded.agents, decoded.deliveries, decoded.quality, decoded.maxima, faults)
}

#[test]
fn the_same_event_in_both_modes_is_the_same() {
    let (compared, events) = (Cell::new(0_u32), Cell::new(0_u32));
    let cases = 5_000;
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let examples = mutated(valid_examples().into_iter().map(|(_, event)| event).collect());
    let result = runner.run(&examples, |event| {
        let Some((bytes, records)) = binary(&event) else { return Ok(()) };
        let names = Names::new(100);
        let in_binary = decode_batch(bytes, records, &names);
        let (bytes, records) = structured(&event);
        compared.set(compared.get() + 1);
        events.set(events.get() + u32::from(in_binary.dead_letters.is_empty()));
        proptest::prop_assert_eq!(outcome(in_binary), outcome(decode_batch(bytes, records, &names)));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(compared.get() > cases / 2 && events.get() > cases / 10, "{} {}", compared.get(), events.get());
}
