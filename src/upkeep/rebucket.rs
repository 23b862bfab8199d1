//! `state rebucket`: stored histograms take on the bounds of the settings, exactly where that can be, from zero where not.
//!
//! It is a commit of a whole new ledger. The ledger's older blobs are of the old form: the details say from which epoch on
//! they count. All else stays as it lies.

use super::{holding::Holding, load, manifest, open_to_look};
use crate::{
    config::{Config, units},
    store::{Additions, Blob, Commit, Manifest, StoreError},
    wiring::{Details, LEDGER_LANE, RunError, stream_time},
};
use anyhow::anyhow;
use dataflows::{
    ledger::Ledger,
    names::Names,
    rebucket::{Buckets, Carried},
    settings::Settings,
    time::{Epoch, Millis},
};

/// The setting, and the series that have its bounds.
const fn names(buckets: Buckets) -> (&'static str, &'static str) {
    match buckets {
        Buckets::Duration => ("duration_buckets", "gocdnext_job_duration_seconds and gocdnext_run_duration_seconds"),
        Buckets::Queue => ("queue_buckets", "gocdnext_job_queue_seconds"),
    }
}

fn bounds(buckets: Buckets, settings: &mut Settings) -> &mut Vec<Millis> {
    match buckets {
        Buckets::Duration => &mut settings.duration_buckets_ms,
        Buckets::Queue => &mut settings.queue_buckets_ms,
    }
}

fn shown(bounds: &[Millis]) -> String {
    bounds.iter().map(|bound| units::show_duration(*bound)).collect::<Vec<_>>().join(",")
}

/// What would be done.
#[derive(Debug)]
pub struct Plan {
    config: Config,
    buckets: Buckets,
    new: Vec<Millis>,
}

/// Looks at the state; `None`: its series have these bounds already, or it has none yet.
pub async fn plan(mut config: Config, buckets: Buckets) -> Result<Option<Plan>, RunError> {
    let manifest = open_to_look(&config.state).await?.manifest().await?;
    let details = read(&manifest)?;
    let new = bounds(buckets, &mut config.dataflow).clone();
    let same = !details.shape.is_set() || *bounds(buckets, &mut load::settings_of(&details)) == new;
    Ok((!same).then_some(Plan { config, buckets, new }))
}

fn read(manifest: &Manifest) -> Result<Details, RunError> {
    manifest::details(manifest).map_err(|reason| RunError::Refused(anyhow!("the state's manifest: {reason}")))
}

impl Plan {
    /// Takes the lease and reads the ledger. `say` hears what is waited for.
    pub async fn hold(self, say: impl FnOnce(String)) -> Result<Held, RunError> {
        let holding = Holding::take(&self.config, say).await?;
        match self.work_out(&holding).await {
            Ok((ledger, details, carried)) => Ok(Held { holding, plan: self, ledger, details, carried }),
            Err(error) => {
                holding.release().await;
                Err(error)
            }
        }
    }

    /// The ledger on its new bounds, what is said of it, and what becomes of what was counted.
    async fn work_out(&self, holding: &Holding) -> Result<(Ledger, Details, Carried), RunError> {
        let mut details = read(&holding.manifest)?;
        let mut settings = load::settings_of(&details);
        let mut ledger = ledger(holding, &details, &settings).await?;
        let carried = ledger.rebucket(self.buckets, bounds(self.buckets, &mut settings), &self.new);
        match self.buckets {
            Buckets::Duration => details.shape.duration_buckets_ms.clone_from(&self.new),
            Buckets::Queue => details.shape.queue_buckets_ms.clone_from(&self.new),
        }
        Ok((ledger, details, carried))
    }
}

/// A plan whose state nobody else writes, worked out.
#[derive(Debug)]
pub struct Held {
    holding: Holding,
    plan: Plan,
    /// As it is to become.
    ledger: Ledger,
    details: Details,
    carried: Carried,
}

impl Held {
    /// What it means, for people who must agree; `None`: nothing is lost by it.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let Carried::Nothing { spans } = self.carried else { return None };
        let (setting, series) = names(self.plan.buckets);
        Some(format!(
            "Some of {setting} = {} are no bounds of the stored series, so nothing tells which spans lie below them.\n\
             - {series} start over from zero: {spans} spans are forgotten; Prometheus sees counters that were reset.\n\
             - Everything else stays. (With a choice from the old bounds nothing would be lost.)\n",
            shown(&self.plan.new),
        ))
    }

    /// Does it; what was done, in words.
    pub async fn carry_out(mut self) -> Result<String, RunError> {
        let done = self.commit().await;
        self.holding.release().await;
        done
    }

    /// Changes nothing.
    pub async fn give_up(self) {
        self.holding.release().await;
    }

    async fn commit(&mut self) -> Result<String, RunError> {
        let next = self.holding.next();
        let lane = self.ledger.whole();
        self.details.ledger_from = next.epoch;
        self.details.log.log_bytes += lane.bytes.len() as u64;
        let blobs = [Blob { epoch: next.epoch, lane: LEDGER_LANE, bytes: lane.bytes }];
        let manifest = Manifest { details: self.details.to_json(), ..next };
        let commit = Commit {
            previous: self.holding.manifest.epoch,
            manifest: &manifest,
            blobs: &blobs,
            additions: Additions::default(),
        };
        self.holding.store.commit(&commit).await?;
        let (setting, series) = names(self.plan.buckets);
        let what = match self.carried {
            Carried::All => "every span was carried over".to_owned(),
            Carried::Nothing { spans } => format!("without {spans} spans, from zero"),
        };
        let (epoch, new) = (manifest.epoch, shown(&self.plan.new));
        Ok(format!("epoch {epoch}: {setting} = {new} for {series}: {what}\n"))
    }
}

/// The ledger as it lies.
async fn ledger(holding: &Holding, details: &Details, settings: &Settings) -> Result<Ledger, RunError> {
    let mut snapshot = holding.store.snapshot().await?;
    let mut ledger = Ledger::new(settings, Names::new(usize::MAX >> 1));
    while let Some(blob) = snapshot.next().await? {
        let blob = blob.map_err(StoreError::Damaged)?;
        if blob.lane == LEDGER_LANE && blob.epoch >= details.ledger_from {
            ledger.load(&blob.bytes).map_err(|error| RunError::Refused(error.into()))?;
        }
    }
    ledger.loaded(Epoch(snapshot.manifest.epoch), stream_time(&snapshot.manifest));
    Ok(ledger)
}
