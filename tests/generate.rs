//! `generate` as a shell sees it: the same flags give the same bytes, noise stays within what was asked for, and what
//! was generated can be checked and replayed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

#[path = "support/command.rs"]
mod command;

use command::program as flow;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    mocking::MockCluster,
};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

fn succeeded(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Standard output of `generate` with these flags.
fn generated(flags: &[&str]) -> Vec<u8> {
    let output = succeeded(flow(&["generate"]).args(flags));
    assert!(output.stderr.is_empty(), "no progress where there is no terminal");
    output.stdout
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    assert_eq!(bytes.last(), Some(&b'\n'));
    bytes[..bytes.len() - 1].split(|byte| *byte == b'\n').collect()
}

/// `time` of each event, by its bytes.
fn time(line: &[u8]) -> String {
    let event: serde_json::Value = serde_json::from_slice(line).unwrap();
    event["time"].as_str().unwrap().to_owned()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let noisy = ["--jobs", "400", "--disorder", "200", "--duplicates", "5%", "--garbage", "2%"];
    for flags in [&["--jobs", "400"][..], &noisy] {
        let first = generated(&[flags, &["--seed", "7"]].concat());
        assert_eq!(first, generated(&[flags, &["--seed", "7"]].concat()));
        assert_ne!(first, generated(&[flags, &["--seed", "8"]].concat()));
    }
}

#[test]
fn the_bytes_of_a_seed_are_those_of_this_version() {
    // a changed fleet makes recorded logs irreproducible: that is for the changelog
    let bytes = generated(&["--jobs", "100", "--seed", "1"]);
    let sum = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    insta::assert_snapshot!(format!("{} lines, {} bytes, FNV-1a {sum:016x}", lines(&bytes).len(), bytes.len()));
}

#[test]
fn every_event_is_valid() {
    let folder = Folder::new();
    let file = folder.file("fleet.ndjson");
    succeeded(&mut flow(&["generate", "--jobs", "3000", "--out", arg(&file)]));
    let said = String::from_utf8(succeeded(&mut flow(&["check", arg(&file)])).stdout).unwrap();
    assert!(said.contains(" 0 with errors, 0 of types that are passed over"), "{said}");
}

#[test]
fn compressed_files_hold_the_same_events() {
    let folder = Folder::new();
    let plain = generated(&["--jobs", "200"]);
    for name in ["fleet.ndjson", "fleet.ndjson.gz", "fleet.ndjson.zst"] {
        let file = folder.file(name);
        succeeded(&mut flow(&["generate", "--jobs", "200", "--out", arg(&file)]));
        let bytes = fs::read(&file).unwrap();
        let mut text = Vec::new();
        match file.extension().unwrap().to_str().unwrap() {
            "gz" => drop(flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut text).unwrap()),
            "zst" => text = zstd::decode_all(&bytes[..]).unwrap(),
            _ => text.clone_from(&bytes),
        }
        assert!(text == plain, "{name} holds other events");
    }
}

#[test]
fn disorder_stays_within_its_window_and_keeps_every_event() {
    let ordered = generated(&["--jobs", "500"]);
    let shuffled = generated(&["--jobs", "500", "--disorder", "100"]);
    let place: BTreeMap<&[u8], usize> = lines(&ordered).into_iter().zip(0..).collect();
    let mut newest = 0;
    let mut furthest = 0;
    for line in lines(&shuffled) {
        newest = newest.max(place[line]);
        furthest = furthest.max(newest - place[line]);
    }
    assert!((50..=100).contains(&furthest), "{furthest}");
    assert_eq!(lines(&shuffled).len(), place.len());
}

#[test]
fn duplicates_and_garbage_are_as_many_as_asked_for() {
    let clean = generated(&["--jobs", "2000"]);
    let noisy = generated(&["--jobs", "2000", "--duplicates", "10%", "--garbage", "5%"]);
    let mut times: BTreeMap<&[u8], usize> = lines(&clean).into_iter().map(|line| (line, 0)).collect();
    let mut garbage = 0;
    for line in lines(&noisy) {
        match times.get_mut(line) {
            Some(times) => *times += 1,
            None => garbage += 1,
        }
    }
    assert!(times.values().all(|times| (1..=2).contains(times)), "each event comes once or twice");
    let per_mille = |part: usize| part * 1_000 / times.len();
    let twice = per_mille(times.values().filter(|times| **times == 2).count());
    assert!((90..110).contains(&twice), "{twice}");
    assert!((40..60).contains(&per_mille(garbage)), "{}", per_mille(garbage));
}

/// The exposition without the series that count records, and the whole.
fn replayed(folder: &Folder, name: &str, flags: &[&str]) -> (String, String) {
    let (file, metrics) = (folder.file(name), folder.file(&format!("{name}.prom")));
    let letters = folder.file(&format!("{name}.dead"));
    succeeded(flow(&["generate", "--jobs", "3000", "--out", arg(&file)]).args(flags));
    succeeded(&mut flow(&["replay", arg(&file), "--metrics-out", arg(&metrics), "--dead-letters", arg(&letters)]));
    let all = fs::read_to_string(metrics).unwrap();
    let own =
        |line: &&str| !line.contains("gocdnext_flow_") && !line.contains("process_") && !line.contains("tokio_");
    (all.lines().filter(own).collect::<Vec<_>>().join("\n"), all)
}

/// The sum of a counter of whole numbers over its labels.
fn value(exposition: &str, counter: &str) -> usize {
    let series = exposition.lines().filter(|line| line.starts_with(counter));
    let values: Vec<usize> = series.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(!values.is_empty(), "no {counter}");
    values.into_iter().sum()
}

#[test]
fn noise_moves_no_series_but_those_that_count_it() {
    let folder = Folder::new();
    let (clean, _) = replayed(&folder, "clean.ndjson", &[]);
    let noise = ["--disorder", "30s", "--duplicates", "10%", "--garbage", "2%"];
    let (with_noise, all) = replayed(&folder, "noisy.ndjson.zst", &noise);
    assert!(clean.contains("gocdnext_jobs_scheduled_total{"), "{clean}");
    similar(&clean, &with_noise);
    assert!(value(&all, "gocdnext_flow_duplicates_total ") > 100);
    let rejected = value(&all, "gocdnext_flow_rejected_total{");
    let letters = fs::read_to_string(folder.file("noisy.ndjson.zst.dead")).unwrap();
    assert_eq!(rejected, letters.lines().count(), "each rejected record is a dead letter (I5)");
    assert!(rejected > 300);
}

/// Names the first line that differs, rather than two expositions.
fn similar(one: &str, other: &str) {
    for (one, other) in one.lines().zip(other.lines()) {
        assert_eq!(one, other);
    }
    assert_eq!(one.lines().count(), other.lines().count());
}

/// Key and value of every record of a topic.
fn consumed(brokers: &str, topic: &str, partitions: i32) -> Vec<(Vec<u8>, Vec<u8>)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let (mut records, mut open) = (Vec::new(), partitions);
    while open > 0 {
        match consumer.poll(Duration::from_mins(1)).expect("the broker answers") {
            Ok(record) => records.push((record.key().unwrap().to_vec(), record.payload().unwrap().to_vec())),
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
        }
    }
    records
}

#[test]
fn into_kafka_go_the_same_events_under_their_keys() {
    let broker = MockCluster::new(1).unwrap();
    broker.create_topic("fleet", 3, 1).unwrap();
    let brokers = broker.bootstrap_servers();
    succeeded(&mut flow(&["generate", "--jobs", "300", "--brokers", &brokers, "--topic", "fleet"]));
    let records = consumed(&brokers, "fleet", 3);
    for (key, value) in &records {
        let event: serde_json::Value = serde_json::from_slice(value).unwrap();
        let owner = event["data"].get("run_id").or(event["data"].get("agent_id"));
        assert!(owner.is_none_or(|owner| owner.as_str().unwrap().as_bytes() == key), "{event}");
    }
    let mut sent: Vec<_> = records.into_iter().map(|(_, value)| value).collect();
    let file = generated(&["--jobs", "300"]);
    let mut expected = lines(&file);
    sent.sort_unstable();
    expected.sort_unstable();
    assert!(sent.iter().eq(expected.iter()), "{} records, {} lines", sent.len(), expected.len());
}

#[test]
fn no_database_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.db");
    std::fs::write(&file, "the state").unwrap();
    let state = format!("sqlite:{}", file.display());
    let mut command = flow(&["generate", "--jobs", "1", "--out", arg(&file)]);
    let output = command.env("GOCDNEXT_FLOW_STATE", &state).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains(&format!("is a file of the database {state}")), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"the state");
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let mut command = flow(&["generate", "--jobs", "1", "--brokers", "127.0.0.1:1"]);
    let output = command.env("GOCDNEXT_FLOW_KAFKA_MESSAGE_TIMEOUT_MS", "1000").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot send events to the topic gocdnext.events on 127.0.0.1:1"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn whoever_reads_may_stop_at_any_time() {
    let mut child =
        flow(&["generate", "--jobs", "1000000"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("{\"specversion\""));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_start_time_is_where_the_events_start() {
    let bytes = generated(&["--jobs", "10", "--start", "2031-07-01T12:00:00Z"]);
    assert!(time(lines(&bytes)[0]).starts_with("2031-07-01T12:00:0"));
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    let nowhere = folder.file("absent/fleet.ndjson");
    for place in [nowhere.as_path(), folder.0.path()] {
        let output = flow(&["generate", "--jobs", "1", "--out", arg(place)]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with(&format!("error: cannot create {}", place.display())), "{error}");
    }
}
