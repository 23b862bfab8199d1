//! Kafka's outages: a broker that dies and comes back, a topic that grows.

use crate::{
    kafka::broker::{self, Broker},
    support::{
        folder::in_folder,
        load::Flow,
        stage::{Stage, sqlite, topic},
    },
};
use std::{thread::sleep, time::Duration};

/// The watcher asks every second and gives up after three.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);
const OUTAGE: Duration = Duration::from_secs(3);
const COMMITS_WITHIN: Duration = Duration::from_secs(60);
/// A busy topic's new partitions are looked for every second.
const FOUND_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_broker_that_is_killed_mid_stream_and_comes_back_costs_nothing() {
    let Some(mut broker) = Broker::start() else { return };
    in_folder(|folder| {
        let mut stage = Stage::set(folder, topic(&broker, "outage", 3), sqlite(folder), Flow::Steady, 21)?;
        stage.start(stage.command(2))?;
        stage.moved()?;
        stage.commits(10, COMMITS_WITHIN)?;
        broker.kill();
        stage.wait_for_check("kafka", true, NOTICED_WITHIN)?;
        sleep(OUTAGE);
        broker.restart();
        stage.wait_for_check("kafka", false, NOTICED_WITHIN)?;
        let commits = stage.scraper.progress().commits;
        stage.commits(commits + 20, COMMITS_WITHIN)?;
        stage.finish()
    });
}

#[test]
fn partitions_that_a_topic_gains_mid_stream_are_read_from_their_first_record() {
    let Some(broker) = broker::shared() else { return };
    in_folder(|folder| {
        let mut stage = Stage::set(folder, topic(&broker, "growing", 2), sqlite(folder), Flow::Steady, 22)?;
        stage.start(stage.command(2))?;
        stage.moved()?;
        stage.commits(10, COMMITS_WITHIN)?;
        broker.partitions("growing", 5);
        let lag = "gocdnext_flow_kafka_lag_records";
        stage.scraper.wait("five partitions", FOUND_WITHIN, |seen| {
            (seen.latest.as_ref()?.of(lag).count() == 5).then_some(())
        })?;
        // a life that has known two of them, and one that finds five in its state
        stage.kill()?;
        stage.start(stage.command(3))?;
        stage.moved()?;
        stage.commits(10, COMMITS_WITHIN)?;
        stage.finish()
    });
}
