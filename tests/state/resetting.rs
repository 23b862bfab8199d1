//! `reset`: counting anew from a point in a real Kafka.

use crate::{
    kafka::{broker, broker::Broker, eventually, producer, send_runs},
    life::{Life, refused, run},
    support::{Scratch, flow, shown, state, told},
};
use std::{process::Command, sync::Arc, time::Duration};

/// A topic with ten runs in it, counted.
struct Counted {
    broker: Arc<Broker>,
    address: String,
    topic: &'static str,
    scratch: Scratch,
}

impl Counted {
    /// `None`: SKIPPED.
    fn new(topic: &'static str) -> Option<Self> {
        let broker = broker::shared()?;
        let address = broker.address();
        broker.topic(topic, 2, &[]);
        let counted = Self { broker, address, topic, scratch: Scratch::empty() };
        counted.send(0..10);
        let life = counted.start();
        life.wait_for_runs(10);
        life.end();
        Some(counted)
    }

    fn send(&self, runs: std::ops::Range<u64>) {
        let (producer, half) = (producer(&self.address, &[]), runs.start.midpoint(runs.end));
        send_runs(&producer, self.topic, 0, runs.start..half);
        send_runs(&producer, self.topic, 1, half..runs.end);
    }

    fn start(&self) -> Life {
        Life::start(run(&self.address, self.topic, &self.scratch.url()))
    }

    /// `reset --to POINT` with these arguments.
    fn reset(&self, to: &str, more: &[&str]) -> crate::support::Told {
        let arguments = ["reset", "--to", to, "--brokers", &self.address, "--topic", self.topic];
        state(&[&arguments[..], more].concat(), &self.scratch.url())
    }

    /// What a life counts and shows in the end.
    fn counts(&self, runs: u64) {
        let life = self.start();
        life.wait_for_runs(runs);
        life.end();
        assert!(state(&["verify"], &self.scratch.url()).success().ends_with("all is well\n"));
    }
}

#[test]
fn counting_begins_at_the_point_that_was_named() {
    let Some(counted) = Counted::new("reset") else { return };
    let before = shown(&counted.scratch.url());
    let said = counted.reset("latest", &["--yes"]).success();
    assert!(said.contains("the next start begins in topic reset, with what comes from now on"), "{said}");
    let after = shown(&counted.scratch.url());
    assert!(after["epoch"].as_u64() > before["epoch"].as_u64(), "{after}");
    assert_eq!((&after["shown"], &after["size"]["blobs"]), (&false.into(), &0.into()), "{after}");
    assert_eq!((&after["offsets"]["0"], &after["offsets"]["1"]), (&5.into(), &5.into()), "{after}");
    assert_eq!(after["topic_id"], before["topic_id"]);
    counted.counts(0);
    counted.send(10..13);
    counted.counts(3);
    counted.reset("earliest", &["--yes"]).success();
    counted.counts(13);
    std::thread::sleep(Duration::from_millis(50));
    let time = jiff::Timestamp::now().to_string();
    std::thread::sleep(Duration::from_millis(50));
    counted.send(13..15);
    counted.reset(&time, &["--yes"]).success();
    counted.counts(2);
    // behind everything: as the latest
    counted.reset("2099-01-01T00:00:00Z", &["--yes"]).success();
    counted.counts(0);
}

#[test]
fn what_is_being_written_is_not_reset() {
    let Some(counted) = Counted::new("reset-live") else { return };
    let life = counted.start();
    life.wait_for_runs(10);
    let error = counted.reset("earliest", &["--yes"]).failure(4);
    assert!(error.contains("writes this state: stop it first"), "{error}");
    counted.send(10..12);
    life.wait_for_runs(12);
    life.end();
}

#[test]
fn the_lease_of_a_killed_instance_is_waited_out() {
    let Some(counted) = Counted::new("reset-killed") else { return };
    let life = counted.start();
    life.wait_for_runs(10);
    drop(life);
    let told = counted.reset("latest", &["--yes", "--lease-ttl", "3s"]);
    assert!(told.error.contains("has not given the state back; looking for 3 s whether it lives"), "{told:?}");
    told.success();
    counted.counts(0);
}

#[test]
fn a_topic_made_anew_is_resolved_by_the_command_that_the_refusal_names() {
    let Some(counted) = Counted::new("reset-anew") else { return };
    counted.broker.delete_topic(counted.topic);
    eventually("the topic is made anew", || counted.broker.try_topic(counted.topic, 1, &[]).ok());
    send_runs(&producer(&counted.address, &[]), counted.topic, 0, 0..7);
    let error = refused(run(&counted.address, counted.topic, &counted.scratch.url()), 4);
    let (_, command) = error.split_once("`gocdnext-flow state ").unwrap();
    let (command, _) = command.split_once('`').unwrap();
    assert_eq!(command, "reset --to earliest");
    counted.reset("earliest", &["--yes"]).success();
    counted.counts(7);
}

#[test]
fn what_is_damaged_is_refused_and_may_be_reset() {
    let Some(counted) = Counted::new("reset-damaged") else { return };
    counted.scratch.spoil("UPDATE gocdnext_flow_blob SET bytes = x'ff' || substr(bytes, 2) WHERE lane = 65535");
    let error = refused(run(&counted.address, counted.topic, &counted.scratch.url()), 4);
    assert!(error.contains("the state is damaged: gocdnext_flow_blob, epoch "), "{error}");
    for command in ["`gocdnext-flow state verify`", "`gocdnext-flow state reset --to earliest|latest`"] {
        assert!(error.contains(command), "{error}");
    }
    counted.reset("earliest", &["--yes"]).success();
    counted.counts(10);
}

#[test]
fn a_state_may_change_its_topic_and_its_buckets_by_a_reset() {
    let Some(counted) = Counted::new("reset-from") else { return };
    counted.broker.topic("reset-to", 1, &[]);
    send_runs(&producer(&counted.address, &[]), "reset-to", 0, 0..4);
    let other = || run(&counted.address, "reset-to", &counted.scratch.url());
    let error = refused(other(), 4);
    assert!(error.contains("the state is of topic reset-from, not of topic reset-to"), "{error}");
    let arguments = ["reset", "--to", "earliest", "--brokers", &counted.address, "--topic", "reset-to"];
    let error = state(&arguments, &counted.scratch.url()).failure(2);
    assert!(error.contains("give --yes") && error.contains(", of topic reset-from"), "{error}");
    state(&[&arguments[..], &["--yes"]].concat(), &counted.scratch.url()).success();
    let mut command = other();
    command.args(["--queue-buckets", "7s"]);
    let life = Life::start(command);
    let text = life.wait_for_runs(4);
    assert!(text.contains(r#"gocdnext_job_queue_seconds_bucket{le="7"}"#), "{text}");
    life.end();
}

#[test]
fn new_state_may_begin_anywhere_and_nobody_is_asked() {
    let Some(counted) = Counted::new("reset-new") else { return };
    let scratch = Scratch::empty();
    let arguments = ["reset", "--to", "latest", "--brokers", &counted.address, "--topic", counted.topic];
    state(&arguments, &scratch.url()).success();
    counted.send(10..11);
    let life = Life::start(run(&counted.address, counted.topic, &scratch.url()));
    life.wait_for_runs(1);
    life.end();
}

#[test]
fn a_broker_that_is_away_changes_nothing() {
    let scratch = Scratch::new();
    let before = shown(&scratch.url());
    let arguments = ["reset", "--to", "latest", "--brokers", "127.0.0.1:1", "--yes"];
    let error = state(&arguments, &scratch.url()).failure(1);
    assert!(error.contains("Kafka at 127.0.0.1:1 cannot be asked: "), "{error}");
    let Some(broker) = broker::shared() else { return };
    let error = state(
        &["reset", "--to", "latest", "--brokers", &broker.address(), "--topic", "reset-absent", "--yes"],
        &scratch.url(),
    );
    assert!(error.failure(1).contains("topic reset-absent does not exist"));
    assert_eq!(shown(&scratch.url())["epoch"], before["epoch"]);
}

/// Answers on a terminal.
fn on_a_terminal(counted: &Counted, answer: &str) -> (bool, String) {
    let flow = flow();
    let words = [
        flow.get_program().to_string_lossy().into_owned(),
        format!("state reset --to latest --brokers {} --topic {}", counted.address, counted.topic),
        format!("--state {}", counted.scratch.url()),
    ];
    let typed = format!("sleep 1; echo {answer}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("({typed}) | script -qec '{}' /dev/null", words.join(" "))]);
    let told = told(&mut shell);
    (told.code == Some(0), told.out)
}

#[test]
fn on_a_terminal_it_asks_and_says_what_it_means() {
    let Some(counted) = Counted::new("reset-ask") else { return };
    let before = shown(&counted.scratch.url());
    let error = counted.reset("latest", &[]).failure(2);
    assert!(error.contains("there is no terminal to ask on: give --yes"), "{error}");
    let (done, screen) = on_a_terminal(&counted, "no");
    assert!(!done && screen.contains("error: nothing was changed"), "{screen}");
    for meaning in [
        "Every series starts over from zero; Prometheus sees counters that were reset",
        "What is known of jobs, runs and agents is forgotten",
        "Events before that point are not counted",
        "its dead letters are sent again",
    ] {
        assert!(screen.contains(meaning), "{meaning}: {screen}");
    }
    let after = shown(&counted.scratch.url());
    assert_eq!((&after["epoch"], &after["lease"]["released"]), (&before["epoch"], &true.into()));
    let (done, screen) = on_a_terminal(&counted, "yes");
    assert!(done && screen.contains("the next start begins in topic reset-ask"), "{screen}");
    counted.counts(0);
}
