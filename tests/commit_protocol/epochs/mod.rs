//! Two instances, one log, one database: who may commit what, and what may be shown (I2, I4, I5).
//!
//! Time is left out: an instance may take any other for silent at any moment and claim the lease, so nothing that is found
//! to hold here rests on a clock. A process that stands still for however long (SIGSTOP, a long pause) is one whose steps
//! come late. A request that was given up on, or whose sender is dead, may still be carried out at any later moment, once,
//! or never: so do lost answers look. The observer looks at every instance all the time.

mod actions;
mod follow;
mod instance;
mod world;

pub use actions::Action;
pub use world::Record;

use crate::explorer::Model;
use instance::Instance;
use std::ops::RangeInclusive;
use world::{Commit, Counts, Database, Manifest, fold};

/// How the protocol can be got wrong, one way at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A commit compares the epoch, not the generation.
    NoFence,
    /// A claim compares nothing.
    ClaimsBlindly,
    /// The manifest is read before the claim.
    ReadsBeforeClaim,
    /// What was restored is shown without asking whether the lease is still held.
    ShowsUnconfirmed,
    ShowsBeforeCommit,
    TakesUnknownForFailure,
    TakesUnknownForSuccess,
    /// Garbage is collected up to a horizon that is not known to be committed.
    CollectsEarly,
    CommitsBeforeLetters,
    /// A commit that has not happened is waited for, not sent again.
    NeverSendsAgain,
}

/// See the module.
#[derive(Clone)]
pub struct Epochs {
    pub log: &'static [Record],
    /// With more epochs than records some may be idle.
    pub last_epoch: u8,
    /// How many keys an epoch may sweep.
    pub slices: RangeInclusive<u8>,
    /// How many instances ever start.
    pub instances: usize,
    pub flaw: Option<Flaw>,
}

const INSTANCES: usize = 2;
/// Requests under way at once.
const WIRE: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    Claim { seen: u8 },
    Commit(Commit),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sent {
    pub request: Request,
    /// Its process, while that lives.
    pub by: Option<u8>,
    /// Whether the process waits for the answer.
    pub awaited: bool,
}

impl Sent {
    /// Generations and epochs only grow: what compares with an older one is as good as lost.
    fn may_succeed(&self, current: &Manifest) -> bool {
        match self.request {
            Request::Claim { seen } => seen == current.generation,
            Request::Commit(commit) => {
                commit.manifest.generation == current.generation && commit.previous == current.epoch
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    pub database: Database,
    /// Sorted: no order is kept on the way.
    pub wire: [Option<Sent>; WIRE],
    pub instances: [Instance; INSTANCES],
    /// Whether the bad record was sent to the dead letters, once or more often.
    letter: bool,
    /// Whether the log line of the first record was written. It stands for all: each is read and written alike.
    line: bool,
    /// The most that the first instance has ever shown. It stands for both: they are alike.
    peak: u8,
    /// The most that any has ever shown.
    most: u8,
}

impl Model for Epochs {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        State::default()
    }

    fn actions(&self, state: &State, offer: &mut Vec<Action>) {
        actions::offer(state, self, offer);
    }

    fn is_fault(&self, action: Action) -> bool {
        action.is_fault()
    }

    fn follow(&self, state: &State, action: Action) -> Result<State, String> {
        let mut next = *state;
        follow::follow(&mut next, action, self)?;
        next.normalize(self);
        Ok(next)
    }

    fn check(&self, state: &State) -> Result<(), String> {
        state.check(self)
    }

    fn is_done(&self, state: &State) -> bool {
        let manifest = state.database.manifest;
        let shows =
            |of: &Instance| of.phase.generation() == Some(manifest.generation) && of.shown == Some(self.log_end());
        manifest.offset == self.log_end() && state.instances.iter().any(shows)
    }
}

impl Epochs {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn log_end(&self) -> u8 {
        self.log.len() as u8
    }

    /// The records before an offset.
    fn before(&self, offset: u8) -> &[Record] {
        &self.log[..usize::from(offset)]
    }
}

impl State {
    fn check(&self, model: &Epochs) -> Result<(), String> {
        let database = &self.database;
        let (restored, expected) = (database.restored(), fold(model.before(database.manifest.offset)));
        if restored != expected {
            let offset = database.manifest.offset;
            return Err(format!(
                "committed up to {offset}, but a restore gives {restored:?} instead of {expected:?}"
            ));
        }
        let passed = model.before(database.manifest.offset).contains(&Record::Bad);
        if passed && !self.letter {
            return Err("the bad record is passed and no dead letter was sent".to_owned());
        }
        let current = |of: &&Instance| of.phase.generation() == Some(database.manifest.generation);
        if self.instances.iter().filter(current).count() > 1 {
            return Err("two instances hold the current generation".to_owned());
        }
        Ok(())
    }

    /// An instance shows what it takes for the state up to an offset.
    fn show(&mut self, at: usize, offset: u8, counts: Counts, model: &Epochs) -> Result<(), String> {
        let committed = self.database.manifest.offset;
        if offset > committed {
            return Err(format!("offset {offset} is shown, and {committed} is committed"));
        }
        let expected = fold(model.before(offset));
        if counts != expected {
            return Err(format!("{counts:?} is shown as the state at {offset}, which is {expected:?}"));
        }
        if at == 0 && offset < self.peak {
            return Err(format!("A shows {offset} where it has shown {} before", self.peak));
        }
        let current = self.instances[at].phase.generation() == Some(self.database.manifest.generation);
        if current && offset < self.most {
            return Err(format!("the holder shows {offset}, and {} was shown before", self.most));
        }
        self.most = self.most.max(offset);
        self.peak = if at == 0 { offset } else { self.peak };
        self.instances[at].shown = Some(offset);
        Ok(())
    }

    /// The log lines of an epoch.
    fn write_lines(&mut self, from: u8, to: u8) -> Result<(), String> {
        let first = from == 0 && to > 0;
        if first && self.line {
            return Err("the log line of the first record is written twice".to_owned());
        }
        self.line |= first;
        Ok(())
    }

    /// The same state in the same words: generations are only ever compared, so that their ranks will do.
    fn normalize(&mut self, model: &Epochs) {
        if !model.has(Flaw::NoFence) && !model.has(Flaw::ClaimsBlindly) {
            let current = self.database.manifest;
            self.wire
                .iter_mut()
                .for_each(|sent| *sent = sent.filter(|sent| sent.awaited || sent.may_succeed(&current)));
        }
        self.wire.sort_unstable_by(|a, b| b.cmp(a));
        if model.has(Flaw::ClaimsBlindly) {
            return; // its generations are not new ones
        }
        let mut all: Vec<&mut u8> = vec![&mut self.database.manifest.generation];
        all.extend(self.instances.iter_mut().flat_map(|instance| instance.phase.generations()));
        all.extend(self.wire.iter_mut().flatten().map(|sent| match &mut sent.request {
            Request::Claim { seen } => seen,
            Request::Commit(commit) => &mut commit.manifest.generation,
        }));
        crate::explorer::rank(all);
    }
}
