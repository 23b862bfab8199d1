//! The schemas as a whole: valid themselves, complete, and in step with the types.

use crate::{decode_batch, json_files, schemas_dir};
use dataflows::{
    decode::TYPE_PREFIX,
    event::Kind,
    feed::{DeadLetter, Reason, Records},
    names::Names,
    retention::decision,
};
use gocdnext_flow::sinks::{dead_letter_file::DeadLetterFile, dead_letters::Sink};
use jsonschema::{Registry, Validator};
use serde_json::Value;
use std::fs;

/// Compiles one of the schemas, formats asserted; nothing is fetched from anywhere.
pub fn validator(name: &str) -> Validator {
    let mut registry = Registry::new();
    let mut wanted = None;
    for (file, schema) in all() {
        let uri = schema["$id"].as_str().unwrap().to_owned();
        if file == name {
            wanted = Some(schema.clone());
        }
        registry = registry.add(uri, schema).unwrap();
    }
    let registry = registry.prepare().unwrap();
    let options = jsonschema::options().should_validate_formats(true).with_registry(&registry);
    options.build(&wanted.unwrap_or_else(|| panic!("no schema {name}"))).unwrap()
}

/// Every schema, by its file's name without `.schema.json`.
fn all() -> Vec<(String, Value)> {
    let schemas = ["", "events", "decisions"].into_iter().flat_map(json_files);
    schemas.map(|(name, schema)| (name.strip_suffix(".schema").unwrap().to_owned(), schema)).collect()
}

#[test]
fn every_schema_is_valid_and_says_what_it_is() {
    let schemas = all();
    let ours = Kind::ALL.len() + decision::Kind::NAMES.len();
    assert_eq!(schemas.len(), ours + 5, "all events, the shared parts, two of dead letters, all decisions");
    for (name, schema) in schemas {
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        let id = schema["$id"].as_str().unwrap();
        assert!(id.ends_with(&format!("/{name}.schema.json")), "{id}");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert!(schema["title"].is_string() && schema["description"].is_string(), "{name}");
    }
}

#[test]
fn every_kind_has_its_schema_and_its_topic_entry() {
    let asyncapi = fs::read_to_string(schemas_dir().join("asyncapi.yaml")).unwrap();
    let all_events = all().into_iter().find(|(name, _)| name == "event").unwrap().1;
    let branches = all_events["allOf"].as_array().unwrap();
    assert_eq!(branches.len(), Kind::ALL.len());
    let files = json_files("events");
    assert_eq!(files.len(), Kind::ALL.len());
    for (kind, branch) in Kind::ALL.into_iter().zip(branches) {
        let (name, type_name) = (kind.name(), format!("{TYPE_PREFIX}{}", kind.name()));
        let (_, schema) = files.iter().find(|(file, _)| *file == format!("{name}.schema")).unwrap();
        assert_eq!(schema["properties"]["type"]["const"], type_name.as_str());
        assert_eq!(branch["if"]["properties"]["type"]["const"], type_name.as_str());
        assert_eq!(branch["then"]["$ref"], format!("events/{name}.schema.json"));
        assert!(asyncapi.contains(&format!("name: {type_name}\n")), "{name}");
        assert!(asyncapi.contains(&format!("$ref: events/{name}.schema.json\n")), "{name}");
        let message = format!("      {kind:?}:\n        $ref: '#/components/messages/{kind:?}'\n");
        assert!(asyncapi.contains(&message), "{name}: the channel's list of messages");
    }
}

#[test]
fn dead_letters_have_the_reasons_of_the_decoder() {
    let names = Reason::ALL.map(Reason::name);
    for schema in ["dead-letter", "dead-letter-headers"] {
        let schema = all().into_iter().find(|(name, _)| name == schema).unwrap().1;
        let properties = &schema["properties"];
        let reason = properties.get("reason").unwrap_or(&properties["dead_letter_reason"]);
        assert_eq!(reason["enum"], serde_json::json!(names));
    }
    let (file, headers) = (validator("dead-letter"), validator("dead-letter-headers"));
    for (name, example) in json_files("examples/dead-letter") {
        let schema = if name == "headers" { &headers } else { &file };
        schema.validate(&example).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(
        !file.is_valid(&serde_json::json!({"source": "a", "partition": 0, "offset": 1, "detail": "x",
        "reason": "not_json"})),
        "the bytes themselves are required"
    );
}

#[test]
fn the_file_of_dead_letters_keeps_its_schema() {
    let schema = validator("dead-letter");
    let bytes = b"{}\n[\n\xff\xfe\n".to_vec();
    let letters: Vec<DeadLetter> = decode_batch(bytes, Records::default(), &Names::new(1)).dead_letters;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dead.ndjson");
    let mut file = DeadLetterFile::create(Some(&path), vec!["events.ndjson".into()]).unwrap();
    file.deliver(&letters).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        let letter: Value = serde_json::from_str(line).unwrap();
        schema.validate(&letter).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}
