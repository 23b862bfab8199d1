//! `state reset`: forgets what was counted, and says from where to count anew.
//!
//! It is a commit as any other, of an epoch without blobs from which on nothing older is needed. So `run` begins as at its
//! first start: it counts up to the ends that it finds and shows nothing before (I2).

use super::{holding::Holding, manifest, open_to_look, show};
use crate::{
    config::Config,
    sources::kafka::{self, Point, Survey},
    store::{Additions, Commit, Manifest, StoreError},
    wiring::{Details, RunError},
};
use std::fmt::Write as _;

/// What would be done.
#[derive(Debug)]
pub struct Plan {
    config: Config,
    point: Point,
    survey: Survey,
    /// What is there; `None`: nothing was ever committed.
    before: Option<Manifest>,
}

/// Looks at the state and asks Kafka; changes nothing.
pub async fn plan(config: Config, point: Point) -> Result<Plan, RunError> {
    let before = match open_to_look(&config.state).await {
        Ok(store) => Some(store.manifest().await?).filter(|manifest| manifest.epoch > 0),
        Err(RunError::Settings(error)) if is_absent(&error) => None,
        Err(error) => return Err(error),
    };
    let asked = config.clone();
    let survey = tokio::task::spawn_blocking(move || kafka::survey(&asked, point)).await;
    Ok(Plan { config, point, survey: survey.map_err(anyhow::Error::from)??, before })
}

fn is_absent(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::Absent { .. }))
}

impl Plan {
    /// What it means, for people who must agree; `None`: nothing is lost by it.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let before = self.before.as_ref()?;
        let (state, topic) = (&self.config.state, &self.config.topic);
        let mut text = format!("This forgets what {state} holds: epoch {}", before.epoch);
        if let Some(time) = before.stream_time_ms {
            let _ = write!(text, ", counted up to {}", show::time(time));
        }
        let old = manifest::details(before).unwrap_or_default().topic;
        if old != *topic {
            let old = if old.is_empty() { "a replay".to_owned() } else { format!("topic {old}") };
            let _ = write!(text, ", of {old}");
        }
        let _ = write!(
            text,
            ".\nCounting begins anew in topic {topic}, {}: {} records are there to be read.\n\
             - Every series starts over from zero; Prometheus sees counters that were reset, rate() and increase() bear it.\n\
             - What is known of jobs, runs and agents is forgotten: gauges hold only what the events read from now on tell.\n\
             - Events before that point are not counted{}.\n\
             - Whatever is read again is counted again, and its dead letters are sent again.\n\
             - What retention knows stays.\n",
            self.place(),
            self.survey.records(),
            if self.point == Point::Earliest { " (Kafka has none)" } else { "" },
        );
        Some(text)
    }

    fn place(&self) -> String {
        match self.point {
            Point::Earliest => "with the earliest record that Kafka has".to_owned(),
            Point::Latest => "with what comes from now on".to_owned(),
            Point::Time(time) => format!("with the first records from {} on", show::time(time)),
        }
    }

    /// Takes the lease. `say` hears what is waited for.
    pub async fn hold(self, say: impl FnOnce(String)) -> Result<Held, RunError> {
        let holding = Holding::take(&self.config, say).await?;
        Ok(Held { holding, plan: self })
    }
}

/// A plan whose state nobody else writes.
#[derive(Debug)]
pub struct Held {
    holding: Holding,
    plan: Plan,
}

impl Held {
    /// Does it; what was done, in words.
    pub async fn carry_out(self) -> Result<String, RunError> {
        let Self { holding, plan } = self;
        let mut done = reset(&holding, &plan).await;
        if let Ok(told) = &mut done {
            told.push_str(&holding.collect().await);
        }
        holding.release().await;
        done
    }

    /// Changes nothing.
    pub async fn give_up(self) {
        self.holding.release().await;
    }
}

async fn reset(holding: &Holding, plan: &Plan) -> Result<String, RunError> {
    let details = details(plan);
    let next = holding.next();
    let manifest = Manifest { horizon: next.epoch, stream_time_ms: None, details: details.to_json(), ..next };
    let commit =
        Commit { previous: holding.manifest.epoch, manifest: &manifest, blobs: &[], additions: Additions::default() };
    holding.store.commit(&commit).await?;
    let topic = &plan.config.topic;
    Ok(format!("epoch {}: the next start begins in topic {topic}, {}\n", manifest.epoch, plan.place()))
}

/// From the earliest record on is where every partition without an offset begins, even if Kafka deletes some before that.
fn details(plan: &Plan) -> Details {
    let at = if plan.point == Point::Earliest { None } else { Some(&plan.survey.at) };
    Details {
        topic: plan.config.topic.clone(),
        topic_id: plan.survey.topic_id.clone(),
        offsets: at.into_iter().flatten().map(|(partition, next)| (*partition, next.0)).collect(),
        ..Details::default()
    }
}
