//! Two instances and one lease, with time: who shows series when (I7).
//!
//! Time goes in ticks, the same for all, and may go on at any moment: between any two steps, so that any process may be
//! as slow as can be, or paused, and still be asked for its series. What an epoch holds is left out (`epochs` has it): a
//! commit adds one to a number, and the number is shown. A scraper looks at every instance all the time.

mod actions;
mod follow;

pub use actions::Action;

use crate::explorer::Model;

/// How the lease can be got wrong, one way at a time. `None` in the model: it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A claim compares the generation, not the beat.
    ClaimsLiving,
    /// A renewal counts from when its answer came, not from when it was asked for.
    CountsFromAnswer,
    /// Silence counts from when the look was asked for, not from when its answer came.
    SilentFromAsking,
    /// Whoever finds that an old claim was granted takes the lease for renewed just now.
    AdoptsAsFresh,
    /// Who shows series does not look at the clock; something else withdraws them once it gets to it.
    WithdrawsByTask,
    /// One waits for less than the other believes: another setting, or the same name.
    WaitsLess,
    /// The lease is given back while series are still shown.
    ReleasesWhileShowing,
}

/// See the module.
#[derive(Clone, Copy)]
pub struct Leases {
    /// Whether one that could not renew for the time to live withdraws its series.
    pub ha: bool,
    pub flaw: Option<Flaw>,
}

pub const INSTANCES: usize = 2;
const WIRE: usize = 2;
/// The time to live, in ticks. Ages are counted up to it.
const TTL: u8 = 2;
/// Commits in all.
const COMMITS: u8 = 1;

/// The lease as somebody saw it. Beats are only compared with the present one, so they are kept as 0 for that, and `OLD`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seen {
    generation: u8,
    beat: u8,
    released: bool,
}

const OLD: u8 = u8::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    Claim(Seen),
    Renew { generation: u8 },
    Release { generation: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sent {
    request: Request,
    /// Its process, while that lives.
    by: Option<u8>,
    awaited: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    #[default]
    Down,
    /// What it has seen, and for how many ticks it has been so. `None`: nothing yet.
    Standby(Option<(Seen, u8)>),
    /// The same while a look is under way: when it was asked for, and what the database has answered.
    Looking {
        before: Option<(Seen, u8)>,
        asked: u8,
        found: Option<(Seen, Option<u8>)>,
    },
    /// Silent for long enough.
    Suspects(Seen),
    /// A claim is under way since so many ticks, or answered by a generation.
    Claiming {
        asked: u8,
        answer: Option<Granted>,
    },
    Holder(Holder),
    Leaving,
}

/// What the database has answered to a claim: the new generation, or that the lease has changed.
type Granted = Option<u8>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    generation: u8,
    /// Ticks since the last granted request was asked for.
    renewed: u8,
    /// A renewal is under way since so many ticks, or answered.
    asking: Option<(u8, Option<bool>)>,
    /// What it may show, once it has restored.
    known: Option<u8>,
    /// Only where something beside the clock withdraws.
    withdrawn: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    lease: Seen,
    /// The process that the lease names, while it lives.
    holder: Option<u8>,
    committed: u8,
    wire: [Option<Sent>; WIRE],
    instances: [Phase; INSTANCES],
    /// The most that was ever shown.
    most: u8,
}

impl Leases {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// What a scrape of the instance gives.
    pub fn shown(&self, state: &State, at: usize) -> Option<u8> {
        let Phase::Holder(holder) = state.instances[at] else { return None };
        let by_clock = !self.has(Flaw::WithdrawsByTask) && holder.renewed >= TTL;
        holder.known.filter(|_| !self.ha || !(by_clock || holder.withdrawn))
    }

    /// What both show, where both do.
    pub fn both(&self, state: &State) -> Option<(u8, u8)> {
        self.shown(state, 0).zip(self.shown(state, 1))
    }
}

impl Model for Leases {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        State { lease: Seen { released: true, ..Seen::default() }, ..State::default() }
    }

    fn actions(&self, state: &State, offer: &mut Vec<Action>) {
        actions::offer(state, self, offer);
    }

    fn is_fault(&self, action: Action) -> bool {
        action.is_fault()
    }

    fn follow(&self, state: &State, action: Action) -> Result<State, String> {
        let mut next = *state;
        follow::follow(&mut next, action, self);
        next.normalize(self);
        let shown = (0..INSTANCES).filter_map(|at| self.shown(&next, at)).max();
        next.most = next.most.max(shown.unwrap_or_default());
        Ok(next)
    }

    fn check(&self, state: &State) -> Result<(), String> {
        if !self.ha {
            return Ok(());
        }
        if let Some((a, b)) = self.both(state) {
            return Err(format!("both show series: A shows {a} and B {b}"));
        }
        let behind = |shown: &u8| *shown < state.most;
        match (0..INSTANCES).find_map(|at| self.shown(state, at).filter(behind)) {
            Some(shown) => Err(format!("{shown} is shown after {}", state.most)),
            None => Ok(()),
        }
    }

    fn is_done(&self, state: &State) -> bool {
        state.committed == COMMITS && (0..INSTANCES).any(|at| self.shown(state, at) == Some(COMMITS))
    }
}

impl State {
    /// The same state in the same words.
    fn normalize(&mut self, model: &Leases) {
        let current = self.lease;
        let word = |seen: &mut Seen| seen.beat = if *seen == current { 0 } else { OLD };
        for phase in &mut self.instances {
            match phase {
                Phase::Standby(Some((seen, _))) | Phase::Suspects(seen) => word(seen),
                Phase::Looking { before, found, .. } => {
                    for seen in before.iter_mut().map(|(seen, _)| seen).chain(found.iter_mut().map(|(seen, _)| seen))
                    {
                        word(seen);
                    }
                }
                Phase::Down | Phase::Standby(None) | Phase::Claiming { .. } | Phase::Holder(_) | Phase::Leaving => {}
            }
        }
        for sent in self.wire.iter_mut().flatten() {
            if let Request::Claim(seen) = &mut sent.request {
                word(seen);
            }
        }
        self.lease.beat = 0;
        self.forget_vain(model);
        self.rank_generations();
        self.wire.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// What nobody waits for and cannot succeed any more is as good as lost.
    fn forget_vain(&mut self, model: &Leases) {
        let lease = self.lease;
        let may_succeed = |request: &Request| match request {
            Request::Claim(seen) => follow::may_claim(seen, &lease, model),
            Request::Renew { generation } | Request::Release { generation } => *generation == lease.generation,
        };
        self.wire.iter_mut().for_each(|sent| *sent = sent.filter(|sent| sent.awaited || may_succeed(&sent.request)));
    }

    /// Generations are only compared: their ranks will do.
    fn rank_generations(&mut self) {
        let mut all = vec![&mut self.lease.generation];
        for phase in &mut self.instances {
            match phase {
                Phase::Standby(Some((seen, _))) | Phase::Suspects(seen) => all.push(&mut seen.generation),
                Phase::Claiming { answer, .. } => all.extend(answer.iter_mut().flatten()),
                Phase::Looking { before, found, .. } => {
                    all.extend(before.iter_mut().map(|(seen, _)| &mut seen.generation));
                    all.extend(found.iter_mut().map(|(seen, _)| &mut seen.generation));
                }
                Phase::Holder(holder) => all.push(&mut holder.generation),
                Phase::Down | Phase::Standby(None) | Phase::Leaving => {}
            }
        }
        all.extend(self.wire.iter_mut().flatten().map(|sent| match &mut sent.request {
            Request::Claim(seen) => &mut seen.generation,
            Request::Renew { generation } | Request::Release { generation } => generation,
        }));
        crate::explorer::rank(all);
    }
}
