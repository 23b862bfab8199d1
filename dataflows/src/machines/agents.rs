//! The agent machine: who has a live session. docs/rules.md, "Agents".

use super::{Close, Closed, Machine};
use crate::{
    event::{AgentEvent, Id, Kind},
    route::{Route, route},
    series::{Limit, Quality},
    settings::Settings,
    state::{Reader, Sweep, Table, Unusable, Writer},
    time::{Millis, StreamTime},
};
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// One agent: its latest sign of life, and its latest goodbye; `Millis::MIN`: none.
#[derive(Clone, Copy, Debug)]
struct Agent {
    up: Millis,
    down: Millis,
    shown: bool,
}

/// See the module.
#[derive(Debug)]
pub struct AgentsMachine {
    settings: Arc<Settings>,
    max_agents: usize,
    agents: HashMap<Id, Agent>,
    touched: Vec<Id>,
    /// No agent's state changes by time before this; a lower bound.
    due: Millis,
    before: StreamTime,
    perhaps_late: Vec<AgentEvent>,
    quality: Quality,
    /// Agents that are to be stored, forgotten ones too; `None`: nobody asks.
    changes: Option<HashSet<Id>>,
}

/// Tags and marks of stored entries.
mod tag {
    pub const PUT: u8 = 0x01;
    pub const REMOVE: u8 = 0x02;
    pub const UP: u8 = 1;
    pub const DOWN: u8 = 1 << 1;
    pub const SHOWN: u8 = 1 << 2;
}

impl AgentsMachine {
    /// The machine of one of `workers` workers.
    #[must_use]
    pub fn new(settings: Arc<Settings>, workers: usize) -> Self {
        let max_agents = settings.limits.max_agents.div_ceil(workers);
        Self {
            settings,
            max_agents,
            agents: HashMap::new(),
            touched: vec![],
            due: Millis::MAX,
            before: StreamTime::UNKNOWN,
            perhaps_late: vec![],
            quality: Quality::default(),
            changes: None,
        }
    }

    /// Agents known, and how many of them are shown as online.
    #[must_use]
    pub fn census(&self) -> (usize, usize) {
        (self.agents.len(), self.agents.values().filter(|agent| agent.shown).count())
    }

    /// Merges an event into an agent that is known or may become so. False: it is late unless another makes it known.
    fn merge(&mut self, event: &AgentEvent) -> bool {
        if !self.agents.contains_key(&event.agent) {
            if self.before.is_past(event.time.saturating_add(self.settings.dedup_window_ms)) {
                return false;
            }
            if self.agents.len() >= self.max_agents {
                self.quality.over(Limit::Agents);
                return true;
            }
        }
        let unknown = Agent { up: Millis::MIN, down: Millis::MIN, shown: false };
        let agent = self.agents.entry(event.agent).or_insert(unknown);
        let latest = match event.kind {
            Kind::AgentConnected | Kind::AgentHeartbeat => &mut agent.up,
            Kind::AgentDisconnected => &mut agent.down,
            other => unreachable!("nothing says what {} does to an agent", other.name()),
        };
        self.quality.duplicates += u64::from(*latest == event.time);
        *latest = event.time.max(*latest);
        self.touched.push(event.agent);
        true
    }

    /// Shows what is the case at `now`; the next time at which that may change.
    fn update(&mut self, id: Id, now: StreamTime, closed: &mut Closed) -> Millis {
        let Some(agent) = self.agents.get_mut(&id) else { return Millis::MAX };
        let expires = agent.up.saturating_add(self.settings.agent_ttl_ms);
        let online = agent.up > agent.down && !now.is_past(expires);
        closed.deltas.agents_online += i64::from(online) - i64::from(agent.shown);
        if agent.shown != online {
            agent.shown = online;
            self.changes.iter_mut().for_each(|changes| changes.extend([id]));
        }
        if online {
            return expires;
        }
        let forget = agent.up.max(agent.down).saturating_add(self.settings.dedup_window_ms);
        if now.is_past(forget) {
            self.agents.remove(&id);
            self.changes.iter_mut().for_each(|changes| changes.extend([id]));
            return Millis::MAX;
        }
        forget
    }

    fn put(id: Id, agent: &Agent, out: &mut Writer) {
        let mark = |bit: u8, set: bool| if set { bit } else { 0 };
        let (up, down) = (agent.up != Millis::MIN, agent.down != Millis::MIN);
        out.u8(tag::PUT);
        out.u128(id);
        out.u8(mark(tag::UP, up) | mark(tag::DOWN, down) | mark(tag::SHOWN, agent.shown));
        if up {
            out.signed(agent.up);
        }
        if down {
            out.signed(agent.down);
        }
    }

    fn take(entries: &mut Reader<'_>) -> Result<Agent, Unusable> {
        let marks = entries.u8()?;
        let up = if marks & tag::UP == 0 { Millis::MIN } else { entries.signed()? };
        let down = if marks & tag::DOWN == 0 { Millis::MIN } else { entries.signed()? };
        Ok(Agent { up, down, shown: marks & tag::SHOWN != 0 })
    }
}

impl Machine for AgentsMachine {
    type Event = AgentEvent;

    fn apply(&mut self, event: &AgentEvent) {
        if !self.merge(event) {
            self.perhaps_late.push(*event);
        }
    }

    fn close(&mut self, at: Close, closed: &mut Closed) {
        for event in std::mem::take(&mut self.perhaps_late) {
            let late = !self.merge(&event);
            self.quality.late += u64::from(late);
        }
        let mut touched = std::mem::take(&mut self.touched);
        closed.touched += touched.len() as u64;
        if let Some(changes) = &mut self.changes {
            changes.extend(&touched);
        }
        if at.now.is_past(self.due) {
            self.due = Millis::MAX;
            touched = self.agents.keys().copied().collect();
        }
        for id in touched {
            let due = self.update(id, at.now, closed);
            self.due = self.due.min(due);
        }
        closed.deltas.quality.merge(&std::mem::take(&mut self.quality));
        self.before = at.now;
    }

    const TABLE: Table = Table::Agents;

    fn record(&mut self) {
        self.changes.get_or_insert_default();
    }

    fn save(&mut self, sweep: Sweep, out: &mut Writer) {
        let Some(changes) = &mut self.changes else { return };
        for id in changes.drain() {
            if let Some(agent) = self.agents.get(&id) {
                Self::put(id, agent, out);
            } else {
                out.u8(tag::REMOVE);
                out.u128(id);
            }
        }
        out.sweeps();
        // few enough to go at once
        if sweep.begins() {
            self.agents.iter().for_each(|(id, agent)| Self::put(*id, agent, out));
        }
    }

    fn load(&mut self, mut entries: Reader<'_>, owns: &mut impl FnMut(Route) -> bool) -> Result<(), Unusable> {
        while !entries.is_empty() {
            let (tag, id) = (entries.u8()?, entries.u128()?);
            let agent = match tag {
                tag::PUT => Some(Self::take(&mut entries)?),
                tag::REMOVE => None,
                other => return Err(Unusable::damaged(format!("an agent of kind {other}"))),
            };
            if !owns(route(id)) {
                continue;
            }
            match agent {
                Some(agent) => drop(self.agents.insert(id, agent)),
                None => drop(self.agents.remove(&id)),
            }
        }
        Ok(())
    }

    fn loaded(&mut self, now: StreamTime) -> Result<(), Unusable> {
        self.before = now;
        // the next epoch's end looks at every agent
        self.due = Millis::MIN;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> AgentsMachine {
        AgentsMachine::new(Arc::new(Settings::default()), 1)
    }

    fn event(kind: Kind, time: Millis) -> AgentEvent {
        AgentEvent { kind, time, agent: 1 }
    }

    fn close(machine: &mut AgentsMachine, now: Millis) -> (i64, Quality) {
        let mut closed = Closed::new(&machine.settings);
        machine.close(Close { now: StreamTime(now), last: false, sweep: Sweep::default() }, &mut closed);
        (closed.deltas.agents_online, closed.deltas.quality)
    }

    #[test]
    fn an_agent_is_online_until_its_time_to_live_has_passed_and_comes_back_with_a_heartbeat() {
        let mut machine = machine();
        machine.apply(&event(Kind::AgentConnected, 1_000));
        assert_eq!(close(&mut machine, 91_000).0, 1, "strictly after the deadline");
        assert_eq!(close(&mut machine, 91_001).0, -1);
        machine.apply(&event(Kind::AgentHeartbeat, 95_000));
        assert_eq!(close(&mut machine, 100_000).0, 1);
        machine.apply(&event(Kind::AgentDisconnected, 95_000));
        assert_eq!(close(&mut machine, 100_001).0, -1);
    }

    #[test]
    fn order_within_and_between_epochs_is_nothing() {
        let mut machine = machine();
        machine.apply(&event(Kind::AgentDisconnected, 5_000));
        machine.apply(&event(Kind::AgentConnected, 1_000));
        assert_eq!(close(&mut machine, 6_000).0, 0);
        machine.apply(&event(Kind::AgentHeartbeat, 4_000));
        assert_eq!(close(&mut machine, 6_001).0, 0);
    }

    #[test]
    fn a_sign_that_is_the_latest_known_already_is_a_duplicate() {
        let mut machine = machine();
        for (kind, time) in [
            (Kind::AgentHeartbeat, 2_000),
            (Kind::AgentHeartbeat, 2_000),
            (Kind::AgentConnected, 1_000),
            (Kind::AgentDisconnected, 2_000),
        ] {
            machine.apply(&event(kind, time));
        }
        let (online, quality) = close(&mut machine, 3_000);
        assert_eq!((online, quality.duplicates), (0, 1));
        machine.apply(&event(Kind::AgentDisconnected, 2_000));
        assert_eq!(close(&mut machine, 3_001).1.duplicates, 1);
    }

    #[test]
    fn an_agent_is_known_until_its_last_sign_is_out_of_the_window() {
        let window = Settings::default().dedup_window_ms;
        let mut machine = machine();
        machine.apply(&event(Kind::AgentConnected, 1_000));
        machine.apply(&event(Kind::AgentDisconnected, 5_000));
        close(&mut machine, 5_000);
        close(&mut machine, 5_000 + window);
        assert_eq!(machine.census(), (1, 0));
        close(&mut machine, 5_001 + window);
        assert_eq!(machine.census(), (0, 0));
    }

    #[test]
    fn the_bound_is_divided_among_the_workers_and_rounded_up() {
        let limits = crate::settings::Limits { max_agents: 3, ..crate::settings::Limits::default() };
        let mut machine = AgentsMachine::new(Arc::new(Settings { limits, ..Settings::default() }), 2);
        for agent in 1..=3 {
            machine.apply(&AgentEvent { agent, ..event(Kind::AgentHeartbeat, 1_000) });
        }
        let (online, quality) = close(&mut machine, 1_000);
        assert_eq!((online, quality.over_limit[Limit::Agents as usize]), (2, 1));
    }

    #[test]
    fn old_signs_of_unknown_agents_are_late_and_agents_are_bounded() {
        let settings = Settings::default();
        let limits = crate::settings::Limits { max_agents: 1, ..settings.limits.clone() };
        let window = settings.dedup_window_ms;
        let mut machine = AgentsMachine::new(Arc::new(Settings { limits, ..settings }), 1);
        close(&mut machine, window + 10);
        machine.apply(&event(Kind::AgentHeartbeat, 9));
        assert_eq!(close(&mut machine, window + 11).1.late, 1);
        machine.apply(&event(Kind::AgentHeartbeat, window));
        machine.apply(&AgentEvent { agent: 2, ..event(Kind::AgentHeartbeat, window) });
        let (online, quality) = close(&mut machine, window + 12);
        assert_eq!((online, quality.over_limit[Limit::Agents as usize]), (1, 1));
    }
}
