//! What may happen next.

use super::{COMMITS, Flaw, INSTANCES, Leases, Phase, Request, Sent, State, TTL};
use std::fmt;

/// One step of one instance (by its place), or of the database with a request under way (by its place).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Time goes on.
    Tick,
    Start(usize),
    Look(usize),
    AnswerLook(usize),
    HearLook(usize),
    Claim(usize),
    HearAnswer(usize),
    Renew(usize),
    GiveUp(usize),
    Restore(usize),
    Commit(usize),
    Withdraw(usize),
    Leave(usize),
    Crash(usize),
    CarryOut(usize, Sent),
    Lose(usize, Sent),
}

use Action::{
    AnswerLook, CarryOut, Claim, Commit, Crash, GiveUp, HearAnswer, HearLook, Leave, Look, Lose, Renew, Restore,
    Start, Tick, Withdraw,
};

impl Action {
    /// What nobody need wait for.
    pub const fn is_fault(self) -> bool {
        matches!(self, Crash(_) | Lose(..))
    }
}

pub fn offer(state: &State, model: &Leases, offer: &mut Vec<Action>) {
    offer.push(Tick);
    for at in 0..INSTANCES {
        of_instance(state, at, model, offer);
    }
    for (at, sent) in state.wire.iter().enumerate() {
        if let Some(sent) = sent {
            offer.push(CarryOut(at, *sent));
            // while somebody waits, being lost looks like being late
            if !sent.awaited {
                offer.push(Lose(at, *sent));
            }
        }
    }
}

fn of_instance(state: &State, at: usize, model: &Leases, offer: &mut Vec<Action>) {
    let room = state.wire.contains(&None);
    if state.instances[at] != Phase::Down {
        offer.push(Crash(at));
    }
    match state.instances[at] {
        Phase::Down => offer.push(Start(at)),
        Phase::Standby(_) => offer.push(Look(at)),
        Phase::Looking { found: None, .. } => offer.push(AnswerLook(at)),
        Phase::Looking { .. } => offer.push(HearLook(at)),
        Phase::Suspects(_) => offer.extend(room.then_some(Claim(at))),
        Phase::Claiming { answer: Some(_), .. } => offer.extend([HearAnswer(at), GiveUp(at)]),
        Phase::Claiming { .. } | Phase::Leaving => offer.push(GiveUp(at)),
        Phase::Holder(holder) => {
            offer.extend((holder.asking.is_none() && room).then_some(Renew(at)));
            offer.extend(holder.asking.map(|_| GiveUp(at)));
            offer.extend(holder.asking.and_then(|(_, answer)| answer).map(|_| HearAnswer(at)));
            // a lease that was found is not a lease that was renewed
            offer.extend((holder.known.is_none() && holder.renewed < TTL).then_some(Restore(at)));
            offer.extend((holder.known.is_some() && state.committed < COMMITS).then_some(Commit(at)));
            let late = model.has(Flaw::WithdrawsByTask) && holder.renewed >= TTL && !holder.withdrawn;
            offer.extend(late.then_some(Withdraw(at)));
            offer.extend(room.then_some(Leave(at)));
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |at: &usize| ["A", "B"][*at];
        let (who, does) = match self {
            Tick => ("a tick", "passes"),
            Start(at) => (name(at), "starts"),
            Look(at) => (name(at), "asks for the lease"),
            AnswerLook(at) => ("the database", ["reads the lease for A", "reads the lease for B"][*at]),
            HearLook(at) => (name(at), "hears what the lease is"),
            Claim(at) => (name(at), "sends a claim"),
            Renew(at) => (name(at), "sends a renewal"),
            HearAnswer(at) => (name(at), "hears the answer"),
            GiveUp(at) => (name(at), "gives up waiting for the answer"),
            Restore(at) => (name(at), "restores the state and shows it"),
            Commit(at) => (name(at), "tries to commit, and to show it"),
            Withdraw(at) => (name(at), "gets to withdrawing its series"),
            Leave(at) => (name(at), "is told to end, and gives the lease back"),
            Crash(at) => (name(at), "is killed"),
            CarryOut(_, sent) => return write!(f, "the database carries out {sent}"),
            Lose(_, sent) => return write!(f, "{sent} is lost"),
        };
        write!(f, "{who} {does}")
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.request {
            Request::Claim(_) => "the claim",
            Request::Renew { .. } => "the renewal",
            Request::Release { .. } => "the release",
        };
        let whose = self.by.map_or("a dead process", |at| ["A", "B"][usize::from(at)]);
        write!(f, "{what} of {whose}{}", if self.awaited { "" } else { ", for whose answer nobody waits" })
    }
}
