//! The reference for partitions (docs/rules.md, "Partitions"), stated a second time, and the property: for any policies,
//! catalogues and times, and over any restarts, each decision is given as soon as it is allowed, never earlier, and once.

use crate::{config, model::Ms, stored::Store};
use dataflows::{
    feed::{CatchUp, EpochEnd, PartitionProgress},
    ledger::Ledger,
    names::Names,
    retention::{
        Catalogue, Decision, Fate, Fates, Kind, Partition, Policies, Policy, Reason, RetentionInput, Subject,
        partitions,
    },
    settings::{Retention, Settings},
    state::Sweep,
    time::{Epoch, NextOffset, StreamTime},
};
use proptest::{collection::vec, option::weighted, prelude::*};
use std::{collections::BTreeMap, sync::Arc};

const DAY: Ms = 86_400_000;
const AHEAD: usize = 2;

/// Every month that tests go over.
const fn months() -> std::ops::Range<i16> {
    -1..30
}

/// The first moment of a month, counted from January 2025.
fn begin(month: i16) -> Ms {
    let year = 2025 + month.div_euclid(12);
    let begin: jiff::Timestamp = format!("{year}-{:02}-01T00:00:00Z", month.rem_euclid(12) + 1).parse().unwrap();
    begin.as_millisecond()
}

fn name(month: i16) -> String {
    format!("log_lines_y{:04}m{:02}", 2025 + month.div_euclid(12), month.rem_euclid(12) + 1)
}

/// What an epoch is told.
#[derive(Clone, Debug)]
struct Told {
    input: Option<RetentionInput>,
    now: Ms,
    states: Vec<CatchUp>,
    wall: bool,
    crash: bool,
    sweep: bool,
}

impl Told {
    fn end(&self) -> EpochEnd {
        let progress = |(partition, state): (u32, &CatchUp)| PartitionProgress {
            partition,
            next_offset: NextOffset(1),
            state: *state,
        };
        EpochEnd {
            epoch: Epoch(1),
            next_epoch: Epoch(2),
            partitions: (0..).zip(&self.states).map(progress).collect(),
            wall: self.wall.then_some(self.now),
            last: false,
            retention: self.input.clone().map(Arc::new),
        }
    }
}

/// Partitions as they should be, and such as nobody should ever drop.
fn partition() -> impl Strategy<Value = Partition> {
    let shift = prop_oneof![8 => Just((0, 0)), 1 => Just((0, DAY)), 1 => Just((0, -DAY)), 1 => Just((-DAY, 0))];
    let called = prop_oneof![8 => Just(""), 1 => Just("_old")];
    (0..14_i16, shift, called, weighted(0.05, Just("log_lines_default")), prop::bool::weighted(0.2)).prop_map(
        |(month, (lower, upper), called, default, adopted)| Partition {
            name: default.map_or_else(|| format!("{}{called}", name(month)), str::to_owned),
            lower: begin(month) + lower,
            upper: begin(month + 1) + upper,
            adopted,
        },
    )
}

/// A time that is often on an edge: the end of a month and some days after it.
fn time() -> impl Strategy<Value = Ms> {
    let days = proptest::sample::select(vec![0, 1, 7, 30, 31, 60]);
    prop_oneof![
        3 => (0..14_i16, days, -1..2_i64).prop_map(|(month, days, off)| begin(month) + days * DAY + off),
        1 => begin(0)..begin(20),
    ]
}

fn told() -> impl Strategy<Value = Told> {
    let policy = || {
        let days = proptest::sample::select(vec![0_u32, 1, 7, 30, 60]);
        (days, any::<bool>()).prop_map(|(log_retention_days, archive)| Policy { log_retention_days, archive })
    };
    let policies = (weighted(0.85, policy()), prop::collection::btree_map(1..4_u128, policy(), 0..3))
        .prop_map(|(default, projects)| Arc::new(Policies { default, projects }));
    let partitions = prop::collection::btree_map("[a-z]", partition(), 0..10);
    let catalogue = (partitions, time()).prop_map(|(partitions, now)| {
        // names are unique in a database
        let by_name: BTreeMap<String, Partition> =
            partitions.into_values().map(|partition| (partition.name.clone(), partition)).collect();
        Arc::new(Catalogue { partitions: by_name.into_values().collect(), now })
    });
    let complete_from = weighted(0.9, prop_oneof![2 => Just(0), 1 => (0..10_i16).prop_map(begin), 1 => time()]);
    let input = (policies, weighted(0.9, catalogue), complete_from)
        .prop_map(|(policies, catalogue, complete_from)| RetentionInput { policies, catalogue, complete_from });
    let state =
        prop_oneof![8 => Just(CatchUp::CaughtUp), 1 => Just(CatchUp::Behind), 1 => Just(CatchUp::Unconfirmed)];
    let states = vec(state, 0..3);
    (weighted(0.95, input), time(), states, prop::bool::weighted(0.9), any::<bool>(), any::<bool>())
        .prop_map(|(input, now, states, wall, crash, sweep)| Told { input, now, states, wall, crash, sweep })
}

/// What is allowed at the end of an epoch: kind, name, and since when.
fn allowed(told: &Told) -> BTreeMap<(Kind, String), Ms> {
    let mut allowed = BTreeMap::new();
    let Some(input) = &told.input else { return allowed };
    let Some(catalogue) = &input.catalogue else { return allowed };
    let both_past = |time: Ms| told.now > time && catalogue.now > time;
    let every_day = input.policies.projects.values().chain(&input.policies.default);
    let days = every_day.map(|policy| Ms::from(policy.log_retention_days)).max();
    let days = days.filter(|_| input.policies.default.is_some());
    for partition in catalogue.partitions.iter().filter(|partition| partition.name != "log_lines_default") {
        let month = months().find(|month| name(*month) == partition.name);
        let upper = month.map_or(partition.upper, |month| begin(month + 1).max(partition.upper));
        let fits = month.is_some_and(|m| (begin(m), begin(m + 1)) == (partition.lower, partition.upper));
        let known = partition.adopted || input.complete_from.is_some_and(|from| from <= partition.lower);
        let read =
            told.wall && !told.states.is_empty() && told.states.iter().all(|state| *state == CatchUp::CaughtUp);
        let Some(days) = days else {
            if both_past(upper) {
                allowed.insert((Kind::Blocked(Reason::NoPolicy), partition.name.clone()), upper);
            }
            continue;
        };
        let due = upper + days * DAY;
        let kind = match (fits, known, read) {
            _ if !both_past(due) => continue,
            (false, _, _) => Kind::Blocked(Reason::Bounds),
            (true, false, _) => Kind::Blocked(Reason::IncompleteHistory),
            (true, true, false) => continue,
            (true, true, true) => Kind::DropPartition,
        };
        allowed.insert((kind, partition.name.clone()), due);
    }
    let current = months().rev().find(|month| begin(*month) <= catalogue.now).unwrap();
    for month in current..=current + i16::try_from(AHEAD).unwrap() {
        let overlaps = |p: &&Partition| p.lower < begin(month + 1) && begin(month) < p.upper;
        if catalogue.partitions.iter().find(overlaps).is_none() {
            allowed.insert((Kind::EnsurePartition, name(month)), begin(month - i16::try_from(AHEAD).unwrap()));
        }
    }
    allowed
}

fn settings() -> Settings {
    let retention = Retention { on: true, months_ahead: AHEAD, ..Retention::default() };
    Settings { retention, ..Settings::default() }
}

/// A ledger that went on from the store.
fn restored(settings: &Settings, store: &Store) -> Ledger {
    let mut ledger = Ledger::new(settings, Names::new(9));
    for blob in store.epochs.iter().filter_map(|stored| stored.ledger.as_ref()) {
        ledger.load(blob).unwrap();
    }
    ledger
}

fn key(decision: &Decision) -> (Kind, String) {
    match &decision.subject {
        Subject::Partition(name) => (decision.kind, name.clone()),
        Subject::Archive { .. } => panic!("not about a partition: {decision:?}"),
    }
}

/// What was decided and is listed, and whether what became of it was told.
type Standing = BTreeMap<(Kind, String), bool>;

/// What becomes of former decisions in an epoch.
fn fates(told: &Told, given: &mut Standing) -> [Fates; Kind::NAMES.len()] {
    let mut fates = [Fates::default(); Kind::NAMES.len()];
    let Some(catalogue) = told.input.as_ref().and_then(|input| input.catalogue.as_ref()) else { return fates };
    let allowed = allowed(told);
    let mut kept = Standing::new();
    for ((kind, name), was_over) in std::mem::take(given) {
        let month = months().find(|month| crate::partitions::name(*month) == name);
        let passed = month.is_none_or(|month| begin(month + 1) <= catalogue.now);
        let there = catalogue.partitions.iter().any(|partition| partition.name == name);
        let gone = passed && !there;
        let fate = match kind {
            Kind::EnsurePartition if there => Some(Fate::Executed),
            Kind::DropPartition if gone => Some(Fate::Executed),
            Kind::Blocked(_) if allowed.contains_key(&(Kind::DropPartition, name.clone())) => Some(Fate::Withdrawn),
            _ if gone => Some(Fate::Withdrawn),
            _ => None,
        };
        if let Some(fate) = fate.filter(|_| !was_over) {
            fates[kind.index()][fate as usize] += 1;
        }
        if !gone {
            // what is gone may come back as another
            kept.insert((kind, name), was_over || fate.is_some());
        }
    }
    *given = kept;
    fates
}

fn each_once_and_never_early(epochs: &[Told]) -> Result<(), TestCaseError> {
    let settings = settings();
    let mut store = Store::default();
    let mut ledger = restored(&settings, &store);
    let mut given = Standing::new();
    for (index, told) in (1..).zip(epochs) {
        if told.crash {
            // what was decided since the last commit is decided again
            ledger.decide(&told.end(), StreamTime(told.now));
            store.crash();
            ledger = restored(&settings, &store);
        }
        let allowed = allowed(told);
        let decided = ledger.decide(&told.end(), StreamTime(told.now));
        prop_assert_eq!(decided.fates, fates(told, &mut given), "epoch {}", index);
        let decided = decided.decisions;
        prop_assert!(decided.is_sorted_by_key(|decision| (decision.time, decision.id)));
        let wanted: BTreeMap<_, _> = allowed.into_iter().filter(|(key, _)| !given.contains_key(key)).collect();
        let seen: BTreeMap<_, _> = decided.iter().map(|decision| (key(decision), decision.time)).collect();
        prop_assert_eq!(seen.len(), decided.len(), "epoch {}: {:?}", index, decided);
        prop_assert_eq!(&seen, &wanted, "epoch {}", index);
        given.extend(wanted.into_keys().map(|key| (key, false)));
        let sweep = if told.sweep { Sweep::ALL } else { Sweep::default() };
        store.commit(index, sweep, vec![], ledger.blob(sweep).map(|lane| lane.bytes));
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(1_500))]

    #[test]
    fn each_decision_about_a_partition_is_given_once_and_never_early(epochs in vec(told(), 1..8)) {
        each_once_and_never_early(&epochs)?;
    }
}

/// A year of monthly partitions, all of it known, kept for so many days by default.
fn year(days: u32) -> RetentionInput {
    let partition =
        |month| Partition { name: name(month), lower: begin(month), upper: begin(month + 1), adopted: false };
    let partitions = (0..14).map(partition).collect();
    let default = Some(Policy { log_retention_days: days, archive: false });
    RetentionInput {
        policies: Arc::new(Policies { default, ..Policies::default() }),
        catalogue: Some(Arc::new(Catalogue { partitions, now: begin(11) })),
        complete_from: Some(begin(0)),
    }
}

fn drops(input: RetentionInput, now: Ms) -> Vec<String> {
    let (states, input) = (vec![CatchUp::CaughtUp], Some(input));
    let told = Told { input, now, states, wall: true, crash: false, sweep: false };
    let decided = Ledger::new(&settings(), Names::new(9)).decide(&told.end(), StreamTime(now));
    let drops = decided.decisions.iter().filter(|decision| decision.kind == Kind::DropPartition);
    drops.map(|decision| key(decision).1).collect()
}

#[test]
fn a_replay_of_last_year_and_a_producer_a_year_ahead_drop_nothing() {
    let by_both = drops(year(31), begin(11));
    assert_eq!(by_both, (0..9).map(name).collect::<Vec<_>>(), "strictly after the deadline");
    assert_eq!(drops(year(31), begin(0)), Vec::<String>::new(), "by the log of last year nothing is old");
    let ahead = begin(11 + 12);
    assert_eq!(drops(year(31), ahead), by_both, "by the log database's clock the rest is young");
}

#[test]
fn an_empty_history_drops_nothing() {
    let first_day = RetentionInput { complete_from: Some(begin(11)), ..year(0) };
    assert_eq!(drops(first_day, begin(11)), Vec::<String>::new());
    assert_eq!(drops(RetentionInput { complete_from: None, ..year(0) }, begin(11)), Vec::<String>::new());
}

#[test]
fn so_many_months_ahead_are_made_and_never_more_than_ten_years() {
    let missing = |months_ahead| {
        let months = partitions::missing(&Catalogue { partitions: vec![], now: begin(1) - 1 }, months_ahead);
        months.into_iter().map(|month| month.partition().name).collect::<Vec<_>>()
    };
    assert_eq!(missing(0), [name(0)], "the current month to its last moment");
    assert_eq!(missing(2), [name(0), name(1), name(2)]);
    assert_eq!(missing(usize::MAX).len(), 1 + 120);
}

#[test]
fn one_project_that_keeps_longer_keeps_all() {
    let mut input = year(0);
    Arc::make_mut(&mut input.policies).projects.insert(7, Policy { log_retention_days: 365, archive: false });
    assert_eq!(drops(input, begin(11)), Vec::<String>::new());
}

#[test]
fn a_decision_tells_why_and_on_what_it_rests() {
    let (states, input) =
        (vec![CatchUp::CaughtUp], Some(RetentionInput { complete_from: Some(begin(1)), ..year(31) }));
    let told = Told { input, now: begin(2) + 40 * DAY, states, wall: true, crash: false, sweep: false };
    let decided = Ledger::new(&settings(), Names::new(9)).decide(&told.end(), StreamTime(told.now)).decisions;
    let reasons: Vec<String> =
        decided.iter().map(|d| format!("{} {}: {}", d.kind.name(), key(d).1, d.reason)).collect();
    let expected = [
        "blocked log_lines_y2025m01: it begins at 2025-01-01T00:00:00Z; what is known of jobs is whole only from 2025-02-01T00:00:00Z on",
        "drop_partition log_lines_y2025m02: the longest retention, 31 days from its end on, has passed since 2025-04-01T00:00:00Z",
    ];
    assert_eq!(reasons, expected);
    let facts = serde_json::to_value(&decided[1].facts).unwrap();
    let expected = serde_json::json!({
        "lower": begin(1), "upper": begin(2), "due": begin(2) + 31 * DAY, "longest_retention_days": 31, "complete_from": begin(1),
    });
    assert_eq!(facts, expected);
}
