//! Decoding: ns an event, by size and content mode. `cargo bench -p dataflows --bench decode`
//!
//! One element is one event of the life of a job (queued to finished) or a heartbeat, in a batch as sources make them.

#![expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a few hundred small records")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dataflows::{
    decode::{Decoded, Decoder},
    feed::{Batch, KafkaRecord, Records},
    names::Names,
    settings::Settings,
};

/// Events in the batch: more than fit the first-level cache, about as many as a source's arena holds.
const EVENTS: usize = 512;

/// Attributes as (name, value), and data.
struct Sample {
    attributes: Vec<(&'static str, String)>,
    data: String,
}

fn sample(n: usize, long: bool) -> Sample {
    let kinds = ["job.queued", "job.scheduled", "job.started", "job.finished", "run.queued"];
    let kind = kinds[n % kinds.len()];
    let id = |what: usize| format!("{:08x}-7c1d-4a5b-9e2f-{what:04x}{n:08x}", n.wrapping_mul(0x9e37_79b9) as u32);
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("type", format!("io.gocdnext.{kind}")),
        ("source", "/ci/server-1".to_owned()),
        ("id", format!("01JA2Z-{n}")),
        ("time", format!("2026-01-31T09:{:02}:{:02}.125Z", n / 60 % 60, n % 60)),
    ];
    let mut data =
        vec![format!(r#""project_id":"{}","pipeline_id":"{}","pipeline":"web","run_id":"{}""#, id(1), id(2), id(3))];
    if kind.starts_with("job") {
        data.push(format!(r#""job_id":"{}","job":"unit-{}""#, id(4), n % 7));
    }
    if kind == "job.finished" {
        data.push(r#""status":"success","exit_code":0"#.to_owned());
    }
    if long {
        attributes.push(("datacontenttype", "application/json".to_owned()));
        attributes.push(("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()));
        data.push(format!(r#""stage":"test","agent_id":"{}""#, id(5)));
    }
    Sample { attributes, data: format!("{{{}}}", data.join(",")) }
}

fn structured(sample: &Sample) -> String {
    let attributes: Vec<String> =
        sample.attributes.iter().map(|(name, value)| format!(r#""{name}":"{value}""#)).collect();
    format!(r#"{{{},"data":{}}}"#, attributes.join(","), sample.data)
}

fn lines(long: bool) -> Batch {
    let lines: Vec<String> = (0..EVENTS).map(|n| structured(&sample(n, long))).collect();
    Batch { partition: 0, bytes: lines.join("\n").into_bytes(), ..Batch::default() }
}

fn headers(bytes: &mut Vec<u8>, sample: &Sample) {
    let content_type = ("content-type".to_owned(), "application/json".to_owned());
    let attributes = sample.attributes.iter().map(|(name, value)| (format!("ce_{name}"), value.clone()));
    for (name, value) in attributes.chain([content_type]) {
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
}

fn binary(long: bool) -> Batch {
    let mut bytes = Vec::new();
    let mut records = Vec::new();
    for n in 0..EVENTS {
        let start = bytes.len() as u32;
        let sample = sample(n, long);
        headers(&mut bytes, &sample);
        let value_start = bytes.len() as u32;
        bytes.extend_from_slice(sample.data.as_bytes());
        records.push(KafkaRecord {
            partition: 0,
            offset: n as i64,
            timestamp: Some(1_800_000_000_000),
            key_start: start,
            headers_start: start,
            value_start,
            value_end: bytes.len() as u32,
        });
    }
    Batch { partition: 0, bytes, records: Records::Kafka(records), read_at: None }
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (mode, batch) in [
        ("structured", lines(false)),
        ("structured", lines(true)),
        ("binary", binary(false)),
        ("binary", binary(true)),
    ] {
        let bytes = batch.bytes.len() / EVENTS;
        let mut decoder = Decoder::new(&Settings::default(), Names::new(1_000));
        let mut out = Decoded::default();
        group.bench_function(BenchmarkId::new(mode, format!("{bytes}_bytes")), |b| {
            b.iter(|| {
                out.runs.clear();
                decoder.decode(&batch, &mut out);
                assert_eq!(out.runs.len(), EVENTS, "every event decodes");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
