//! The year behind the demo: twelve months with a few jobs each, and what becomes of their archives. Pure.

use super::{days_between, lines};
use crate::{logs::embedded::Line, sinks::decisions::SOURCE};
use dataflows::{
    event::Id,
    retention::{month::Month, partitions::told},
    time::Millis,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// Months before the current one.
const MONTHS: i64 = 12;
const JOBS: u32 = 4;
const MINUTE: Millis = 60_000;
/// The newest month keeps its time: so much is kept in the end.
const KEPT_MONTHS: usize = 1;
/// The month before the time for which somebody vouches, one with a job that nobody announced, one with an archive that
/// fails for good.
const FORGOTTEN: usize = 0;
const STRANGER: usize = 4;
const BROKEN: usize = 6;

/// See the module.
#[derive(Debug)]
pub struct Year {
    /// The oldest first.
    pub months: Vec<Past>,
    /// Steps so far.
    steps: usize,
    now: Millis,
}

/// A month of it.
#[derive(Debug)]
pub struct Past {
    pub month: Month,
    /// Its partition's.
    pub name: String,
    upper: Millis,
    jobs: Vec<Id>,
    /// When they ended.
    end: Millis,
    pub lines: Vec<Line>,
    pub adopted: bool,
}

/// What a step brings.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// So many days logs are kept from now on.
    pub days: i64,
    /// Events.
    pub archived: Vec<String>,
}

impl Year {
    pub fn before(now: Millis) -> Self {
        let current = Month::of(now);
        let months = (0..MONTHS).zip(0..).map(|(month, index)| Past::of(current.plus(month - MONTHS), index));
        Self { months: months.collect(), steps: 0, now }
    }

    /// Kept so long, nothing is due yet.
    pub fn first_days(&self) -> i64 {
        self.months.first().map_or(0, |oldest| days_between(oldest.upper, self.now) + 1)
    }

    /// What is told of its jobs: all but the stranger's are announced.
    pub fn jobs(&self) -> Vec<String> {
        let months = self.months.iter().enumerate();
        let jobs = months.flat_map(|(index, month)| {
            let known = month.jobs.iter().filter(move |_| index != FORGOTTEN);
            known.skip(usize::from(index == STRANGER)).flat_map(|job| month.job(*job))
        });
        jobs.collect()
    }

    /// The next one, at `now`; `None`: the year is over.
    pub fn step(&mut self, now: Millis) -> Option<Step> {
        let (at, last) = (self.steps, self.months.len() - KEPT_MONTHS);
        if at > last + 1 {
            return None;
        }
        self.steps += 1;
        // a month falls due, the former one is archived, and what failed before is tried again
        let due = self.months[..last].get(at).or_else(|| self.months[..last].last())?;
        let mut archived = vec![];
        if let Some(index) = at.checked_sub(1).filter(|index| *index < last) {
            archived.extend(self.months[index].archives(index, now, false));
        }
        if let Some(index) = at.checked_sub(2) {
            archived.extend(self.months[index].archives(index, now, true));
        }
        Some(Step { days: days_between(due.upper, self.now) - 1, archived })
    }
}

impl Past {
    fn of(month: Month, index: u32) -> Self {
        let partition = month.partition();
        // far from either end
        let end = partition.lower + (partition.upper - partition.lower) / 3;
        let jobs: Vec<Id> = (0..JOBS)
            .map(|job| {
                Uuid::from_u64_pair(0xde30_0000_0000_4000, 0x8000_0000_0000_0000 | u64::from(index * JOBS + job))
                    .as_u128()
            })
            .collect();
        let lines = jobs.iter().flat_map(|job| lines(*job, end)).collect();
        let adopted = index as usize != FORGOTTEN;
        Self { month, name: partition.name, upper: partition.upper, jobs, end, lines, adopted }
    }

    fn job(&self, job: Id) -> [String; 2] {
        [
            event("job.scheduled", job, self.end - MINUTE, json!({})),
            event("job.finished", job, self.end, json!({ "status": "success" })),
        ]
    }

    /// Outcomes of its archives: at first one of them fails, `again` it does not, but where it is broken.
    fn archives(&self, index: usize, now: Millis, again: bool) -> Vec<String> {
        let tried = self.jobs.iter().take(if again { 1 } else { self.jobs.len() }).enumerate();
        let outcome = |(place, job): (usize, &Id)| {
            let fails = place == 0 && (!again || index == BROKEN);
            event(
                "log.archived",
                *job,
                now + Millis::from(again),
                json!({ "result": if fails { "failed" } else { "success" } }),
            )
        };
        let known = tried.filter(|_| index != FORGOTTEN).filter(|(place, _)| index != STRANGER || *place > 0);
        known.map(outcome).collect()
    }
}

/// One of the jobs of that year; ids follow from what it tells, so that nothing is told twice.
fn event(kind: &str, job: Id, time: Millis, more: Value) -> String {
    let job = Uuid::from_u128(job).to_string();
    let mut data = json!({
        "project_id": "de300000-0000-4000-8000-000000000f01", "pipeline_id": "de300000-0000-4000-8000-000000000f02",
        "pipeline": "last-year", "run_id": job, "job_id": job, "job": "build", "attempt": 1,
    });
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    let event = json!({
        "specversion": "1.0", "id": format!("{kind}/{job}/{time}"), "source": format!("{SOURCE}/demo"),
        "type": format!("io.gocdnext.{kind}"), "time": told(time), "datacontenttype": "application/json", "data": data,
    });
    event.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::retention::policy::DAY_MS;

    /// Any day: the last of a month, the first of the next.
    const NOWS: [Millis; 3] = [1_767_225_599_999, 1_767_225_600_000, 1_764_072_000_000];

    #[test]
    fn each_step_makes_one_more_month_due_and_the_newest_stays() {
        for now in NOWS {
            let mut year = Year::before(now);
            let due =
                |year: &Year, days: i64| year.months.iter().filter(|month| now > month.upper + days * DAY_MS).count();
            assert_eq!(due(&year, year.first_days()), 0, "{now}");
            for expected in 1..=11 {
                let step = year.step(now).unwrap();
                assert_eq!(due(&year, step.days), expected, "{now}: {step:?}");
            }
            let rest: Vec<Step> = std::iter::from_fn(|| year.step(now)).collect();
            assert!(rest.iter().all(|step| due(&year, step.days) == 11) && rest.len() == 2, "{rest:?}");
        }
    }

    #[test]
    fn what_it_says_keeps_to_the_contract() {
        let mut year = Year::before(NOWS[2]);
        let mut events = year.jobs();
        assert_eq!(events.len(), 2 * (11 * 4 - 1));
        events.extend(std::iter::from_fn(|| year.step(NOWS[2])).flat_map(|step| step.archived));
        let mut ids = std::collections::BTreeSet::new();
        for event in &events {
            let event: Value = serde_json::from_str(event).unwrap();
            assert!(ids.insert(event["id"].to_string()), "{event}");
        }
        let failed = events.iter().filter(|event| event.contains(r#""failed""#)).count();
        assert_eq!(failed, 10, "one in each of nine months, and another in the one that is broken");
        assert!(events.iter().all(|event| event.contains(r#""specversion":"1.0""#)));
    }
}
