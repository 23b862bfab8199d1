//! What may happen next.

use super::{
    Epochs, Flaw, Request, Sent, State,
    instance::{Instance, Phase, Stage},
};
use std::fmt;

/// One step of one instance (by its place), or of the database with a request under way (by its place).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Start(usize),
    Look(usize),
    Claim(usize),
    ReadManifest(usize),
    ReadBlob(usize),
    Confirm(usize),
    ShowRestored(usize),
    /// So many records, so many keys swept.
    CutEpoch(usize, u8, u8),
    SendLetters(usize),
    GiveUp(usize),
    ReadManifestAgain(usize),
    Show(usize),
    GoOn(usize),
    Collect(usize, u8),
    NoticeLoss(usize),
    Crash(usize),
    CarryOut(usize, Sent),
    Lose(usize, Sent),
}

use Action::{
    CarryOut, Claim, Collect, Confirm, Crash, CutEpoch, GiveUp, GoOn, Look, Lose, NoticeLoss, ReadBlob, ReadManifest,
    ReadManifestAgain, SendLetters, Show, ShowRestored, Start,
};

impl Action {
    /// What nobody need wait for.
    pub const fn is_fault(self) -> bool {
        matches!(self, Crash(_) | Lose(..))
    }
}

pub fn offer(state: &State, model: &Epochs, offer: &mut Vec<Action>) {
    for at in 0..model.instances {
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

fn of_instance(state: &State, at: usize, model: &Epochs, offer: &mut Vec<Action>) {
    let Instance { phase, .. } = state.instances[at];
    if phase == Phase::Down {
        return offer.push(Start(at));
    }
    offer.push(Crash(at));
    if phase.generation().is_some_and(|ours| ours != state.database.manifest.generation) {
        offer.push(NoticeLoss(at));
    }
    let room = state.wire.contains(&None);
    match phase {
        Phase::Down => {}
        Phase::Standby if state.database.holder == Some(at as u8) => offer.push(Look(at)),
        Phase::Standby => offer.extend(room.then_some(Claim(at))),
        Phase::Claiming(_) => offer.push(GiveUp(at)),
        Phase::Claimed { .. } => offer.push(ReadManifest(at)),
        Phase::Restoring { from, next, .. } if next <= from.epoch => offer.push(ReadBlob(at)),
        Phase::Restoring { .. } => offer.push(Confirm(at)),
        Phase::Restored { .. } => offer.push(ShowRestored(at)),
        Phase::Working(writer, stage) => match stage {
            Stage::Reading => {
                if room {
                    let slices = |length| model.slices.clone().map(move |slice| CutEpoch(at, length, slice));
                    offer.extend(writer.lengths(model).flat_map(slices));
                }
                offer.extend(state.database.garbage(writer.known.horizon).map(|epoch| Collect(at, epoch)));
            }
            Stage::Ended(_) => offer.extend(room.then_some(SendLetters(at))),
            Stage::Waiting(commit) | Stage::Unknown(commit) => {
                let asks = matches!(stage, Stage::Unknown(_));
                offer.extend((asks && room).then_some(ReadManifestAgain(at)));
                offer.extend((!asks).then_some(GiveUp(at)));
                if model.has(Flaw::CollectsEarly) {
                    offer.extend(state.database.garbage(commit.manifest.horizon).map(|epoch| Collect(at, epoch)));
                }
            }
            Stage::Committed(_) => offer.push(Show(at)),
            Stage::Shown(_) => offer.push(GoOn(at)),
        },
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |at: &usize| ["A", "B"][*at];
        let (who, does) = match self {
            Start(at) => (name(at), "starts"),
            Look(at) => (name(at), "looks at the lease and finds that it is the holder"),
            Claim(at) => (name(at), "looks at the lease, takes the holder for silent and sends a claim"),
            ReadManifest(at) => (name(at), "reads the manifest"),
            ReadBlob(at) => (name(at), "reads the next epoch's blob"),
            Confirm(at) => (name(at), "has read all blobs and asks whether it still holds the lease"),
            ShowRestored(at) => (name(at), "shows what it has restored"),
            SendLetters(at) => (name(at), "has its dead letters acknowledged and sends its commit"),
            GiveUp(at) => (name(at), "gives up waiting for the answer"),
            ReadManifestAgain(at) => (name(at), "reads the manifest to know what became of its commit"),
            Show(at) => (name(at), "shows the epoch"),
            GoOn(at) => (name(at), "writes the epoch's log lines, and goes on"),
            NoticeLoss(at) => (name(at), "notices that it has lost the lease, and ends"),
            Crash(at) => (name(at), "is killed"),
            CutEpoch(at, length, slice) => {
                return write!(f, "{} cuts an epoch of {length} records, sweeping {slice} keys", name(at));
            }
            Collect(at, epoch) => return write!(f, "{} deletes the blob of epoch {epoch}", name(at)),
            CarryOut(_, sent) => return write!(f, "the database carries out {sent}"),
            Lose(_, sent) => return write!(f, "{sent} is lost"),
        };
        write!(f, "{who} {does}")
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = self.by.map_or("a dead process", |at| ["A", "B"][usize::from(at)]);
        match &self.request {
            Request::Claim { .. } => write!(f, "the claim of {whose}")?,
            Request::Commit(commit) => write!(f, "the commit of epoch {} by {whose}", commit.manifest.epoch)?,
        }
        write!(f, "{}", if self.awaited { "" } else { ", for whose answer nobody waits" })
    }
}
