//! The decoder as a whole: records in, events, counts and dead letters out.

use super::*;
use crate::{
    event::{ArchiveResult, Delivery, Kind, Status},
    feed::KafkaRecord,
    series::Limit,
    settings::Limits,
};

const RUN: &str = r#""project_id":"00000000-0000-0000-0000-000000000001",
    "pipeline_id":"00000000-0000-0000-0000-000000000002","pipeline":"build","run_id":"00000000-0000-0000-0000-000000000003""#;
const JOB: &str = r#""job_id":"00000000-0000-0000-0000-000000000004","job":"unit","attempt":2"#;
const TIME: &str = "1970-01-01T00:00:10Z";

fn event(kind: &str, data: &str) -> String {
    let text = format!(
        r#"{{"specversion":"1.0","type":"io.gocdnext.{kind}","source":"/ci","id":"e1","time":"{TIME}",
        "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","later":[{{"a":1}}],"data":{{{data}}}}}"#
    );
    text.replace('\n', " ")
}

fn decode(batch: &Batch) -> Decoded {
    let mut out = Decoded::default();
    Decoder::new(&Settings::default(), Names::new(100)).decode(batch, &mut out);
    out
}

fn decode_text(text: &str) -> Decoded {
    decode(&Batch { partition: 7, bytes: text.as_bytes().to_vec(), ..Batch::default() })
}

/// A batch of one Kafka record.
fn kafka(key: &[u8], headers: &[(&str, &[u8])], value: &[u8], timestamp: Option<Millis>) -> Batch {
    let mut bytes = key.to_vec();
    for (name, content) in headers {
        bytes.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(content);
    }
    let at = |len: usize| u32::try_from(len).unwrap();
    let value_start = at(bytes.len());
    bytes.extend_from_slice(value);
    let record = KafkaRecord {
        partition: 3,
        offset: 42,
        timestamp,
        key_start: 0,
        headers_start: at(key.len()),
        value_start,
        value_end: at(bytes.len()),
    };
    Batch { partition: 0, bytes, records: Records::Kafka(vec![record]), read_at: None }
}

#[test]
fn an_event_that_is_refused_takes_none_of_the_names() {
    let job = |name: &str, more: &str| {
        let job = JOB.replace("unit", name);
        event("job.finished", &format!("{},{job},{more}", RUN.replace("build", name)))
    };
    let refused = [r#""status":7"#, r#""status":"success","exit_code":"none""#, r#""status":"failed","error":[]"#];
    let lines: String = (0..).zip(refused).map(|(i, more)| job(&format!("refused-{i}"), more) + "\n").collect();
    let batch = Batch { bytes: (lines + &job("read", r#""status":"success""#)).into_bytes(), ..Batch::default() };
    let (mut out, names) = (Decoded::default(), Names::new(2));
    Decoder::new(&Settings::default(), names.clone()).decode(&batch, &mut out);
    assert_eq!((out.dead_letters.len(), out.runs.len(), names.len()), (3, 1, 2));
    assert_eq!(&*names.name(out.runs[0].name), "read");
}

#[test]
fn names_beyond_their_bounds_are_counted() {
    let lines = event("job.queued", &format!("{RUN},{JOB}")) + "\n" + &event("job.ready", &format!("{RUN},{JOB}"));
    let batch = Batch { bytes: lines.into_bytes(), ..Batch::default() };
    for (max_names, max_name_bytes, refused, cut) in [(100, 256, 0, 0), (1, 256, 2, 0), (100, 1, 0, 4)] {
        let limits = Limits { max_name_bytes, ..Limits::default() };
        let mut out = Decoded::default();
        let settings = Settings { limits, ..Settings::default() };
        Decoder::new(&settings, Names::new(max_names)).decode(&batch, &mut out);
        let over = [Limit::Names, Limit::NameBytes].map(|limit| out.quality.over_limit[limit as usize]);
        assert_eq!((out.runs.len(), over), (2, [refused, cut]), "{max_names} of {max_name_bytes}");
    }
}

/// A broker takes any number for a time: one of those would take an event to before all others, and spans out of their range.
#[test]
fn a_record_from_before_1970_says_nothing_of_the_events_time() {
    let beat = event("agent.heartbeat", r#""agent_id":"00000000-0000-0000-0000-00000000000a""#);
    let times = [None, Some(-2), Some(i64::MIN), Some(i64::MAX)].map(|timestamp| {
        let out = decode(&kafka(&[], &[], beat.as_bytes(), timestamp));
        assert_eq!(out.quality.skewed, 0, "{timestamp:?}");
        out.agents[0].time
    });
    assert!(times.iter().all(|time| *time == times[0]), "{times:?}");
}

/// One whose clock is fast must not drive timers: by its word, time would have passed for all.
#[test]
fn a_record_from_later_than_it_was_read_tells_nothing_of_stream_time() {
    let beat = event("agent.heartbeat", r#""agent_id":"00000000-0000-0000-0000-00000000000a""#);
    let at = 10_000;
    for (timestamp, read_at, seen) in [
        (Some(at), None, Some(at)),
        (Some(at), Some(at), Some(at)),
        (Some(at), Some(at - 1), None),
        (Some(at - 5), Some(at - 1), Some(at - 5)),
        (None, Some(at - 1), None),
    ] {
        let out = decode(&Batch { read_at, ..kafka(&[], &[], beat.as_bytes(), timestamp) });
        assert_eq!(out.agents.len(), 1, "it is applied all the same");
        assert_eq!(out.maxima.0.get(&3).copied(), seen, "{timestamp:?} read at {read_at:?}");
    }
}

#[test]
fn an_archive_is_a_delivery_and_with_retention_tells_of_its_job() {
    let on = crate::settings::Retention { on: true, ..Default::default() };
    let settings = Settings { retention: on, ..Settings::default() };
    for (result, status) in [("success", Status::Success), ("skipped", Status::Skipped), ("lost", Status::Unknown)] {
        let line = event(
            "log.archived",
            &format!(r#"{RUN},"job_id":"00000000-0000-0000-0000-000000000004","attempt":2,"result":"{result}""#),
        );
        let batch = Batch { partition: 7, bytes: line.as_bytes().to_vec(), ..Batch::default() };
        let mut out = Decoded::default();
        Decoder::new(&settings, Names::new(100)).decode(&batch, &mut out);
        let [told] = out.runs[..] else { panic!("{out:?}") };
        assert_eq!((told.kind, told.status, told.time), (Kind::LogArchived, status, 10_000));
        assert_eq!((told.project, told.run, told.job, told.attempt), (1, 3, 4, 2));
        assert_eq!((out.deliveries.len(), out.quality.events[Kind::LogArchived as usize]), (1, 1));
        let off = decode(&batch);
        assert_eq!((off.runs.len(), off.deliveries), (0, out.deliveries));
    }
}

#[test]
fn a_finished_job_has_every_field() {
    let data = format!(
        r#"{RUN},{JOB},"status":"cancelled","agent_id":"00000000-0000-0000-0000-00000000000A","exit_code":3221225477"#
    );
    let out = decode_text(&event("job.finished", &data));
    assert_eq!(out.dead_letters, []);
    let [job] = out.runs[..] else { panic!("one event, not {:?}", out.runs) };
    assert_eq!((job.kind, job.time, job.run, job.project, job.pipeline), (Kind::JobFinished, 10_000, 3, 1, 2));
    assert_eq!((job.job, job.attempt, job.agent, job.status), (4, 2, 10, Status::Canceled));
    assert_eq!((job.exit_code, job.dispatchable), (Some(-1_073_741_819), true));
    assert_eq!(job.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    assert_eq!(out.quality.events[Kind::JobFinished as usize], 1);
    assert_eq!(out.maxima.0, [(7, 10_000)].into());
}

#[test]
fn defaults_stand_where_a_field_is_absent_or_null() {
    let data = format!(
        r#"{RUN},"job_id":"00000000-0000-0000-0000-000000000004","job":"unit","attempt":null,"dispatchable":null"#
    );
    let [job] = decode_text(&event("job.queued", &data)).runs[..] else { panic!("one event") };
    assert_eq!((job.attempt, job.dispatchable, job.agent, job.status), (1, true, 0, Status::Unknown));
}

#[test]
fn deliveries_are_told_apart_by_source_and_id_and_partitions_by_name() {
    let hook = event("webhook.received", r#""provider":"gitlab","outcome":"exploded""#);
    let archived = event("log.archived", &format!(r#"{RUN},{JOB},"result":"failed""#));
    let dropped =
        event("log.partition_dropped", r#""partition":"log_lines_y2026m01","upper_bound":"2026-02-01T00:00:00Z""#);
    let again = dropped.replace("\"e1\"", "\"e2\"");
    let out = decode_text(&[hook.clone(), hook.replace("e1", "e2"), archived, dropped, again].join("\n"));
    let keys: Vec<u128> = out.deliveries.iter().map(|e| e.key).collect();
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[0], keys[2], "one delivery, whatever it says");
    assert_eq!(keys[3], keys[4], "one partition, however often it is told");
    assert_eq!(out.deliveries[0].what, Delivery::Webhook { provider: 1, outcome: 4 });
    assert_eq!(out.deliveries[2].what, Delivery::Archived(ArchiveResult::Failed));
}

#[test]
fn lines_are_numbered_and_blank_ones_skipped() {
    let good = event("agent.heartbeat", r#""agent_id":"00000000-0000-0000-0000-000000000009""#);
    let out = decode_text(&format!("\n  \r\n{good}\r\n\nnonsense\n{good}"));
    assert_eq!((out.agents.len(), out.records), (2, 3));
    let [letter] = &out.dead_letters[..] else { panic!("one dead letter") };
    assert_eq!((letter.partition, letter.offset, letter.reason), (7, 5, Reason::NotJson));
    assert_eq!(letter.value, b"nonsense");
}

#[test]
fn a_refused_line_tells_nothing_of_time() {
    let late = event("job.finished", "").replace("1970", "2099");
    let good = event("agent.heartbeat", r#""agent_id":"00000000-0000-0000-0000-000000000009""#);
    let out = decode_text(&format!("{late}\n{good}"));
    assert_eq!((out.dead_letters.len(), out.maxima.0.get(&7)), (1, Some(&10_000)));
}

#[test]
fn unknown_types_are_passed_over_but_tell_the_time() {
    let out = decode_text(&event("job.teleported", r#""run_id":5"#));
    assert_eq!((out.quality.ignored, out.dead_letters.len(), out.maxima.0.get(&7)), (1, 0, Some(&10_000)));
    let out = decode_text(r#"{"specversion":"1.0","type":"com.other","source":"s","id":"i","data":[]}"#);
    assert_eq!((out.quality.ignored, out.dead_letters.len(), out.maxima.0.len()), (1, 0, 0));
}

#[test]
fn each_fault_names_the_field_what_was_found_and_what_is_wanted() {
    let cases = [
        (event("run.queued", ""), Reason::MissingField, "`data.run_id` is missing; wanted a UUID with hyphens"),
        (
            event("run.queued", &RUN.replace("\"build\"", "\"\"")),
            Reason::InvalidField,
            "`data.pipeline` is \"\"; wanted a string that is not empty",
        ),
        (
            event("job.ready", &format!("{RUN},{}", JOB.replace('2', "0"))),
            Reason::InvalidField,
            "`data.attempt` is 0; wanted an integer from 1 to 4294967295",
        ),
        (
            event("run.started", &format!("{RUN},\"run_id\":\"\"")),
            Reason::InvalidField,
            "`data.run_id` is given more than once; wanted a UUID with hyphens, once",
        ),
        (
            event("run.queued", RUN).replace(TIME, "yesterday"),
            Reason::NotCloudEvent,
            "`time` is \"yesterday\"; wanted an RFC 3339 date-time with offset, as 2026-01-31T09:30:00Z",
        ),
        (
            event("run.queued", RUN).replace("\"1.0\"", "0.3"),
            Reason::NotCloudEvent,
            "`specversion` is 0.3; wanted \"1.0\"",
        ),
        (
            event("run.queued", RUN).replace("\"id\"", "\"ID\""),
            Reason::NotCloudEvent,
            "`id` is missing; wanted a string that is not empty",
        ),
        (
            event("run.queued", RUN).replace("\"data\"", "\"d\""),
            Reason::MissingField,
            "`data` is missing; wanted an object",
        ),
        ("[]".into(), Reason::NotCloudEvent, "`value` is an array; wanted a CloudEvent, a JSON object"),
        ("{}".into(), Reason::NotCloudEvent, "`specversion` is missing; wanted \"1.0\""),
    ];
    for (text, reason, detail) in cases {
        let out = decode_text(&text);
        let [letter] = &out.dead_letters[..] else { panic!("one dead letter of {text}") };
        assert_eq!((letter.reason, letter.detail.as_str()), (reason, detail));
        assert_eq!(out.quality.rejected[reason as usize], 1);
    }
}

#[test]
fn a_time_ahead_of_its_record_is_clamped_and_never_leads() {
    let value = event("run.queued", RUN);
    let early = decode(&kafka(b"", &[], value.as_bytes(), Some(9_000)));
    assert_eq!((early.runs[0].time, early.quality.skewed), (10_000, 0));
    assert_eq!(early.maxima.0, [(3, 9_000)].into());
    let ahead = value.replace("00:00:10", "00:10:00");
    let skewed = decode(&kafka(b"", &[], ahead.as_bytes(), Some(299_999)));
    assert_eq!((skewed.runs[0].time, skewed.quality.skewed), (599_999, 1));
    let later = decode(&kafka(b"", &[], value.as_bytes(), Some(20_000)));
    assert_eq!(later.maxima.0, [(3, 10_000)].into());
}

#[test]
fn binary_mode_is_the_same_event() {
    let structured = decode(&kafka(b"", &[], event("run.queued", RUN).as_bytes(), None));
    let headers: [(&str, &[u8]); 7] = [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"io.gocdnext.run.queued"),
        ("ce_source", b"/ci"),
        ("ce_id", b"e1"),
        ("ce_time", TIME.as_bytes()),
        ("ce_traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("content-type", b"application/json"),
    ];
    let data = format!("{{{RUN}}}");
    let binary = decode(&kafka(b"", &headers, data.as_bytes(), None));
    assert_eq!(binary.dead_letters, []);
    assert_eq!((&binary.runs, binary.runs.len()), (&structured.runs, 1));
    let bad = decode(&kafka(b"", &[("ce_id", b"\xff")], data.as_bytes(), None));
    assert_eq!(bad.dead_letters[0].reason, Reason::NotCloudEvent);
}

#[test]
fn a_dead_letter_keeps_everything() {
    let out = decode(&kafka(b"k", &[("h", b"\xfe")], b"", Some(5)));
    let [letter] = &out.dead_letters[..] else { panic!("one dead letter") };
    assert_eq!((letter.partition, letter.offset, letter.timestamp), (3, 42, Some(5)));
    assert_eq!((letter.key.as_slice(), letter.value.as_slice()), (&b"k"[..], &b""[..]));
    assert_eq!(letter.headers, [("h".to_owned(), b"\xfe".to_vec())]);
    assert!(letter.detail.contains("empty"), "{}", letter.detail);
}

#[test]
fn limits_are_exact() {
    let mut settings = Settings::default();
    let text = event("agent.connected", r#""agent_id":"00000000-0000-0000-0000-000000000009","x":[[["[{\"[{"]]]"#);
    // the envelope, data and three arrays; what is in strings does not count
    for (depth, bytes, reason) in
        [(5, text.len(), None), (4, text.len(), Some(Reason::TooDeep)), (5, text.len() - 1, Some(Reason::TooLarge))]
    {
        settings.limits.max_event_depth = depth;
        settings.limits.max_event_bytes = bytes;
        let verdict = Decoder::new(&settings, Names::new(1)).check_line(text.as_bytes()).map(drop);
        assert_eq!(verdict.err().map(|fault| fault.reason), reason);
    }
}
