//! Partitions that are not what they seem: other bounds than their names say, lines from outside their bounds, lines of
//! their month in the default partition. A server allows some of it only to those who trick it.

use crate::support::{Place, State, jobs, on_both, outcome, run_all, word};
use dataflows::retention::Partition;
use gocdnext_flow::retention::Outcome;

on_both!(
    bounds_that_are_not_those_of_the_name_block,
    lines_from_before_block,
    lines_from_after_block,
    lines_left_in_the_default_partition_block,
);

fn bound(at: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at).unwrap()
}

/// Attaches a table past all checks on what is in it: a constraint that implies the bounds spares the server to look, and
/// that it holds is said, not shown.
async fn attach(place: &Place, partition: &Partition, constrained: &str, said: &str) {
    let Partition { name, lower, upper, .. } = partition;
    place
        .sql(format!(
            "ALTER TABLE {constrained} ADD CONSTRAINT said CHECK ({said}) NOT VALID; \
             UPDATE pg_constraint SET convalidated = TRUE WHERE conname = 'said'"
        ))
        .await;
    let (from, to) = (bound(*lower), bound(*upper));
    place.sql(format!("ALTER TABLE log_lines ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')")).await;
}

/// Lines of jobs that pass, from this time on, into a partition past its bounds.
async fn smuggle(place: &Place, state: &State, from: i64) {
    let partition = place.partition(5);
    let all = jobs(1, 2);
    place.lines(5, &all, 10).await;
    state.archived(&all);
    if !place.is_sqlite() {
        place.sql(format!("ALTER TABLE log_lines DETACH PARTITION {}", partition.name)).await;
    }
    place.fill(&partition.name, from, &jobs(2, 1), 3).await;
    state.archived(&jobs(2, 1));
    if !place.is_sqlite() {
        let (lower, upper) = (bound(partition.lower), bound(partition.upper));
        let said = format!("at IS NOT NULL AND at >= '{lower}' AND at < '{upper}'");
        attach(place, &partition, &partition.name, &said).await;
    }
}

async fn kept(place: &Place, state: &State, reason: &str) {
    let before = place.copy().await;
    let report = run_all(place, state).await;
    assert_eq!(word(&outcome(&report, place, 5)), reason, "{report:?}");
    assert_eq!(place.copy().await, before);
}

async fn bounds_that_are_not_those_of_the_name_block(place: Place) {
    let state = State::new(&place);
    place.months(5).await;
    let all = jobs(1, 2);
    place.lines(5, &all, 10).await;
    state.archived(&all);
    let Partition { name, lower, upper, .. } = place.partition(5);
    // as a session in another time zone would have made it
    let shifted = 3 * 3_600_000;
    if place.is_sqlite() {
        place
            .sql(format!(
                "UPDATE gocdnext_flow_log_partitions SET lower_ms = lower_ms + {shifted}, \
                 upper_ms = upper_ms + {shifted} WHERE name = '{name}'"
            ))
            .await;
    } else {
        place.sql(format!("DROP TABLE {}, {}", place.name(4), name)).await;
        place
            .sql(format!(
                "SET TimeZone = 'America/Sao_Paulo'; CREATE TABLE {name} PARTITION OF log_lines FOR VALUES \
            FROM ('{}') TO ('{}')",
                local(lower),
                local(upper)
            ))
            .await;
        place.fill(&name, lower + shifted, &all, 10).await;
        // one that is cut again, and one without a lower bound
        let other = place.partition(7);
        place
            .sql(format!(
                "CREATE TABLE {} PARTITION OF log_lines FOR VALUES FROM ('{}Z') TO ('{}Z') PARTITION BY RANGE (at)",
                other.name,
                local(other.lower),
                local(other.upper)
            ))
            .await;
        place
            .sql(format!(
                "CREATE TABLE log_lines_pre PARTITION OF log_lines FOR VALUES FROM (MINVALUE) TO ('{}Z')",
                local(place.partition(20).lower)
            ))
            .await;
    }
    kept(&place, &state, "bounds").await;
    if !place.is_sqlite() {
        let report = run_all(&place, &state).await;
        assert_eq!(word(&outcome(&report, &place, 7)), "bounds");
        let pre = report.partitions.iter().find(|(partition, _)| partition.name == "log_lines_pre").unwrap();
        assert!(matches!(&pre.1, Outcome::Blocked(obstacle) if obstacle.reason.name() == "bounds"), "{pre:?}");
    }
}

fn local(time: i64) -> String {
    bound(time).to_string().trim_end_matches('Z').replace('T', " ")
}

async fn lines_from_before_block(place: Place) {
    let state = State::new(&place);
    place.months(5).await;
    smuggle(&place, &state, place.partition(6).lower).await;
    kept(&place, &state, "foreign_rows").await;
}

async fn lines_from_after_block(place: Place) {
    let state = State::new(&place);
    place.months(5).await;
    smuggle(&place, &state, place.now).await;
    kept(&place, &state, "newer_rows").await;
}

async fn lines_left_in_the_default_partition_block(place: Place) {
    let state = State::new(&place);
    place.months(5).await;
    let all = jobs(1, 2);
    place.lines(5, &all, 10).await;
    state.archived(&all);
    let partition = place.partition(5);
    if !place.is_sqlite() {
        place.sql(format!("ALTER TABLE log_lines DETACH PARTITION {}", partition.name)).await;
    }
    place.fill("log_lines_default", partition.lower, &jobs(3, 1), 2).await;
    if !place.is_sqlite() {
        let (lower, upper) = (bound(partition.lower), bound(partition.upper));
        let said = format!("NOT (at IS NOT NULL AND at >= '{lower}' AND at < '{upper}')");
        attach(&place, &partition, "log_lines_default", &said).await;
    }
    state.archived(&jobs(3, 1));
    kept(&place, &state, "foreign_rows").await;
}
