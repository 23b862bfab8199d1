//! The contract: schemas, examples and decoder held against each other.
//!
//! What the schemas take (formats asserted), the decoder takes, and the other way round, within the limits of size and
//! depth. One difference is left on purpose: a schema sees parsed values, so it cannot see a name given twice, which
//! the decoder refuses; nor numbers and escapes that a parser refuses in fields that nobody reads.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

mod agreement;
mod binary;
mod decisions;
mod examples;
mod fleet;
mod mutations;
mod schemas;

use dataflows::{
    decode::{Decoded, Decoder},
    feed::{Batch, Records},
    names::Names,
    settings::Settings,
};
use serde_json::Value;
use std::{fs, path::PathBuf};

/// The decoder's verdict on one structured event; names its reason and detail where it refuses.
fn decode(event: &Value) -> Result<(), String> {
    let text = event.to_string();
    let mut decoder = Decoder::new(&Settings::default(), Names::new(1_000));
    decoder.check_line(text.as_bytes()).map(drop).map_err(|fault| fault.to_string())
}

/// Everything that comes out of a batch.
fn decode_batch(bytes: Vec<u8>, records: Records, names: &Names) -> Decoded {
    let mut out = Decoded::default();
    Decoder::new(&Settings::default(), names.clone())
        .decode(&Batch { partition: 0, bytes, records, read_at: None }, &mut out);
    out
}

fn schemas_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

/// The JSON files of a folder of `schemas/`, by name without `.json`.
fn json_files(folder: &str) -> Vec<(String, Value)> {
    let mut files: Vec<(String, Value)> = fs::read_dir(schemas_dir().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let value = serde_json::from_str(&fs::read_to_string(&path).unwrap());
            (name, value.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn valid_examples() -> Vec<(String, Value)> {
    json_files("examples/valid")
}
