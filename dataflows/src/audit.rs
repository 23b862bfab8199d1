//! Looks at stored state without going on from it: whether it is whole, and what it holds.
//!
//! It takes blobs in as a worker does that owns everything, and asks more of them: every entry must belong to the worker
//! that wrote it, and what is kept must add up to the gauges, which come from another lane.

use crate::{
    graph::Machines,
    ledger::Ledger,
    machines::RunsCensus,
    names::Names,
    registry::Snapshot,
    route::Share,
    settings::{Limits, Retention, Settings},
    state::{self, Unusable},
    time::{Epoch, StreamTime},
};
use std::sync::Arc;

/// No bound on state bites in an audit: all that is stored is counted.
const BEYOND: usize = 1 << 40;

/// See the module.
#[derive(Debug)]
pub struct Audit {
    machines: Machines,
    ledger: Ledger,
    names: Names,
    /// Of the workers' blobs.
    entries: u64,
}

/// What stored state holds.
#[derive(Clone, Debug)]
pub struct Contents {
    pub runs: RunsCensus,
    pub agents: usize,
    pub agents_online: usize,
    /// Logs that may want archiving.
    pub archives: usize,
    /// Deliveries, by fingerprint.
    pub deliveries: usize,
    pub names: usize,
    /// Stored changes and sweeps of all these, before later ones replaced earlier ones.
    pub entries: u64,
    pub snapshot: Snapshot,
}

impl Audit {
    /// `settings`: buckets and label lists must be those of the stored series.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let limits = Limits { max_remembered_ids: BEYOND, max_pending_archives: BEYOND, ..settings.limits.clone() };
        // what was stored with retention on is looked at, too
        let retention = Retention { on: true, ..settings.retention.clone() };
        let settings = Settings { retention, limits, ..settings.clone() };
        let names = Names::new(BEYOND);
        let ledger = Ledger::new(&settings, names.clone());
        Self { machines: Machines::new(&Arc::new(settings), Share::WHOLE.peers), ledger, names, entries: 0 }
    }

    /// Takes in a blob of the lane of worker `lane`, in order of epoch.
    ///
    /// # Errors
    /// [`Unusable`]
    pub fn worker(&mut self, lane: usize, blob: &[u8]) -> Result<(), Unusable> {
        let blob = state::parse(blob)?;
        let Share { worker, peers } = blob.writer;
        if worker != lane || worker >= peers {
            return Err(Unusable::damaged(format!("it was written by worker {worker} of {peers}")));
        }
        let (mut entries, mut astray) = (0, 0);
        self.machines.take_in(&blob, &mut |route| {
            entries += 1;
            astray += u64::from(!blob.writer.owns(route));
            true
        })?;
        self.entries += entries;
        if astray > 0 {
            return Err(Unusable::damaged(format!("{astray} entries are not those of worker {worker} of {peers}")));
        }
        Ok(())
    }

    /// Takes in a blob of the ledger's lane, in order of epoch.
    ///
    /// # Errors
    /// [`Unusable`]
    pub fn ledger(&mut self, blob: &[u8]) -> Result<(), Unusable> {
        self.ledger.load(blob)
    }

    /// All is taken in; this was the last of the epochs.
    ///
    /// # Errors
    /// [`Unusable`] where the entries do not fit together.
    pub fn finish(mut self, epoch: Epoch, stream_time: StreamTime) -> Result<Contents, Unusable> {
        self.machines.loaded(stream_time)?;
        self.ledger.loaded(epoch, stream_time);
        let Machines { jobs, agents, deliveries } = &self.machines;
        let (agents, agents_online) = agents.census();
        Ok(Contents {
            runs: jobs.runs.census(),
            archives: jobs.archives.as_ref().map_or(0, |archives| archives.census().0),
            agents,
            agents_online,
            deliveries: deliveries.remembered(),
            names: self.names.len() - 1,
            entries: self.entries,
            snapshot: self.ledger.snapshot(),
        })
    }
}

impl Contents {
    /// Where what is kept is not what the gauges say; empty: they agree.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        let (runs, totals) = (&self.runs, &self.snapshot.totals);
        let pairs = [
            ("jobs running", runs.jobs_running, totals.jobs_running),
            ("jobs pending", runs.jobs_pending, totals.jobs_pending),
            ("jobs dispatchable", runs.jobs_dispatchable, totals.jobs_dispatchable),
            ("runs queued", runs.runs_queued, totals.runs_queued),
            ("agents online", self.agents_online, totals.agents_online),
        ];
        let differs = |(what, kept, shown): (&str, usize, i64)| {
            (i64::try_from(kept) != Ok(shown)).then(|| format!("{what}: {kept} are kept, {shown} are shown"))
        };
        let mut found: Vec<String> = pairs.into_iter().filter_map(differs).collect();
        if runs.oldest_dispatchable != totals.oldest_dispatchable {
            found.push(format!(
                "the oldest dispatchable job: {:?} is kept, {:?} is shown",
                runs.oldest_dispatchable, totals.oldest_dispatchable
            ));
        }
        let nameless = self.snapshot.pipelines.values().filter(|slug| slug.0 as usize > self.names).count();
        if nameless > 0 {
            found.push(format!("{nameless} pipelines have a slug that is not among the {} names", self.names));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{AgentEvent, Kind, RunEvent, Status},
        graph::Lane,
        machines::{AgentsMachine, Close, Closed, JobsMachine, Machine},
        names::NameId,
        route::{owner, route},
        series::Deltas,
        state::{Section, Sweep, Table, Writer},
    };

    /// The blob of an agent that is online, as its owner of two workers writes it.
    fn online(agent: u128) -> (usize, Vec<Section>) {
        let settings = Arc::new(Settings::default());
        let mut machine = AgentsMachine::new(Arc::clone(&settings), 2);
        machine.record();
        machine.apply(&AgentEvent { kind: Kind::AgentConnected, time: 5, agent });
        machine
            .close(Close { now: StreamTime(6), last: false, sweep: Sweep::default() }, &mut Closed::new(&settings));
        let mut entries = Writer::default();
        machine.save(Sweep::default(), &mut entries);
        (owner(route(agent), 2), Section::of(Table::Agents, entries).into_iter().collect())
    }

    fn audited(writer: Share, lane: usize, shown: i64) -> Result<Vec<String>, Unusable> {
        let settings = Settings::default();
        let mut ledger = Ledger::new(&settings, Names::new(9));
        ledger.fold(Epoch(1), StreamTime(6), Deltas { agents_online: shown, ..Deltas::new(&settings) });
        let mut audit = Audit::new(&settings);
        audit.worker(lane, &Lane::of(writer, online(7).1).bytes)?;
        audit.ledger(&ledger.blob(Sweep::default()).unwrap().bytes)?;
        Ok(audit.finish(Epoch(1), StreamTime(6))?.contradictions())
    }

    #[test]
    fn what_is_kept_must_be_what_is_shown() {
        let worker = online(7).0;
        let writer = Share { worker, peers: 2 };
        assert_eq!(audited(writer, worker, 1), Ok(vec![]));
        assert_eq!(audited(writer, worker, 2), Ok(vec!["agents online: 1 are kept, 2 are shown".to_owned()]));
    }

    /// The entry of an attempt of this run that has ended, as retention keeps it.
    fn archive(run: u128) -> Vec<Section> {
        use crate::machines::Work;
        let retention = Retention { on: true, ..Retention::default() };
        let settings = Settings { retention, ..Settings::default() };
        let mut machine = JobsMachine::new(Arc::new(settings.clone()), 1);
        machine.record();
        let (status, slug, name) = (Status::Success, NameId::OTHER, NameId::OTHER);
        machine.apply(&RunEvent {
            kind: Kind::JobFinished,
            time: 5,
            tie: 0,
            run,
            project: 1,
            pipeline: 2,
            job: 3,
            agent: 4,
            trace: 0,
            attempt: 1,
            slug,
            name,
            status,
            dispatchable: true,
            exit_code: None,
        });
        let at = Close { now: StreamTime(1_000_000), last: false, sweep: Sweep::default() };
        machine.close(at, None, &mut Closed::new(&settings));
        let sections = Work::sections(&mut machine, Sweep::default());
        sections.into_iter().filter(|section| section.table == Table::Archives as u8).collect()
    }

    #[test]
    fn what_retention_stored_is_looked_at_whether_it_is_on_or_not() {
        let (owner, sections) = (owner(route(7), 2), archive(7));
        let looked_at = |worker: usize| {
            let mut audit = Audit::new(&Settings::default());
            let blob = Lane::of(Share { worker, peers: 2 }, sections.clone());
            audit.worker(worker, &blob.bytes)?;
            audit.finish(Epoch(1), StreamTime(6)).map(|contents| contents.archives)
        };
        assert_eq!(looked_at(owner), Ok(1));
        assert!(looked_at(1 - owner).unwrap_err().to_string().contains("1 entries are not those"));
    }

    #[test]
    fn an_entry_must_be_its_writers() {
        let other = 1 - online(7).0;
        let told = |result: Result<Vec<String>, Unusable>| result.unwrap_err().to_string();
        let astray = told(audited(Share { worker: other, peers: 2 }, other, 1));
        assert!(astray.contains(&format!("1 entries are not those of worker {other} of 2")), "{astray}");
        let lane = told(audited(Share { worker: other, peers: 2 }, 1 - other, 1));
        assert!(lane.contains(&format!("it was written by worker {other} of 2")), "{lane}");
        assert!(audited(Share { worker: 2, peers: 2 }, 2, 1).is_err());
    }
}
