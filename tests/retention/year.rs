//! A year of partitions under a live writer, run after run.

use crate::support::{Place, State, check_every_line, jobs, on_both, order, outcome, run_all, word};
use dataflows::retention::{Archive, LedgerRow, Partition, decision::Hyphenated};
use gocdnext_flow::{
    logs::LogDatabase,
    retention::{Order, Outcome, run},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

on_both!(a_year_goes_month_by_month_and_what_may_not_go_stays, a_dry_run_changes_nothing, a_year_ahead_drops_nothing);

const LINES: i64 = 120;

/// A year with ten thousands of lines, where some months have a job in the way.
async fn year(place: &Place, state: &State) {
    place.months(12).await;
    for before in 0..=12 {
        let kind = u32::try_from(before).unwrap() + 1;
        let of_month = jobs(kind, 20);
        place.lines(before, &of_month, LINES).await;
        let (last, rest) = of_month.split_last().unwrap();
        state.archived(rest);
        match before {
            11 => {}
            9 => state.rows(&[*last], |row| LedgerRow { archive: Archive::Failed, archived_at: None, ..row }),
            7 => state.rows(&[*last], |row| LedgerRow { ended_at: None, ..row }),
            _ => state.archived(&[*last]),
        }
    }
    // from before there were partitions
    let Partition { lower, .. } = place.partition(30);
    place.fill("log_lines_default", lower, &jobs(99, 5), 50).await;
}

async fn a_year_goes_month_by_month_and_what_may_not_go_stays(place: Place) {
    let state = State::new(&place);
    year(&place, &state).await;
    let before = place.copy().await;
    assert!(before.len() > 30_000);
    let live = Writer::start(&place);
    let mut dropped = BTreeSet::new();
    let mut runs = 0;
    loop {
        let report = run(&place.logs, &state, &order()).await.unwrap();
        let new: Vec<String> = report
            .partitions
            .iter()
            .filter(|(_, outcome)| matches!(outcome, Outcome::Dropped(_)))
            .map(|(partition, _)| partition.name.clone())
            .collect();
        assert!(new.len() <= 3, "{new:?}");
        let waits = report
            .partitions
            .iter()
            .any(|(_, outcome)| matches!(outcome, Outcome::Next { .. } | Outcome::Busy { .. }));
        assert!(new.iter().all(|name| dropped.insert(name.clone())), "dropped twice: {new:?}");
        runs += 1;
        if !waits {
            assert_eq!(word(&outcome(&report, &place, 11)), "unknown_job");
            assert_eq!(word(&outcome(&report, &place, 9)), "archive_failed");
            assert_eq!(word(&outcome(&report, &place, 7)), "archive_pending");
            for young in 0..=1 {
                assert_eq!(word(&outcome(&report, &place, young)), "Young");
            }
            break;
        }
        assert!(runs < 50, "{report:?}");
    }
    assert!(runs > 2, "so many drops do not go into one run");
    let written = live.stop().await;
    assert_eq!(place.dropped().await.keys().cloned().collect::<BTreeSet<_>>(), dropped);
    assert!(dropped.len() >= 7, "{dropped:?}");
    check_every_line(&place, &state, &before).await;
    let after = place.copy().await;
    assert_eq!(after.iter().filter(|line| !before.contains(*line)).count(), usize::try_from(written).unwrap());
    // what was in the way comes right
    state.change(|inner| inner.rows.retain(|row| row.archived_at.is_some() && row.ended_at.is_some()));
    state.archived(&[jobs(12, 20)[19], jobs(10, 20)[19], jobs(8, 20)[19]]);
    run_all(&place, &state).await;
    assert_eq!(place.dropped().await.len(), dropped.len() + 3);
    check_every_line(&place, &state, &before).await;
}

/// Someone who writes lines of now, and old ones into the default partition, all the time.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicI64>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    fn start(place: &Place) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let (logs, now, old) = (place.logs.clone(), place.now, place.partition(25).lower);
        let job = jobs(500, 1)[0];
        let server = (!place.is_sqlite()).then(|| place.server()).map(|(server, name)| (server, name.to_owned()));
        if let Some((server, database)) = &server {
            server.sql(database, &format!("INSERT INTO job_runs VALUES ('{}')", Hyphenated(job)));
        }
        let (ending, count) = (Arc::clone(&stop), Arc::clone(&written));
        let task = tokio::spawn(async move {
            while !ending.load(Relaxed) || count.load(Relaxed) == 0 {
                let seq = count.load(Relaxed);
                match &server {
                    None => write_embedded(&logs, job, seq, [now, old]).await,
                    Some((server, database)) => {
                        let sql = format!(
                            "SET lock_timeout = '20s'; INSERT INTO log_lines SELECT '{}', {seq} + n, 'stdout', \
                             to_timestamp(CASE n WHEN 0 THEN {now} ELSE {old} END / 1000.0), 'x' \
                             FROM generate_series(0, 1) n",
                            Hyphenated(job)
                        );
                        let (server, database) = (*server, database.clone());
                        tokio::task::spawn_blocking(move || server.sql(&database, &sql)).await.unwrap();
                    }
                }
                count.fetch_add(2, Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { stop, written, task }
    }

    /// So many lines were written.
    async fn stop(self) -> i64 {
        self.stop.store(true, Relaxed);
        self.task.await.unwrap();
        self.written.load(Relaxed)
    }
}

async fn write_embedded(logs: &LogDatabase, job: u128, seq: i64, times: [i64; 2]) {
    let lines: Vec<_> = (seq..)
        .zip(times)
        .map(|(seq, at)| gocdnext_flow::logs::embedded::Line { job, seq, at, text: "x".to_owned() })
        .collect();
    logs.append(&lines).await.unwrap();
}

async fn a_dry_run_changes_nothing(place: Place) {
    let state = State::new(&place);
    year(&place, &state).await;
    let (lines, names) = (place.copy().await, place.catalogue().await);
    let look = LogDatabase::look(&place.url);
    let report = run(&look, &state, &Order { dry_run: true, ..order() }).await.unwrap();
    let words: Vec<String> = report.partitions.iter().map(|(_, outcome)| word(outcome)).collect();
    assert_eq!(words.iter().filter(|word| *word == "WouldDrop").count(), 3, "{words:?}");
    assert!(words.iter().any(|word| word == "Next"), "{words:?}");
    let ensured: Vec<&Outcome> = report.ensured.iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(ensured, [&Outcome::WouldEnsure; 3]);
    assert_eq!((place.copy().await, place.catalogue().await), (lines, names));
    assert!(place.dropped().await.is_empty());
    // what it announced is what is done
    let done = run(&place.logs, &state, &order()).await.unwrap();
    for ((_, would), (_, did)) in report.partitions.iter().zip(&done.partitions) {
        match (would, did) {
            (Outcome::WouldDrop { found, decision }, Outcome::Dropped(drop)) => {
                assert_eq!((found.rows, *decision), (drop.rows, drop.decision));
            }
            (would, did) => assert_eq!(would, did),
        }
    }
}

/// A producer whose clock is a year ahead, and one whose is a year behind.
async fn a_year_ahead_drops_nothing(place: Place) {
    let state = State::new(&place);
    place.months(3).await;
    let all = jobs(1, 3);
    for before in 0..=3 {
        place.lines(before, &all, 10).await;
    }
    state.archived(&all);
    state.policies(|policies| policies.default.as_mut().unwrap().log_retention_days = 150);
    let year = 365 * 86_400_000;
    for stream_time in [place.now + year, place.now - year] {
        state.change(|inner| inner.standing.moment.now.0 = stream_time);
        let report = run_all(&place, &state).await;
        assert!(report.partitions.iter().all(|(_, outcome)| matches!(outcome, Outcome::Young { due: Some(_) })));
    }
    assert!(place.dropped().await.is_empty());
    // old by the database's clock alone
    state.policies(|policies| policies.default.as_mut().unwrap().log_retention_days = 5);
    let report = run_all(&place, &state).await;
    assert!(report.partitions.iter().all(|(_, outcome)| matches!(outcome, Outcome::Young { .. })));
    state.change(|inner| inner.standing.moment.now.0 = place.now);
    let report = run_all(&place, &state).await;
    assert_eq!(word(&outcome(&report, &place, 3)), "Dropped");
}
