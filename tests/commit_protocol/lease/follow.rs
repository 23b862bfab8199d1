//! What follows from each step.

use super::{Action, COMMITS, Flaw, Holder, Leases, Phase, Request, Seen, Sent, State, TTL};
use gocdnext_flow::{
    lease::{
        held_by,
        silence::{Silence, Verdict},
    },
    store::Lease,
};
use std::time::{Duration, Instant};

pub fn follow(state: &mut State, action: Action, model: &Leases) {
    match action {
        Action::Tick => state.instances.iter_mut().for_each(|phase| tick(phase, model)),
        Action::Start(at) => state.instances[at] = Phase::Standby(None),
        Action::Crash(at) => end(state, at),
        Action::CarryOut(place, sent) => carry_out(state, place, sent, model),
        Action::Lose(place, _) => state.wire[place] = None,
        Action::Look(at) | Action::AnswerLook(at) | Action::HearLook(at) => look(state, at, model),
        Action::Claim(at) => {
            let Phase::Suspects(seen) = state.instances[at] else { unreachable!("{action}") };
            send(state, at, Request::Claim(seen));
            state.instances[at] = Phase::Claiming { asked: 0, answer: None };
        }
        Action::HearAnswer(at) => hear(state, at, model),
        Action::GiveUp(at) => give_up(state, at),
        Action::Renew(at) | Action::Restore(at) | Action::Commit(at) | Action::Withdraw(at) | Action::Leave(at) => {
            let Phase::Holder(holder) = state.instances[at] else { unreachable!("{action}") };
            hold(state, at, action, holder, model);
        }
    }
}

fn tick(phase: &mut Phase, model: &Leases) {
    let older = |age: &mut u8| *age = (*age + 1).min(TTL);
    match phase {
        Phase::Standby(Some((_, silent))) => older(silent),
        Phase::Looking { before, asked, .. } => {
            if let Some((_, silent)) = before {
                older(silent);
            }
            if model.has(Flaw::SilentFromAsking) {
                older(asked);
            }
        }
        Phase::Claiming { asked, .. } => older(asked),
        Phase::Holder(holder) => {
            older(&mut holder.renewed);
            holder.asking.iter_mut().for_each(|(asked, _)| older(asked));
        }
        Phase::Down | Phase::Standby(None) | Phase::Suspects(_) | Phase::Leaving => {}
    }
}

fn end(state: &mut State, at: usize) {
    state.instances[at] = Phase::Down;
    let process = Some(at as u8);
    for sent in state.wire.iter_mut().flatten().filter(|sent| sent.by == process) {
        (sent.by, sent.awaited) = (None, false);
    }
    if state.holder == process {
        state.holder = None;
    }
}

fn send(state: &mut State, at: usize, request: Request) {
    let free = state.wire.iter().position(Option::is_none).expect("actions are offered only where there is room");
    state.wire[free] = Some(Sent { request, by: Some(at as u8), awaited: true });
}

fn look(state: &mut State, at: usize, model: &Leases) {
    state.instances[at] = match state.instances[at] {
        Phase::Standby(before) => Phase::Looking { before, asked: 0, found: None },
        Phase::Looking { before, asked, found: None } => {
            Phase::Looking { before, asked, found: Some((state.lease, state.holder)) }
        }
        Phase::Looking { before, asked, found: Some((found, holder)) } => {
            match held_by(&at.to_string(), &as_read(found, holder)) {
                Some(generation) => Phase::Holder(Holder {
                    generation: generation as u8,
                    renewed: if model.has(Flaw::AdoptsAsFresh) { 0 } else { TTL },
                    asking: None,
                    known: None,
                    withdrawn: false,
                }),
                None => judge(before, asked, found, model),
            }
        }
        other => unreachable!("{other:?} does not look"),
    };
}

fn as_read(found: Seen, holder: Option<u8>) -> Lease {
    let holder = holder.map_or_else(String::new, |at| at.to_string());
    let Seen { generation, beat, released } = found;
    Lease {
        generation: generation.into(),
        beat: beat.into(),
        instance_id: String::new(),
        holder,
        released,
        renewed_at_ms: 0,
    }
}

/// Whether the holder is silent, by the function that the service decides by.
fn judge(before: Option<(Seen, u8)>, asked: u8, found: Seen, model: &Leases) -> Phase {
    // short ones: a look after a long pause counts no more than looks take
    let ticks = |ticks: u8| Duration::from_millis(100 * u64::from(ticks));
    let patience = if model.has(Flaw::WaitsLess) { TTL - 1 } else { TTL };
    // an old beat is no number: two of them need not be the same one
    let before = before.filter(|(seen, _)| *seen == found && seen.beat != super::OLD);
    let (mut silence, start) = (Silence::default(), Instant::now());
    let age = before.map_or(0, |(seen, age)| {
        silence.look(&as_read(seen, None), start, ticks(patience));
        age
    });
    match (silence.look(&as_read(found, None), start + ticks(age), ticks(patience)), before) {
        (Verdict::Claim, _) => Phase::Suspects(found),
        (Verdict::Wait, Some(before)) => Phase::Standby(Some(before)),
        (Verdict::Wait, None) => Phase::Standby(Some((found, asked))),
    }
}

pub fn may_claim(seen: &Seen, lease: &Seen, model: &Leases) -> bool {
    seen == lease || (model.has(Flaw::ClaimsLiving) && seen.generation == lease.generation)
}

fn carry_out(state: &mut State, place: usize, sent: Sent, model: &Leases) {
    state.wire[place] = None;
    let lease = &mut state.lease;
    let granted = match sent.request {
        Request::Claim(seen) => may_claim(&seen, lease, model),
        Request::Renew { generation } => generation == lease.generation && !lease.released,
        Request::Release { generation } => generation == lease.generation,
    };
    if granted {
        lease.beat += 1;
        match sent.request {
            Request::Claim(_) => {
                (lease.generation, lease.released) = (lease.generation + 1, false);
                state.holder = sent.by;
            }
            Request::Renew { .. } => {}
            Request::Release { .. } => lease.released = true,
        }
    }
    let generation = lease.generation;
    let Some(at) = sent.by.filter(|_| sent.awaited).map(usize::from) else { return };
    match &mut state.instances[at] {
        Phase::Claiming { answer, .. } => *answer = Some(granted.then_some(generation)),
        Phase::Holder(Holder { asking: Some((_, answer)), .. }) => *answer = Some(granted),
        Phase::Leaving => end(state, at),
        other => unreachable!("{other:?} waits for nothing"),
    }
}

/// Answers take their time, too.
fn hear(state: &mut State, at: usize, model: &Leases) {
    let count = |asked| if model.has(Flaw::CountsFromAnswer) { 0 } else { asked };
    state.instances[at] = match state.instances[at] {
        Phase::Claiming { asked, answer: Some(Some(generation)) } => {
            let renewed = count(asked);
            Phase::Holder(Holder { generation, renewed, asking: None, known: None, withdrawn: false })
        }
        Phase::Claiming { .. } => Phase::Standby(None),
        Phase::Holder(Holder { asking: Some((_, Some(false))), .. }) => return end(state, at),
        Phase::Holder(holder) => {
            let renewed = count(holder.asking.map_or(TTL, |(asked, _)| asked));
            Phase::Holder(Holder { renewed, asking: None, withdrawn: false, ..holder })
        }
        other => unreachable!("{other:?} has asked for nothing"),
    };
}

/// The request stays under way.
fn give_up(state: &mut State, at: usize) {
    match &mut state.instances[at] {
        Phase::Leaving => return end(state, at),
        Phase::Holder(holder) => holder.asking = None,
        waiting => *waiting = Phase::Standby(None),
    }
    for sent in state.wire.iter_mut().flatten().filter(|sent| sent.by == Some(at as u8)) {
        sent.awaited = false;
    }
}

fn hold(state: &mut State, at: usize, action: Action, mut holder: Holder, model: &Leases) {
    let generation = holder.generation;
    let ours = generation == state.lease.generation;
    match action {
        Action::Renew(_) => {
            holder.asking = Some((0, None));
            send(state, at, Request::Renew { generation });
        }
        Action::Restore(_) | Action::Commit(_) if !ours => return end(state, at),
        Action::Restore(_) => holder.known = Some(state.committed),
        Action::Commit(_) => {
            state.committed = (state.committed + 1).min(COMMITS);
            holder.known = Some(state.committed);
        }
        Action::Withdraw(_) => holder.withdrawn = true,
        _ => return leave(state, at, holder, model),
    }
    state.instances[at] = Phase::Holder(holder);
}

/// Gives the lease back, and does not show anything from then on.
fn leave(state: &mut State, at: usize, mut holder: Holder, model: &Leases) {
    for sent in state.wire.iter_mut().flatten().filter(|sent| sent.by == Some(at as u8)) {
        sent.awaited = false;
    }
    let generation = holder.generation;
    holder.asking = None;
    if model.has(Flaw::ReleasesWhileShowing) {
        let sent = Sent { request: Request::Release { generation }, by: Some(at as u8), awaited: false };
        let free = state.wire.iter().position(Option::is_none).expect("actions are offered only where there is room");
        state.wire[free] = Some(sent);
        state.instances[at] = Phase::Holder(holder);
    } else {
        send(state, at, Request::Release { generation });
        state.instances[at] = Phase::Leaving;
    }
}
