//! The decoder against any bytes: it never panics, loses no record and no byte, and knows JSON from what is not.
//!
//! The corpus in `corpus/` is decoded as it is, then mutated. `PROPTEST_CASES=1000000 cargo test --release -p dataflows
//! --test decode_fuzz` runs longer; last run so: a million cases of each property (47 s of
//! cpu), nothing found.

#![expect(clippy::disallowed_methods, reason = "the corpus is files")]
#![expect(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

use dataflows::{
    decode::{Decoded, Decoder},
    event::Kind,
    feed::{Batch, KafkaRecord, Reason, Records},
    names::Names,
    settings::Settings,
};
use proptest::{prelude::*, sample::Index, test_runner::Config};
use serde::de::IgnoredAny;
use std::{fs, path::Path, sync::LazyLock};

static CORPUS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
});

fn decode(bytes: Vec<u8>, records: Records) -> Decoded {
    let mut out = Decoded::default();
    let batch = Batch { partition: 1, bytes, records, read_at: None };
    Decoder::new(&Settings::default(), Names::new(100)).decode(&batch, &mut out);
    out
}

/// Every record is one event, one ignored or one dead letter (I5).
fn account(out: &Decoded) {
    let events = out.runs.len() + out.agents.len() + out.deliveries.len();
    let rejected: u64 = out.quality.rejected.iter().sum();
    let counted: u64 = out.quality.events.iter().sum();
    assert_eq!((events as u64, out.dead_letters.len() as u64), (counted, rejected));
    assert_eq!(out.records, counted + rejected + out.quality.ignored);
    assert!(out.dead_letters.iter().all(|letter| !letter.detail.is_empty() && letter.detail.len() < 1_000));
    assert_eq!(out.quality.events.len(), Kind::ALL.len());
}

/// A record of the whole bytes, cut at three places into key, headers and value.
fn as_record(bytes: &[u8], cuts: [usize; 3]) -> Decoded {
    let at = |cut: usize| u32::try_from(cut).unwrap_or(u32::MAX);
    let record = KafkaRecord {
        partition: 2,
        offset: i64::MAX,
        timestamp: [None, Some(i64::MIN), Some(-2), Some(0), Some(i64::MAX)][bytes.len() % 5],
        key_start: at(cuts[0]),
        headers_start: at(cuts[1]),
        value_start: at(cuts[2]),
        value_end: at(bytes.len()),
    };
    decode(bytes.to_vec(), Records::Kafka(vec![record]))
}

/// Decodes the bytes in every way they can come, and holds the outcome against what JSON is.
fn try_all_ways(bytes: &[u8]) {
    let lines = decode(bytes.to_vec(), Records::Lines { first_line: i64::MAX - 1 });
    account(&lines);
    let whole = as_record(bytes, [0, 0, 0]);
    account(&whole);
    let text = std::str::from_utf8(bytes).ok();
    let grammatical = text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let parses = text.is_some_and(|text| serde_json::from_str::<serde_json::Value>(text).is_ok());
    match whole.dead_letters.first() {
        None => assert!(grammatical, "took what is not JSON"),
        Some(letter) => {
            assert_eq!(letter.value, bytes, "the bytes themselves");
            assert!(!(parses && letter.reason == Reason::NotJson), "{}", letter.detail);
        }
    }
    // as data behind headers, and as headers
    let ce =
        b"\x0e\0ce_specversion\x03\0\0\x001.0\x07\0ce_type\x18\0\0\0io.gocdnext.job.finished\x05\0ce_id\x01\0\0\x001";
    let binary = [ce.as_slice(), bytes].concat();
    account(&as_record(&binary, [0, 0, ce.len()]));
    account(&as_record(&binary, [0, 0, binary.len()]));
}

#[test]
fn the_corpus_as_it_is() {
    assert!(CORPUS.len() >= 60, "the corpus is there");
    for (name, bytes) in CORPUS.iter() {
        println!("{name}");
        try_all_ways(bytes);
    }
}

#[test]
fn every_cut_of_an_event_is_refused() {
    let (_, bytes) = CORPUS.iter().find(|(name, _)| name == "job.finished").unwrap();
    assert_eq!(as_record(bytes, [0; 3]).runs.len(), 1);
    for cut in 1..bytes.len() {
        let out = as_record(&bytes[..cut], [0; 3]);
        assert_eq!(out.dead_letters[0].reason, Reason::NotJson, "cut at {cut}");
    }
}

/// The reason with which a file of the corpus is refused; `None`: it is taken.
fn reason(name: &str) -> Option<Reason> {
    let (_, bytes) = CORPUS.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("{name}"));
    as_record(bytes, [0; 3]).dead_letters.first().map(|letter| letter.reason)
}

#[test]
fn what_is_known_to_be_hard_is_decided_as_documented() {
    use Reason::{InvalidField, NotCloudEvent, NotJson, TooDeep};
    for (name, expected) in [
        ("deep-array-10000", Some(TooDeep)),
        ("deep-object-10000", Some(TooDeep)),
        ("deep-open-10000", Some(TooDeep)),
        ("deep-close-10000", Some(NotJson)),
        ("deep-in-data-60", None),
        ("deep-in-data-63", Some(TooDeep)),
        ("brackets-in-strings", None),
        ("bad-utf8-in-a-field", Some(NotJson)),
        ("bad-utf8-in-an-ignored-field", Some(NotJson)),
        ("duplicate-id", Some(NotCloudEvent)),
        ("duplicate-data", Some(InvalidField)),
        ("duplicate-field", Some(InvalidField)),
        ("duplicate-ignored", None),
        ("escaped-names", None),
        ("escaped-values", None),
        ("lone-surrogate", Some(NotJson)),
        ("lone-surrogate-ignored", None),
        ("number-1e999", Some(NotJson)),
        ("number-1e999-ignored", None),
        ("number-40-digits", Some(InvalidField)),
        ("number-minus-zero", None),
        ("number-10000-digits", None),
        ("time-year-9999", None),
        ("empty", Some(NotCloudEvent)),
        ("two-values", Some(NotJson)),
        ("many-names", None),
    ] {
        assert_eq!(reason(name), expected, "{name}");
    }
}

#[test]
fn ten_megabytes_are_too_large_and_kept_whole() {
    let mut value = br#"{"specversion":"1.0","x":""#.to_vec();
    value.resize(10 << 20, b'a');
    let out = as_record(&value, [0; 3]);
    assert_eq!(out.dead_letters[0].reason, Reason::TooLarge);
    assert_eq!(out.dead_letters[0].value.len(), 10 << 20);
}

#[test]
fn positions_outside_the_arena_give_an_empty_record() {
    for cuts in [[9, 3, 7], [usize::MAX; 3], [0, usize::MAX, 0], [5, 5, 4]] {
        account(&as_record(b"{}{}", cuts));
    }
}

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    Repeat(Index, Index, usize),
    Splice(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..8),
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            "\"",
            "\\",
            ",",
            ":",
            "null",
            "\\u0000",
            "\\ud800",
            "1e999",
            "-",
            "\n",
            "\"data\":",
            "\"id\":\"\",",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop_oneof![
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        3 => (any::<Index>(), piece).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Remove(from, to)),
        1 => (any::<Index>(), any::<Index>(), 1_usize..200).prop_map(|(from, to, n)| Mutation::Repeat(from, to, n)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(at, other)| Mutation::Splice(at, other)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let range = |from: &Index, to: &Index, len: usize| {
        let (a, b) = (from.index(len + 1), to.index(len + 1));
        a.min(b)..a.max(b)
    };
    match mutation {
        Mutation::Set(at, byte) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Mutation::Set(..) => {}
        Mutation::Insert(at, piece) => {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, piece.iter().copied());
        }
        Mutation::Remove(from, to) => drop(bytes.drain(range(from, to, bytes.len()))),
        Mutation::Repeat(from, to, times) => {
            let range = range(from, to, bytes.len());
            let piece = bytes[range.clone()].repeat((*times).min(100_000 / range.len().max(1)));
            bytes.splice(range.end..range.end, piece);
        }
        Mutation::Splice(at, other) => {
            let (_, other) = other.get(&CORPUS);
            let cut = at.index(bytes.len() + 1);
            bytes.truncate(cut);
            bytes.extend_from_slice(&other[cut.min(other.len())..]);
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: Config::default().cases.max(4_000), ..Config::default() })]

    #[test]
    fn the_corpus_mutated(file in any::<Index>(), mutations in prop::collection::vec(mutation(), 1..6)) {
        let mut bytes = file.get(&CORPUS).1.clone();
        for mutation in &mutations {
            mutate(&mut bytes, mutation);
        }
        try_all_ways(&bytes);
    }

    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(any::<u8>(), 0..300), cuts in any::<[u8; 3]>()) {
        try_all_ways(&bytes);
        account(&as_record(&bytes, cuts.map(usize::from)));
    }
}
