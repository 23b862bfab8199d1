use super::*;
use flate2::{Compression, write::GzEncoder};

const GOOD: &str = r#"{"specversion":"1.0","type":"io.gocdnext.agent.heartbeat","source":"/ci","id":"1","time":"2026-01-31T09:30:00Z","data":{"agent_id":"00000000-0000-0000-0000-000000000009"}}"#;
const OTHER: &str = r#"{"specversion":"1.0","type":"com.example.other","source":"/ci","id":"1"}"#;

fn check(name: &str, bytes: &[u8], limits: &Limits) -> (anyhow::Result<Checked>, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let mut out = Vec::new();
    let checked = check_files(&[path], limits, &mut out);
    let text = String::from_utf8(out).unwrap();
    (checked, text.replace(&format!("{}/", dir.path().display()), ""))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn each_bad_line_is_told_with_its_place() {
    let text = format!("{GOOD}\n\n{}\r\n{OTHER}\n{OTHER}\nnonsense\n{GOOD}", GOOD.replace("agent_id", "agent"));
    let (checked, out) = check("events.ndjson", text.as_bytes(), &Limits::default());
    assert_eq!(checked.unwrap(), Checked { events: 6, errors: 2, other_types: 2 });
    assert_eq!(
        out,
        "events.ndjson:3: missing_field: `data.agent_id` is missing; wanted a UUID with hyphens\n\
         events.ndjson:6: not_json: the value is not JSON: expected ident at line 1 column 2\n\
         events.ndjson:4: note: type \"com.example.other\" is not of this contract: 2 passed over\n\
         6 events checked: 2 with errors, 2 of types that are passed over\n"
    );
}

#[test]
fn many_parts_and_blocks_keep_the_order_of_lines() {
    let lines = 40_000;
    let bad = |line: usize| line.is_multiple_of(997);
    let text: String = (1..=lines).map(|n| if bad(n) { "{}\n".to_owned() } else { format!("{GOOD}\n") }).collect();
    assert!(text.len() > 6 << 20, "more than one block");
    let expected: Vec<String> = (1..=lines).filter(|n| bad(*n)).map(|n| format!("events.x:{n}")).collect();
    for (name, bytes) in [
        ("events.x", text.clone().into_bytes()),
        ("events.x.gz", gzip(&text)),
        ("events.x.zst", zstd::encode_all(text.as_bytes(), 1).unwrap()),
    ] {
        let (checked, out) = check(name, &bytes, &Limits::default());
        assert_eq!(checked.unwrap().events, 40_000);
        let out = out.replace(name, "events.x");
        let found: Vec<&str> = out.lines().filter_map(|line| line.split_once(": ")).map(|(place, _)| place).collect();
        assert_eq!(found[..found.len() - 1], expected);
    }
}

#[test]
fn a_line_over_the_limit_is_one_error_however_long() {
    let limits = Limits { max_event_bytes: GOOD.len(), ..Limits::default() };
    let long = "x".repeat(9 << 20);
    let text = format!("{GOOD}\n{long}\n{GOOD}\n{GOOD}x\n{long}");
    let (checked, out) = check("events.ndjson", text.as_bytes(), &limits);
    assert_eq!(checked.unwrap(), Checked { events: 5, errors: 3, other_types: 0 });
    let places: Vec<&str> = out.lines().take(3).map(|line| line.split(": longer").next().unwrap()).collect();
    assert_eq!(places, ["events.ndjson:2: too_large", "events.ndjson:4: too_large", "events.ndjson:5: too_large"]);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let limits = Limits::default();
    let error = |path: PathBuf| check_files(&[path], &limits, &mut Vec::new()).unwrap_err().to_string();
    let dir = tempfile::tempdir().unwrap();
    assert!(error(dir.path().join("absent")).contains("does not exist"));
    assert!(error(dir.path().to_owned()).contains("directory"));
    let whole = gzip(&format!("{GOOD}\n").repeat(1_000));
    let (checked, _) = check("cut.gz", &whole[..whole.len() / 2], &limits);
    assert!(checked.unwrap_err().to_string().contains("is cut off"));
}
