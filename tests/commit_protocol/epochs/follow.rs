//! What follows from each step.

use super::{
    Action, Epochs, Flaw, Request, Sent, State,
    instance::{Phase, Seen, Stage, Writer},
    world::{Commit, Counts, Manifest, Record},
};
use gocdnext_flow::{
    lease::held_by,
    store::{self, Lease},
    wiring::outcome::{Attempt, Outcome, outcome},
};

pub fn follow(state: &mut State, action: Action, model: &Epochs) -> Result<(), String> {
    match action {
        Action::Start(at) => state.instances[at].phase = Phase::Standby,
        Action::Crash(at) | Action::NoticeLoss(at) => end(state, at),
        Action::CarryOut(place, sent) => carry_out(state, place, sent, model)?,
        Action::Lose(place, _) => state.wire[place] = None,
        Action::Look(at) | Action::Claim(at) => claim(state, at, model),
        Action::GiveUp(at) => give_up(state, at, model),
        Action::ReadManifest(at) | Action::ReadBlob(at) | Action::Confirm(at) | Action::ShowRestored(at) => {
            restore(state, at, model)?;
        }
        Action::Collect(_, epoch) => state.database.delete(epoch),
        Action::CutEpoch(at, ..)
        | Action::SendLetters(at)
        | Action::ReadManifestAgain(at)
        | Action::Show(at)
        | Action::GoOn(at) => {
            let Phase::Working(writer, stage) = state.instances[at].phase else { unreachable!("{action}") };
            work(state, at, action, (writer, stage), model)?;
        }
    }
    Ok(())
}

/// The process ends; what it has sent is still under way.
fn end(state: &mut State, at: usize) {
    state.instances[at] = super::Instance::default();
    let process = Some(at as u8);
    for sent in state.wire.iter_mut().flatten().filter(|sent| sent.by == process) {
        (sent.by, sent.awaited) = (None, false);
    }
    if state.database.holder == process {
        state.database.holder = None;
    }
}

fn send(state: &mut State, at: usize, request: Request) {
    let sent = Sent { request, by: Some(at as u8), awaited: true };
    let free = state.wire.iter().position(Option::is_none).expect("actions are offered only where there is room");
    state.wire[free] = Some(sent);
}

/// Looks at the lease. To look, to judge and to send are one step: what lies between is as if the claim were late.
fn claim(state: &mut State, at: usize, model: &Epochs) {
    let found = state.database.manifest;
    state.instances[at].phase = if let Some(generation) = held_by(&at.to_string(), &lease(state)) {
        Phase::Claimed { generation: generation as u8 }
    } else {
        let early = if model.has(Flaw::ReadsBeforeClaim) { found } else { Manifest::default() };
        send(state, at, Request::Claim { seen: found.generation });
        Phase::Claiming(Seen { generation: found.generation, early: Manifest { generation: 0, ..early } })
    };
}

fn lease(state: &State) -> Lease {
    let holder = state.database.holder.map_or_else(String::new, |at| at.to_string());
    let generation = state.database.manifest.generation.into();
    Lease { generation, beat: 0, instance_id: String::new(), holder, released: false, renewed_at_ms: 0 }
}

fn carry_out(state: &mut State, place: usize, sent: Sent, model: &Epochs) -> Result<(), String> {
    state.wire[place] = None;
    let granted = match &sent.request {
        Request::Claim { seen } => state.database.claim(*seen, sent.by, model),
        Request::Commit(commit) => state.database.commit(commit, model)?,
    };
    let Some(at) = sent.by.filter(|_| sent.awaited).map(usize::from) else { return Ok(()) };
    let phase = &mut state.instances[at].phase;
    *phase = match (*phase, granted) {
        (Phase::Claiming(Seen { generation, early }), true) if model.has(Flaw::ReadsBeforeClaim) => {
            restoring(Manifest { generation: generation + 1, ..early })
        }
        (Phase::Claiming(seen), true) => Phase::Claimed { generation: seen.generation + 1 },
        (Phase::Claiming(_), false) => Phase::Standby,
        (Phase::Working(writer, Stage::Waiting(commit)), true) => Phase::Working(writer, Stage::Committed(commit)),
        (Phase::Working(writer, Stage::Waiting(commit)), false) => Phase::Working(writer, Stage::Unknown(commit)),
        (other, _) => unreachable!("{other:?} waits for nothing"),
    };
    Ok(())
}

/// The request stays under way.
fn give_up(state: &mut State, at: usize, model: &Epochs) {
    for sent in state.wire.iter_mut().flatten().filter(|sent| sent.by == Some(at as u8)) {
        sent.awaited = false;
    }
    let phase = &mut state.instances[at].phase;
    *phase = match *phase {
        Phase::Claiming(_) => Phase::Standby,
        Phase::Working(mut writer, Stage::Waiting(commit)) => match model.flaw {
            Some(Flaw::TakesUnknownForSuccess) => Phase::Working(writer, Stage::Committed(commit)),
            Some(Flaw::TakesUnknownForFailure) => {
                writer.roll_back(model);
                Phase::Working(writer, Stage::Reading)
            }
            _ => Phase::Working(writer, Stage::Unknown(commit)),
        },
        other => unreachable!("{other:?} waits for nothing"),
    };
}

fn restoring(from: Manifest) -> Phase {
    Phase::Restoring { from, next: from.horizon, counts: Counts::default() }
}

fn restore(state: &mut State, at: usize, model: &Epochs) -> Result<(), String> {
    let found = state.database.manifest;
    match state.instances[at].phase {
        Phase::Claimed { generation } if generation != found.generation => end(state, at),
        Phase::Claimed { .. } => state.instances[at].phase = restoring(found),
        Phase::Restoring { from, next, mut counts } if next <= from.epoch => {
            state.database.lay_blob(next, &mut counts);
            state.instances[at].phase = Phase::Restoring { from, next: next + 1, counts };
        }
        Phase::Restoring { from, .. }
            if from.generation != found.generation && !model.has(Flaw::ShowsUnconfirmed) =>
        {
            end(state, at);
        }
        Phase::Restoring { from, counts, .. } => state.instances[at].phase = Phase::Restored { from, counts },
        Phase::Restored { from, counts } => {
            state.instances[at].phase = Phase::Working(Writer::new(from, counts), Stage::Reading);
            state.show(at, from.offset, counts, model)?;
        }
        other => unreachable!("{other:?} restores nothing"),
    }
    Ok(())
}

fn work(
    state: &mut State,
    at: usize,
    action: Action,
    (mut writer, stage): (Writer, Stage),
    model: &Epochs,
) -> Result<(), String> {
    let next = match (action, stage) {
        (Action::CutEpoch(_, length, slice), Stage::Reading) => {
            let commit = writer.cut(length, slice, model);
            let skips = !writer.uncertain(model).contains(&Record::Bad) || model.has(Flaw::CommitsBeforeLetters);
            if skips { send_commit(state, at, &writer, commit, model)? } else { Stage::Ended(commit) }
        }
        (Action::SendLetters(_), Stage::Ended(commit)) => {
            state.letter = true;
            send_commit(state, at, &writer, commit, model)?
        }
        (Action::ReadManifestAgain(_), Stage::Unknown(commit)) => match decide(state, &commit)? {
            Outcome::Committed => Stage::Committed(commit),
            Outcome::NotYet if model.has(Flaw::NeverSendsAgain) => stage,
            Outcome::NotYet => send_commit(state, at, &writer, commit, model)?,
            Outcome::Fenced | Outcome::Rewound { .. } => {
                end(state, at);
                return Ok(());
            }
        },
        (Action::Show(_), Stage::Committed(commit)) => {
            state.show(at, commit.manifest.offset, writer.counts, model)?;
            Stage::Shown(commit)
        }
        (Action::GoOn(_), Stage::Shown(commit)) => {
            state.write_lines(writer.known.offset, commit.manifest.offset)?;
            writer.go_on(&commit);
            Stage::Reading
        }
        (action, stage) => unreachable!("{action} in {stage:?}"),
    };
    state.instances[at].phase = Phase::Working(writer, next);
    Ok(())
}

/// Being sent and being late are one: whatever happens to the process before it sends is as if the commit were lost.
fn send_commit(
    state: &mut State,
    at: usize,
    writer: &Writer,
    commit: Commit,
    model: &Epochs,
) -> Result<Stage, String> {
    if model.has(Flaw::ShowsBeforeCommit) {
        state.show(at, commit.manifest.offset, writer.counts, model)?;
    }
    send(state, at, Request::Commit(commit));
    Ok(Stage::Waiting(commit))
}

/// By the function that the service decides by.
fn decide(state: &State, commit: &Commit) -> Result<Outcome, String> {
    let Manifest { generation, epoch, .. } = state.database.manifest;
    let found = store::Manifest { generation: generation.into(), epoch: epoch.into(), ..store::Manifest::default() };
    let Manifest { generation, epoch, .. } = commit.manifest;
    let attempt = Attempt { generation: generation.into(), previous: commit.previous.into(), epoch: epoch.into() };
    match outcome(attempt, &found) {
        Outcome::Rewound { .. } => Err("the database is found to have lost commits, which it has not".to_owned()),
        known => Ok(known),
    }
}
