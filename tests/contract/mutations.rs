//! Events with something changed: the values that schemas and decoders tend to disagree on.

use crate::json_files;
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::LazyLock};

/// What is done to one field; `None` removes it.
pub type Change = Option<Value>;

/// Values on both sides of every edge of the contract.
pub fn edges() -> Vec<Change> {
    let mut edges: Vec<Change> = vec![None];
    let texts = [
        "",
        " ",
        "a",
        "é",
        "\u{0}",
        "null",
        "1.0",
        "1",
        "true",
        "success",
        "io.gocdnext.job.ready",
        "io.gocdnext.",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-ffff-FFFF-ffff-FFFFFFFFFFFF",
        "ffffffffffffffffffffffffffffffff",
        "{ffffffff-ffff-ffff-ffff-ffffffffffff}",
        "urn:uuid:ffffffff-ffff-ffff-ffff-ffffffffffff",
        "ffffffff-ffff-ffff-ffff-fffffffffff",
        "fffffffff-fff-ffff-ffff-ffffffffffff",
        "gfffffff-ffff-ffff-ffff-ffffffffffff",
        "2026-01-31T09:30:00Z",
        "2026-01-31t09:30:00z",
        "2026-01-31 09:30:00Z",
        "2026-01-31T09:30:00",
        "2026-01-31T09:30Z",
        "2026-01-31",
        "2026-01-31T09:30:00.Z",
        "2026-01-31T09:30:00.1234567890123Z",
        "2026-01-31T09:30:00+23:59",
        "2026-01-31T09:30:00-24:00",
        "2026-01-31T09:30:00+0100",
        "2026-01-31T09:30:00+01:60",
        "2026-01-31T24:00:00Z",
        "2026-01-31T09:60:00Z",
        "2026-01-31T23:59:60Z",
        "2026-01-31T23:59:61Z",
        "2026-01-31T09:30:60Z",
        "2027-01-01T00:59:60+01:00",
        "2026-12-31T22:59:60-01:00",
        "2026-12-31T22:58:60-01:00",
        "2026-02-29T00:00:00Z",
        "2028-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "+2026-01-31T09:30:00Z",
        "2026-1-31T09:30:00Z",
        "2026-01-31T09:30:00Z\n",
        "２026-01-31T09:30:00Z",
        "2026-13-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
    ];
    edges.extend(texts.map(|text| Some(json!(text))));
    let numbers = [
        json!(0),
        json!(1),
        json!(-1),
        json!(1.0),
        json!(-0.0),
        json!(1.5),
        json!(1e300),
        json!(-1e300),
        json!(2_147_483_647),
        json!(2_147_483_648_i64),
        json!(-2_147_483_648_i64),
        json!(-2_147_483_649_i64),
        json!(4_294_967_295_i64),
        json!(4_294_967_296_i64),
        json!(4_294_967_295.0),
        json!(4_294_967_295.5),
        json!(-2_147_483_648.0),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e-300),
    ];
    edges.extend(numbers.map(Some));
    edges.extend([json!(null), json!(true), json!(false), json!([]), json!({}), json!([{"a": [1]}])].map(Some));
    edges
}

/// One character of a well-formed id or time replaced, put in or taken out.
fn near_miss() -> impl Strategy<Value = Change> {
    let base = select(vec![
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        "2026-01-31T09:30:00.5Z",
        "2026-12-31T23:59:60+00:00",
        "2024-02-29T23:59:59-11:30",
    ]);
    let character = select("0123456789abfgF-+:.TZtz /é".chars().collect::<Vec<_>>());
    (base, any::<prop::sample::Index>(), character, 0..4).prop_map(|(base, at, character, what)| {
        let mut characters: Vec<char> = base.chars().collect();
        let at = at.index(characters.len());
        match what {
            0 => characters.insert(at, character),
            1 => drop(characters.remove(at)),
            _ => characters[at] = character,
        }
        Some(json!(characters.into_iter().collect::<String>()))
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => select(edges()),
        3 => near_miss(),
        1 => any::<i64>().prop_map(|n| Some(json!(n))),
        1 => any::<f64>().prop_map(|n| Some(json!(n))),
        1 => any::<String>().prop_map(|text| Some(json!(text))),
    ]
}

/// The envelope's attributes that mean something.
pub const ATTRIBUTES: [&str; 7] = ["specversion", "type", "source", "id", "time", "traceparent", "data"];

/// The fields of `data` that mean something to some type, as the schemas have them.
pub static FIELDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let common = json_files("").into_iter().find(|(name, _)| name == "common.schema").unwrap().1;
    let shared = common["$defs"].as_object().unwrap();
    let shared = shared.iter().filter(|(name, _)| !["envelope", "event"].contains(&name.as_str()));
    let own = json_files("events").into_iter().map(|(_, schema)| schema["properties"]["data"].clone());
    let fields = shared.map(|(_, shape)| shape.clone()).chain(own).flat_map(|shape| {
        let properties = shape["properties"].as_object().cloned().unwrap_or_default();
        properties.into_iter().map(|(name, _)| name)
    });
    fields.collect::<BTreeSet<_>>().into_iter().collect()
});

/// Sets or removes `event[path]`.
pub fn apply(event: &mut Value, path: &[&str], change: Change) {
    let (last, parents) = path.split_last().unwrap();
    let parent = parents.iter().try_fold(event, |value, name| value.get_mut(name)).and_then(Value::as_object_mut);
    let Some(parent) = parent else { return };
    match change {
        Some(value) => drop(parent.insert((*last).to_owned(), value)),
        None => drop(parent.remove(*last)),
    }
}

/// A valid example with up to three fields changed.
pub fn mutated(examples: Vec<Value>) -> impl Strategy<Value = Value> {
    let path = prop_oneof![
        1 => select(ATTRIBUTES.to_vec()).prop_map(|name| vec![name]),
        3 => select(FIELDS.iter().map(String::as_str).collect::<Vec<_>>()).prop_map(|name| vec!["data", name]),
    ];
    (select(examples), prop::collection::vec((path, change()), 0..4)).prop_map(|(mut event, changes)| {
        for (path, change) in changes {
            apply(&mut event, &path, change);
        }
        event
    })
}
