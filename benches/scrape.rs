//! A scrape of 100,000 series: rendered in both formats, packed, and as JSON.
//!
//! `cargo bench --bench scrape`

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, in their helpers too")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dataflows::{
    names::Names,
    registry::Registry,
    series::{Announcement, Deltas, Pair},
    settings::{Limits, Settings},
    time::{Epoch, StreamTime},
};
use flate2::{Compression, write::GzEncoder};
use gocdnext_flow::{
    exposition::{self, Format},
    published::Published,
};
use std::{hint::black_box, io::Write as _, sync::Arc};

/// Each pipeline is two series: its dispatches and its name.
const PIPELINES: u128 = 50_000;
const PIPELINES_PER_PROJECT: u128 = 50;

fn published(settings: &Settings) -> Arc<Published> {
    let names = Names::new(settings.limits.max_names);
    let mut deltas = Deltas::new(settings);
    for number in 0..PIPELINES {
        // ids as random as UUIDs are
        let id = |number: u128| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let pair = Pair { project: id(number / PIPELINES_PER_PROJECT + 1), pipeline: id(number + 1) };
        let slug = names.intern(&format!("service-{number}-deploy"));
        deltas.announce(pair, Announcement { time: 0, tie: 0, slug });
        deltas.jobs_scheduled.insert(pair, u64::try_from(number).unwrap_or(0));
    }
    let snapshot = Registry::new(settings).fold(Epoch(1), StreamTime(0), deltas);
    let published = Published::new(names);
    published.snapshot.store(Some(Arc::new(snapshot)));
    published
}

fn pack(text: &str) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

fn scrape(criterion: &mut Criterion) {
    let settings = Settings { limits: Limits { max_pipelines: 100_000, ..Limits::default() }, ..Settings::default() };
    let published = published(&settings);
    let mut group = criterion.benchmark_group("scrape_of_100000_series");
    group.sample_size(20);
    group.throughput(Throughput::Elements(u64::try_from(PIPELINES * 2).unwrap_or(0)));
    for format in [Format::Text, Format::OpenMetrics] {
        let render = || exposition::render(&published, &settings, format, 0);
        let text = render();
        assert!(text.lines().count() > 100_000, "the series are there");
        group.bench_function(BenchmarkId::new("render", format!("{format:?}")), |b| b.iter(&render));
        group.bench_function(BenchmarkId::new("pack", format!("{format:?}")), |b| b.iter(|| pack(black_box(&text))));
    }
    group.bench_function("json", |b| b.iter(|| exposition::snapshot_json(&published, &settings)));
    group.finish();
}

criterion_group!(benches, scrape);
criterion_main!(benches);
