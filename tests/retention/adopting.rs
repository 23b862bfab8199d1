//! The way out for partitions from before our time: what it lists, what it records, and what it does not waive.

use crate::support::{Place, State, check_every_line, jobs, on_both, order, outcome, run_all, word};
use dataflows::{
    retention::{Archive, Fact, LedgerRow},
    time::Millis,
};
use gocdnext_flow::retention::{Outcome, adopt, adoptable, examine::JOBS_WITHOUT_END};

on_both!(
    exactly_the_unknown_jobs_are_adopted,
    nothing_else_is_waived,
    a_begin_without_an_end_is_vouched_for_once_no_end_can_come,
    what_cannot_be_read_is_not_adopted,
);

/// So long that no job is known to be lost.
const NOT_YET: Millis = Millis::MAX;

async fn exactly_the_unknown_jobs_are_adopted(place: Place) {
    let state = State::new(&place);
    place.months(8).await;
    let (known, unknown) = (jobs(1, 5), jobs(2, 1_200));
    place.lines(8, &known, 3).await;
    place.lines(8, &unknown, 2).await;
    place.lines(7, &jobs(3, 2), 2).await;
    state.archived(&known);
    state.change(|inner| inner.standing.input.complete_from = Some(place.partition(3).lower));
    let before = place.copy().await;
    assert_eq!(word(&outcome(&run_all(&place, &state).await, &place, 8)), "incomplete_history");
    let mut listed = adoptable(&place.logs, &state, &place.name(8), NOT_YET, order().hold).await.unwrap().unwrap();
    listed.unknown.sort_unstable();
    assert_eq!((listed.unknown.as_slice(), listed.found.jobs), (unknown.as_slice(), 1_205));
    assert!(state.change(|inner| inner.adopted.is_empty()), "listing records nothing");
    adopt(&state, &listed, "from the old server").await.unwrap();
    assert_eq!(state.change(|inner| inner.adopted.len()), 1_200);
    assert_eq!(state.change(|inner| inner.reasons.clone()), ["from the old server"]);
    let again = adoptable(&place.logs, &state, &place.name(8), NOT_YET, order().hold).await.unwrap().unwrap();
    assert!(again.unknown.is_empty());
    let report = run_all(&place, &state).await;
    assert_eq!(word(&outcome(&report, &place, 8)), "Dropped");
    assert_eq!(word(&outcome(&report, &place, 7)), "incomplete_history", "another's adoption is not its own");
    check_every_line(&place, &state, &before).await;
}

async fn nothing_else_is_waived(place: Place) {
    let state = State::new(&place);
    place.months(8).await;
    let (open, unknown) = (jobs(1, 1), jobs(2, 2));
    for before in [8, 0] {
        place.lines(before, &open, 3).await;
        place.lines(before, &unknown, 3).await;
    }
    state.rows(&open, |row| LedgerRow { ended_at: None, ..row });
    state.change(|inner| inner.standing.input.complete_from = None);
    for before in [8, 0] {
        let listed =
            adoptable(&place.logs, &state, &place.name(before), NOT_YET, order().hold).await.unwrap().unwrap();
        adopt(&state, &listed, "why not").await.unwrap();
    }
    let said = async || word(&outcome(&run_all(&place, &state).await, &place, 8));
    assert_eq!(said().await, "archive_pending", "what is known of a job holds");
    assert_eq!(word(&outcome(&run_all(&place, &state).await, &place, 0)), "Young");
    state.change(|inner| inner.rows.clear());
    state.archived(&open);
    // a job that somebody vouched for, and that events tell of later
    state.rows(&unknown[..1], |row| LedgerRow { archived_at: None, ..row });
    assert_eq!(said().await, "archive_pending", "what is known goes before what somebody said");
    state.change(|inner| inner.rows.clear());
    state.archived(&open);
    let policies = state.change(|inner| inner.standing.input.policies.clone());
    state.policies(|policies| policies.default = None);
    assert_eq!(said().await, "no_policy");
    state.change(|inner| inner.standing.input.policies = policies);
    // one that was not in it when it was adopted
    place.lines(8, &jobs(9, 1), 1).await;
    assert_eq!(said().await, "unknown_job");
    let listed = adoptable(&place.logs, &state, &place.name(8), NOT_YET, order().hold).await.unwrap().unwrap();
    assert_eq!(listed.unknown, jobs(9, 1));
    adopt(&state, &listed, "late").await.unwrap();
    let report = run_all(&place, &state).await;
    let Outcome::Dropped(dropped) = outcome(&report, &place, 8) else { panic!("{report:?}") };
    assert_eq!(dropped.rows, 10);
}

async fn a_begin_without_an_end_is_vouched_for_once_no_end_can_come(place: Place) {
    let state = State::new(&place);
    place.months(8).await;
    let (begun, ended) = (jobs(1, 2), jobs(2, 1));
    place.lines(8, &begun, 3).await;
    place.lines(8, &ended, 3).await;
    state.rows(&begun, |row| LedgerRow { ended_at: None, archive: Archive::None, archived_at: None, ..row });
    state.rows(&ended, |row| LedgerRow { archive: Archive::None, archived_at: None, ..row });
    let report = run_all(&place, &state).await;
    let Outcome::Blocked(obstacle) = outcome(&report, &place, 8) else { panic!("{report:?}") };
    assert_eq!((obstacle.reason.name(), &obstacle.facts[JOBS_WITHOUT_END]), ("archive_pending", &Fact::Number(2)));
    let name = place.name(8);
    let early = adoptable(&place.logs, &state, &name, NOT_YET, order().hold).await.unwrap().unwrap();
    assert_eq!((early.unknown, early.without_end), (vec![], vec![]), "they may run");
    let mut listed = adoptable(&place.logs, &state, &name, 86_400_000, order().hold).await.unwrap().unwrap();
    listed.without_end.sort_unstable();
    assert_eq!((listed.unknown.as_slice(), listed.without_end.as_slice()), (&[][..], begun.as_slice()));
    adopt(&state, &listed, "their events came a week late").await.unwrap();
    let said = async || word(&outcome(&run_all(&place, &state).await, &place, 8));
    assert_eq!(said().await, "archive_pending", "what has ended must be archived");
    state.change(|inner| inner.rows.retain(|row| row.job != ended[0]));
    state.archived(&ended);
    // an end that is known after all counts more than what somebody said
    state.change(|inner| {
        inner.rows.iter_mut().filter(|row| row.job == begun[0]).for_each(|row| row.ended_at = Some(9));
    });
    assert_eq!(said().await, "archive_pending");
    state.change(|inner| inner.rows.iter_mut().filter(|row| row.job == begun[0]).for_each(|row| row.ended_at = None));
    assert_eq!(said().await, "Dropped");
}

async fn what_cannot_be_read_is_not_adopted(place: Place) {
    let state = State::new(&place);
    place.months(1).await;
    for name in ["log_lines_default".to_owned(), place.name(40), "job_runs".to_owned(), "x'; --".to_owned()] {
        let refused = adoptable(&place.logs, &state, &name, NOT_YET, order().hold).await;
        assert!(!matches!(refused, Ok(Some(_))), "{name}: {refused:?}");
    }
}
