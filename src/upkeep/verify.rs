//! `state verify`: reads all of it, and names whatever is not as it was written or does not fit together.

use super::{
    load::{self, Loaded},
    manifest, open_to_look,
};
use crate::{
    store::{Damage, Snapshot, StateUrl, Store, StoreError, commit},
    wiring::{Details, LEDGER_LANE, RunError},
};
use indicatif::HumanBytes;

/// What was looked at, in words, and all that is wrong.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub checked: Vec<(&'static str, String)>,
    pub damages: Vec<Damage>,
}

/// Looks at everything; the state may be written meanwhile.
pub async fn verify(url: &StateUrl) -> Result<Findings, RunError> {
    let mut findings = Findings::default();
    match findings.look(url).await {
        Ok(()) => Ok(findings),
        // so broken that it could not be read on
        Err(RunError::Refused(error)) => match error.downcast::<StoreError>() {
            Ok(StoreError::Damaged(damage)) => {
                findings.damages.push(damage);
                Ok(findings)
            }
            Ok(error) => Err(error.into()),
            Err(error) => Err(RunError::Refused(error)),
        },
        Err(error) => Err(error),
    }
}

impl Findings {
    async fn look(&mut self, url: &StateUrl) -> Result<(), RunError> {
        let store = open_to_look(url).await?;
        self.file(&store).await?;
        let mut snapshot = store.snapshot().await?;
        let details = self.manifest(&snapshot);
        self.beside(&mut snapshot).await?;
        if let Some(details) = details {
            self.loaded(load::load(&mut snapshot, &details).await?);
        }
        Ok(())
    }

    async fn file(&mut self, store: &Store) -> Result<(), RunError> {
        if store.url().path().is_none() {
            return Ok(());
        }
        let damages = store.check_file().await?;
        if damages.is_empty() {
            self.checked.push(("file", "its pages and indexes are as SQLite wants them".to_owned()));
        }
        self.damages.extend(damages);
        Ok(())
    }

    /// `None`: its details cannot be read, so that nobody knows what the blobs should look like.
    fn manifest(&mut self, snapshot: &Snapshot) -> Option<Details> {
        let manifest = &snapshot.manifest;
        let damage = |reason| Damage { table: commit::TABLE, chunk: None, reason };
        match manifest::details(manifest) {
            Ok(details) => {
                let faults = manifest::faults(manifest, &details, &snapshot.lease);
                if faults.is_empty() {
                    let (epoch, horizon, partitions) = (manifest.epoch, manifest.horizon, details.offsets.len());
                    let told = format!("epoch {epoch}, horizon {horizon}, offsets of {partitions} partitions");
                    self.checked.push(("manifest", told));
                }
                self.damages.extend(faults.into_iter().map(damage));
                Some(details)
            }
            Err(reason) => {
                self.damages.push(damage(reason));
                None
            }
        }
    }

    async fn beside(&mut self, snapshot: &mut Snapshot) -> Result<(), RunError> {
        let (garbage, strays) = snapshot.beside().await?;
        if strays > 0 {
            let reason = format!("{strays} blobs are of epochs behind the manifest's");
            self.damages.push(Damage { table: crate::store::blobs::TABLE, chunk: None, reason });
        }
        if garbage > 0 {
            let told = format!("{garbage} blobs lie below the horizon, are not needed and were not looked at");
            self.checked.push(("garbage", told));
        }
        Ok(())
    }

    fn loaded(&mut self, loaded: Loaded) {
        let Loaded { blobs, bytes, lanes, damages, contents } = loaded;
        let workers = lanes.iter().filter(|lane| **lane != LEDGER_LANE).count();
        let read = format!("{blobs} of {workers} workers and the ledger, {}", HumanBytes(bytes));
        self.checked.push(("blobs", read));
        if let Some(contents) = contents.filter(|_| damages.is_empty()) {
            let runs = contents.runs;
            self.checked.push(("entries", format!("{}, each with the worker that owns it", contents.entries)));
            let (jobs, kept, agents) = (runs.jobs, runs.runs, contents.agents);
            let remembered = runs.remembered + contents.deliveries;
            let told = format!("{jobs} jobs, {kept} runs, {agents} agents and {remembered} remembered ids load");
            self.checked.push(("state", told));
            let totals = &contents.snapshot.totals;
            let gauges = format!(
                "{} jobs running, {} pending, {} dispatchable, {} runs queued, {} agents online: as many as are kept",
                totals.jobs_running,
                totals.jobs_pending,
                totals.jobs_dispatchable,
                totals.runs_queued,
                totals.agents_online
            );
            self.checked.push(("gauges", gauges));
            let (pipelines, names) = (contents.snapshot.pipelines.len(), contents.names);
            self.checked.push(("ledger", format!("{pipelines} pipelines, {names} names")));
        }
        self.damages.extend(damages);
    }
}
