//! Plans of runs and jobs, as for the series, and outcomes of archives around what happens to them.

use crate::model::{
    Key, Ms, SKEW,
    generate::{self, Numbers, Plan},
};
use dataflows::{
    event::{Event, Id, Kind, RunEvent, Status},
    retention::{Policies, Policy},
    settings::{Retention, Settings},
};
use std::collections::BTreeMap;

/// Short bounds, so that a few minutes hold everything.
pub fn settings() -> Settings {
    let retention = Retention {
        on: true,
        archive_grace_ms: 10_000,
        archive_backoff_ms: 4_000,
        archive_backoff_max_ms: 20_000,
        archive_silence_ms: 60_000,
        archive_tries: 5,
        ..Retention::default()
    };
    Settings { retention, ..generate::settings(3_600_000) }
}

/// Projects 1 and 2 archive, 3 does not.
pub fn policies() -> Policies {
    let policy = |archive| Policy { log_retention_days: 1, archive };
    Policies { default: Some(policy(true)), projects: [(2, policy(true)), (3, policy(false))].into() }
}

/// The plan's events of runs and jobs, without what no two readers could agree about, and outcomes.
///
/// Left out beyond what the series leave out: events of a job more than the skew after its run's finish.
pub fn punctual_events(plan: &Plan, settings: &Settings, numbers: &mut Numbers) -> Vec<RunEvent> {
    let events = generate::punctual_events(plan, settings);
    let mut events: Vec<RunEvent> = events
        .into_iter()
        .filter_map(|event| if let Event::Run(event) = event { Some(event) } else { None })
        .collect();
    let finishes: BTreeMap<Id, Ms> =
        events.iter().filter(|e| e.kind == Kind::RunFinished).map(|e| (e.run, e.time)).collect();
    let in_time = |e: &RunEvent| finishes.get(&e.run).is_none_or(|finish| e.time <= finish + SKEW);
    events.retain(|e| e.job == 0 || in_time(e));
    let outcomes = outcomes(&events, settings, numbers);
    events.extend(outcomes);
    events
}

/// Outcomes near the ends of the attempts, near what follows from them, and of attempts that nobody knows.
pub fn outcomes(events: &[RunEvent], settings: &Settings, numbers: &mut Numbers) -> Vec<RunEvent> {
    let mut latest: BTreeMap<Key, RunEvent> = BTreeMap::new();
    for event in events.iter().filter(|event| event.job != 0) {
        let known = latest.entry((event.run, event.job, event.attempt)).or_insert(*event);
        if event.time > known.time {
            *known = *event;
        }
    }
    let mut outcomes = vec![];
    for (index, of) in (1..).zip(latest.values()) {
        let mut time = of.time + [0, 0, settings.job_ttl_ms][numbers.below(3)];
        for step in 0..numbers.below(5) {
            let steps = [-2_500, -SKEW, 0, 500, 5_000, 10_000, 10_500, 14_500, 20_000, 60_000, 70_000];
            time += steps[numbers.below(steps.len())];
            let status =
                [Status::Failed, Status::Failed, Status::Failed, Status::Success, Status::Skipped, Status::Unknown];
            let attempt = of.attempt + u32::from(numbers.below(30) == 0) * 7;
            let status = status[numbers.below(status.len())];
            let tie = u64::from(u32::MAX) * index + step as u64;
            outcomes.push(RunEvent { kind: Kind::LogArchived, time, status, attempt, tie, ..*of });
        }
    }
    outcomes
}
