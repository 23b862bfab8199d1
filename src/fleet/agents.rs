//! Agents: they connect, beat, take jobs, leave, crash and come back; and the pools in which jobs wait for them.

use super::{
    Fleet,
    calendar::{Action, Attempt},
    plan::POOLS,
};
use dataflows::{event::Kind, time::Millis};
use std::collections::VecDeque;

/// How often an agent says that it lives.
const HEARTBEAT_MS: Millis = 30_000;
/// An agent that was silent for so long is taken for dead, and its jobs are reclaimed.
const MISSED_MS: Millis = 90_000;
const MINUTE_MS: Millis = 60_000;
/// The share of departures that are crashes.
const CRASHES: f64 = 0.2;

/// One agent.
#[derive(Debug)]
pub struct Agent {
    pub id: u128,
    pub pool: u8,
    /// Counts on with each connect and each end of a connection: what belongs to an earlier session is stale.
    pub session: u32,
    /// Takes no more jobs and leaves when it has none.
    leaving: bool,
    running: Vec<Attempt>,
}

impl Agent {
    pub const fn new(id: u128, pool: u8) -> Self {
        Self { id, pool, session: 0, leaving: false, running: Vec::new() }
    }
}

/// Where jobs meet agents.
#[derive(Debug, Default)]
pub struct Pool {
    /// Attempts that an agent could take now, the oldest first; those canceled meanwhile are passed over.
    queue: VecDeque<Attempt>,
    /// Free slots: agent and session.
    slots: VecDeque<(u32, u32)>,
    /// A dispatch is on the calendar.
    awaited: bool,
}

impl Fleet {
    pub(super) fn connect(&mut self, number: u32) {
        let agent = &mut self.agents[number as usize];
        agent.session += 1;
        agent.leaving = false;
        let (session, pool) = (agent.session, agent.pool);
        self.say_agent(number, Kind::AgentConnected);
        self.after(HEARTBEAT_MS, Action::Heartbeat { agent: number, session });
        let stay = self.dice.between(120 * MINUTE_MS, 720 * MINUTE_MS);
        let stay = self.sped_up(stay);
        self.after(stay, Action::AgentLeaves { agent: number, session });
        for _ in 0..POOLS[usize::from(pool)].1 {
            self.pools[usize::from(pool)].slots.push_back((number, session));
        }
        self.dispatch_soon(pool);
    }

    pub(super) fn beat(&mut self, number: u32, session: u32) {
        if self.agents[number as usize].session == session {
            self.say_agent(number, Kind::AgentHeartbeat);
            let pause = HEARTBEAT_MS + self.dice.between(-200, 200);
            self.after(pause, Action::Heartbeat { agent: number, session });
        }
    }

    /// The agent's time is up: it crashes, or says farewell once its jobs are done.
    pub(super) fn leave(&mut self, number: u32, session: u32) {
        if self.agents[number as usize].session != session {
            return;
        }
        if self.dice.chance(CRASHES) {
            self.crash(number);
        } else {
            self.agents[number as usize].leaving = true;
            self.leave_if_idle(number);
        }
    }

    fn crash(&mut self, number: u32) {
        self.agents[number as usize].session += 1;
        let missed = MISSED_MS + self.dice.between(0, 5_000);
        self.after(missed, Action::AgentMissed(number));
        let away = self.dice.between(5 * MINUTE_MS, 60 * MINUTE_MS);
        let away = missed + self.sped_up(away);
        self.after(away, Action::AgentConnects(number));
    }

    fn leave_if_idle(&mut self, number: u32) {
        let agent = &mut self.agents[number as usize];
        if !agent.leaving || !agent.running.is_empty() {
            return;
        }
        agent.session += 1;
        agent.leaving = false;
        self.say_agent(number, Kind::AgentDisconnected);
        let away = self.dice.between(5 * MINUTE_MS, 90 * MINUTE_MS);
        let away = self.sped_up(away).max(1_000);
        self.after(away, Action::AgentConnects(number));
    }

    /// A crashed agent's jobs go back to the queue.
    pub(super) fn reclaim(&mut self, number: u32) {
        for attempt in std::mem::take(&mut self.agents[number as usize].running) {
            self.requeue(attempt);
        }
    }

    /// An attempt waits for an agent of a pool.
    pub(super) fn wait_for_agent(&mut self, pool: u8, attempt: Attempt) {
        self.pools[usize::from(pool)].queue.push_back(attempt);
        self.dispatch_soon(pool);
    }

    /// The control plane looks at a pool's queue within a second of a change.
    fn dispatch_soon(&mut self, pool: u8) {
        if !std::mem::replace(&mut self.pools[usize::from(pool)].awaited, true) {
            let pause = self.dice.between(20, 900);
            self.after(pause, Action::Dispatch { pool });
        }
    }

    pub(super) fn dispatch(&mut self, number: u8) {
        self.pools[usize::from(number)].awaited = false;
        while let Some(agent) = self.next_free(number) {
            let Some(attempt) = self.next_waiting(number) else { break };
            let slots = &mut self.pools[usize::from(number)].slots;
            slots.pop_front();
            self.agents[agent as usize].running.push(attempt);
            self.schedule(attempt, agent);
        }
    }

    /// The agent with the slot that has been free longest; slots of ended sessions are forgotten.
    fn next_free(&mut self, pool: u8) -> Option<u32> {
        let (slots, agents) = (&mut self.pools[usize::from(pool)].slots, &self.agents);
        loop {
            let &(number, session) = slots.front()?;
            let agent = &agents[number as usize];
            if agent.session == session && !agent.leaving {
                return Some(number);
            }
            slots.pop_front();
        }
    }

    fn next_waiting(&mut self, pool: u8) -> Option<Attempt> {
        loop {
            let attempt = self.pools[usize::from(pool)].queue.pop_front()?;
            if self.is_waiting(attempt) {
                return Some(attempt);
            }
        }
    }

    /// The attempt has left its agent, whose slot is free again if the agent is still the same.
    pub(super) fn free(&mut self, number: u32, session: u32, attempt: Attempt) {
        let agent = &mut self.agents[number as usize];
        if agent.session != session {
            return;
        }
        agent.running.retain(|other| *other != attempt);
        let pool = agent.pool;
        if agent.leaving {
            self.leave_if_idle(number);
        } else {
            self.pools[usize::from(pool)].slots.push_back((number, session));
            self.dispatch_soon(pool);
        }
    }
}
