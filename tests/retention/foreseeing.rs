//! What a change of policies would do, told before it is made.

use crate::support::{Place, State, jobs, on_both, order, word};
use dataflows::{
    retention::{Archive, LedgerRow, Policies, Policy},
    time::Millis,
};
use gocdnext_flow::retention::{Foreseen, Ledger, Order, fate, foresee, freed, run};

on_both!(what_falls_due_by_a_change_is_told_and_stays, what_waits_for_its_archive_falls_due_where_archives_end);

fn kept_for(days: u32) -> Policies {
    Policies { default: Some(Policy { log_retention_days: days, archive: true }), ..Policies::default() }
}

async fn seen(place: &Place, state: &State, before: &Policies, after: &Policies) -> Foreseen {
    let (standing, catalogue) = (state.standing().await.unwrap(), place.logs.catalogue().await.unwrap());
    foresee(&standing, &catalogue, before, after)
}

async fn what_falls_due_by_a_change_is_told_and_stays(place: Place) {
    let state = State::new(&place);
    place.months(6).await;
    for before in 0..=6 {
        let (of_month, kind) = (jobs(1 + u32::try_from(before).unwrap(), 2), before);
        place.lines(kind, &of_month, 5).await;
        if before != 3 {
            state.archived(&of_month);
        }
    }
    // as before the first epoch: what stream time does not say yet it soon will
    state.change(|inner| {
        inner.standing.moment.now.0 = Millis::MIN;
        inner.standing.moment.caught_up = false;
        inner.standing.input.complete_from = Some(place.partition(4).lower);
    });
    let (never, none) = (kept_for(36_500), kept_for(0));
    let all = seen(&place, &state, &never, &none).await;
    let names: Vec<&str> = all.due.iter().map(|partition| partition.name.as_str()).collect();
    let expected: Vec<String> = [4, 3, 2, 1].map(|before| place.name(before)).into();
    assert_eq!(
        (all.closed, names),
        (4, expected.iter().map(String::as_str).collect()),
        "neither this month nor before our time"
    );
    let first = seen(&place, &state, &Policies::default(), &none).await;
    assert_eq!(first, all, "without a policy nothing was due");
    let again = seen(&place, &state, &none, &none).await;
    assert_eq!((again.closed, again.due.len()), (4, 0), "what is due already is no consequence");
    state.change(|inner| inner.standing.adopted.insert(place.name(6)));
    assert_eq!(seen(&place, &state, &never, &none).await.due.len(), 5);

    let lines = place.copy().await;
    let look = gocdnext_flow::logs::LogDatabase::look(&place.url);
    let fates = fate(&look, &state, &none, &all.due).await.unwrap();
    let words: Vec<String> = fates.iter().map(|(_, outcome)| word(outcome)).collect();
    assert_eq!(words, ["WouldDrop", "unknown_job", "WouldDrop", "WouldDrop"]);
    assert_eq!(place.copy().await, lines);
    // what was foreseen is what comes
    state.change(|inner| {
        inner.standing.moment.now.0 = place.now;
        inner.standing.moment.caught_up = true;
        inner.standing.adopted.clear();
    });
    state.policies(|policies| *policies = none.clone());
    let report = run(&place.logs, &state, &Order { max_drops: 100, ..order() }).await.unwrap();
    let dropped = place.dropped().await;
    for (partition, outcome) in &fates {
        assert_eq!(dropped.contains_key(&partition.name), word(outcome) == "WouldDrop", "{report:?}");
    }
    assert_eq!(dropped.len(), 3);
}

async fn what_waits_for_its_archive_falls_due_where_archives_end(place: Place) {
    let state = State::new(&place);
    place.months(6).await;
    // by months back: archived, waits, failed, unknown, runs, waits
    for before in 1..=6 {
        let of_month = jobs(u32::try_from(before).unwrap(), 2);
        place.lines(before, &of_month, 5).await;
        let waits = |row| LedgerRow { archive: Archive::None, archived_at: None, ..row };
        match before {
            1 => state.archived(&of_month),
            2 | 6 => state.rows(&of_month, waits),
            3 => state.rows(&of_month, |row| LedgerRow { archive: Archive::Failed, archived_at: None, ..row }),
            5 => state.rows(&of_month, |row| LedgerRow { ended_at: None, ..waits(row) }),
            _ => {}
        }
    }
    let policy = |log_retention_days, archive| Policy { log_retention_days, archive };
    let of = |default, own: Option<Policy>| Policies {
        default: Some(default),
        projects: own.map(|own| (7, own)).into_iter().collect(),
    };
    let freed = async |before: &Policies, after: &Policies| {
        let foreseen = seen(&place, &state, before, after).await;
        let freed = freed(&place.logs, &state, [before, after], &foreseen.old).await.unwrap();
        assert!(freed.iter().all(|(_, outcome)| word(outcome) == "WouldDrop"), "{freed:?}");
        let names: Vec<String> = freed.into_iter().map(|(partition, _)| partition.name).collect();
        (foreseen.closed, foreseen.due.len(), names)
    };
    let lines = place.copy().await;
    let (on, off) = (policy(0, true), policy(0, false));
    let waiting: Vec<String> = [6, 3, 2].map(|before| place.name(before)).into();
    for (before, after) in [
        (of(on, None), of(off, None)),
        (of(on, None), of(on, Some(off))),
        (of(off, Some(on)), of(off, None)),
        (of(on, Some(on)), of(on, Some(off))),
    ] {
        assert_eq!(freed(&before, &after).await, (6, 0, waiting.clone()), "{before:?} {after:?}");
    }
    for (before, after) in [
        (of(on, None), of(on, None)),
        (of(off, None), of(off, None)),
        (of(off, None), of(on, None)),
        // they are all of a project that goes on archiving
        (of(on, Some(on)), of(off, Some(on))),
    ] {
        assert_eq!(freed(&before, &after).await, (6, 0, vec![]), "{before:?} {after:?}");
    }
    // fewer days as well: the younger fall due by their age, the oldest only by its archive
    let (closed, due, names) = freed(&of(policy(125, true), None), &of(off, None)).await;
    assert_eq!((closed, names), (6, vec![place.name(6)]));
    assert!((4..=5).contains(&due), "{due}");
    assert_eq!(place.copy().await, lines);
}
