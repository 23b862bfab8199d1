//! Lots of runs, jobs, agents and deliveries, realistic and nasty, and the ways to read them.
//!
//! A [`Plan`] (a proptest strategy: it shrinks) says what happened; a seed says how it was read: cut into epochs,
//! shuffled, doubled. Times step by half seconds, so that ties and exact deadlines are met often.

use super::{Ms, SKEW};
use dataflows::{
    event::{AgentEvent, ArchiveResult, Delivery, DeliveryEvent, Event, Kind, RunEvent, Status},
    names::NameId,
    settings::Settings,
};
use proptest::{collection::vec, option::weighted, prelude::*};

/// What pipelines are called.
pub const SLUGS: [NameId; 3] = [NameId(1), NameId(2), NameId(3)];
/// Where the tested time begins: any moment far from 0.
pub const START: Ms = 1_700_000_000_000;

/// Recorded epochs: what was read, and the stream time at the end.
pub type Log = Vec<(Vec<Event>, Ms)>;

/// What may be read by a test.
#[derive(Clone, Debug)]
pub struct Plan {
    pub runs: Vec<RunPlan>,
    pub agents: Vec<(u128, Kind, Ms)>,
    /// Key, time, which label.
    pub deliveries: Vec<(u128, Ms, u8)>,
}

#[derive(Clone, Debug)]
pub struct RunPlan {
    pub project: u128,
    pub pipeline: u128,
    pub at: Ms,
    pub queued: bool,
    pub started: Option<Ms>,
    pub finished: Option<(Ms, Status)>,
    pub jobs: Vec<(Ms, Vec<AttemptPlan>)>,
}

/// Gaps from fact to fact; absent facts are passed over.
#[derive(Clone, Debug)]
pub struct AttemptPlan {
    pub queued: Option<(Ms, bool)>,
    pub ready: Option<Ms>,
    pub scheduled: Option<Ms>,
    pub started: Option<Ms>,
    /// No status: requeued.
    pub end: Option<(Ms, Option<Status>)>,
    pub agent: bool,
}

/// Short bounds, so that a few minutes hold everything.
pub fn settings(dedup_window_ms: Ms) -> Settings {
    Settings {
        late_grace_ms: 5_000,
        dedup_window_ms,
        job_ttl_ms: 60_000,
        queue_ttl_ms: 200_000,
        agent_ttl_ms: 30_000,
        ..Settings::default()
    }
}

fn gap() -> impl Strategy<Value = Ms> {
    prop_oneof![
        6 => (0..40_i64).prop_map(|halves| halves * 500),
        2 => Just(0),
        2 => (-10..10_i64).prop_map(|halves| halves * 500),
        1 => -3_000..3_000_i64,
        1 => (110..140_i64).prop_map(|halves| halves * 500),
        1 => (390..430_i64).prop_map(|halves| halves * 500),
    ]
}

fn status() -> impl Strategy<Value = Status> {
    proptest::sample::select(Status::ALL.to_vec())
}

fn attempt() -> impl Strategy<Value = AttemptPlan> {
    let end = prop_oneof![3 => status().prop_map(Some), 2 => Just(None)];
    let flag = prop_oneof![3 => Just(true), 2 => Just(false)];
    (
        weighted(0.8, (gap(), flag)),
        weighted(0.4, gap()),
        weighted(0.75, gap()),
        weighted(0.6, gap()),
        weighted(0.75, (gap(), end)),
        any::<bool>(),
    )
        .prop_map(|(queued, ready, scheduled, started, end, agent)| AttemptPlan {
            queued,
            ready,
            scheduled,
            started,
            end,
            agent,
        })
}

fn run() -> impl Strategy<Value = RunPlan> {
    let job = (gap(), vec(attempt(), 1..4));
    let at = (0..200_i64).prop_map(|halves| START + halves * 500);
    // long runs too, whose jobs are lost before they end
    let finish = prop_oneof![2 => gap(), 1 => (60..400_i64).prop_map(|seconds| seconds * 1_000)];
    let own = (any::<bool>(), weighted(0.6, gap()), weighted(0.5, (finish, status())));
    (1..4_u128, 1..4_u128, at, own, vec(job, 0..4)).prop_map(|(project, pipeline, at, own, jobs)| {
        let (queued, started, finished) = own;
        RunPlan { project, pipeline, at, queued, started, finished, jobs }
    })
}

/// Any plan.
pub fn plan() -> impl Strategy<Value = Plan> {
    let kinds = vec![Kind::AgentConnected, Kind::AgentHeartbeat, Kind::AgentHeartbeat, Kind::AgentDisconnected];
    let time = || (0..600_i64).prop_map(|halves| START + halves * 500);
    let agents = vec((1..4_u128, proptest::sample::select(kinds), time()), 0..8);
    let deliveries = vec((1..12_u128, time(), any::<u8>()), 0..8);
    (vec(run(), 0..5), agents, deliveries).prop_map(|(runs, agents, deliveries)| Plan { runs, agents, deliveries })
}

/// A small, good enough sequence of numbers: the way of reading follows from its seed alone.
#[derive(Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is above 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    fn between(&mut self, low: Ms, high: Ms) -> Ms {
        low + i64::try_from(self.next() % u64::try_from(high - low + 1).unwrap_or(1)).unwrap_or(0)
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i + 1));
        }
    }
}

impl RunPlan {
    fn event(&self, run: u128, kind: Kind, time: Ms) -> RunEvent {
        RunEvent {
            kind,
            time,
            tie: 0,
            run,
            project: self.project,
            pipeline: self.project * 10 + self.pipeline,
            job: 0,
            agent: 0,
            trace: 0,
            attempt: 0,
            // now and then a pipeline is renamed
            slug: SLUGS[usize::try_from(time.div_euclid(4_000).rem_euclid(3)).unwrap_or(0)],
            name: NameId::OTHER,
            status: Status::Unknown,
            dispatchable: true,
            exit_code: None,
        }
    }

    fn own(&self, run: u128) -> Vec<RunEvent> {
        let mut time = self.at;
        let mut events = vec![];
        if self.queued {
            events.push(self.event(run, Kind::RunQueued, time));
        }
        if let Some(gap) = self.started {
            time += gap;
            events.push(self.event(run, Kind::RunStarted, time));
        }
        if let Some((gap, status)) = self.finished {
            time += gap;
            events.push(RunEvent { status, ..self.event(run, Kind::RunFinished, time) });
        }
        events
    }

    fn attempts(&self, run: u128) -> Vec<Vec<RunEvent>> {
        let mut lists = vec![];
        for (index, (gap, attempts)) in (1..).zip(&self.jobs) {
            let mut time = self.at + gap;
            for (number, plan) in (1..).zip(attempts) {
                let base =
                    RunEvent { job: run * 100 + index, attempt: number, ..self.event(run, Kind::JobQueued, 0) };
                lists.push(plan.events(base, &mut time));
            }
        }
        lists
    }
}

impl AttemptPlan {
    fn events(&self, base: RunEvent, time: &mut Ms) -> Vec<RunEvent> {
        let mut events = vec![];
        if let Some((gap, dispatchable)) = self.queued {
            *time += gap;
            events.push(RunEvent { dispatchable, time: *time, ..base });
        }
        let dispatch =
            [(Kind::JobReady, self.ready), (Kind::JobScheduled, self.scheduled), (Kind::JobStarted, self.started)];
        for (kind, gap) in dispatch {
            if let Some(gap) = gap {
                *time += gap;
                events.push(RunEvent { kind, time: *time, ..base });
            }
        }
        if let Some((gap, status)) = self.end {
            *time += gap;
            let kind = if status.is_some() { Kind::JobFinished } else { Kind::JobRequeued };
            let agent = u128::from(self.agent && status.is_some()) * 9;
            events.push(RunEvent { kind, time: *time, status: status.unwrap_or(Status::Unknown), agent, ..base });
        }
        events
    }
}

/// What no two readers could agree about, left out: see [`punctual_events`].
fn tidy(attempts: &mut [Vec<RunEvent>], settings: &Settings) {
    let mut requeued: Option<(u128, u32, Ms)> = None;
    for events in attempts.iter_mut() {
        let time = |kind| events.iter().find(|e: &&RunEvent| e.kind == kind).map(|e| e.time);
        // a dispatch long after the job started or ended
        let (started, finished, reclaimed) =
            (time(Kind::JobStarted), time(Kind::JobFinished), time(Kind::JobRequeued));
        let first = started.into_iter().chain(finished).chain(reclaimed).min();
        events.retain(|e| e.kind != Kind::JobScheduled || first.is_none_or(|first| e.time <= first + SKEW));
        // a requeued attempt that is queued only when the requeue is already lost, or the attempt dispatched or ended
        let requeue = requeued;
        let first =
            events.iter().filter(|e| !matches!(e.kind, Kind::JobQueued | Kind::JobReady)).map(|e| e.time).min();
        let too_late = |e: &RunEvent| {
            requeue.is_some_and(|(job, attempt, at)| {
                let late = e.time > at + settings.queue_ttl_ms || first.is_some_and(|first| e.time > first + SKEW);
                e.job == job && e.attempt == attempt && late
            })
        };
        events.retain(|e| e.kind != Kind::JobQueued || !too_late(e));
        requeued = reclaimed.and_then(|at| events.last().map(|e| (e.job, e.attempt + 1, at)));
    }
}

fn number(events: &mut [Event]) {
    for (index, event) in (1..).zip(events) {
        if let Event::Run(event) = event {
            event.tie = Numbers(index).next();
        }
    }
}

fn delivery(key: u128, time: Ms, label: u8) -> DeliveryEvent {
    let what = match key % 3 {
        0 => Delivery::Archived(ArchiveResult::ALL[usize::from(label) % 4]),
        1 => Delivery::PartitionDropped,
        _ => Delivery::Webhook { provider: u16::from(label % 5), outcome: u16::from(label / 5 % 5) },
    };
    DeliveryEvent { time, key, what }
}

/// The plan's events without contradictions: what a punctual log may hold.
///
/// Left out beyond what "punctual" says: a `scheduled` more than 2 s after the attempt's `started` or end; a `queued`
/// that comes only when the requeue before it counts as lost, or its own attempt was dispatched or ended.
/// There what was read first decides, which the recorded model follows.
pub fn punctual_events(plan: &Plan, settings: &Settings) -> Vec<Event> {
    let mut events = vec![];
    for (run, plan) in (1..).zip(&plan.runs) {
        let (own, mut attempts) = (plan.own(run), plan.attempts(run));
        tidy(&mut attempts, settings);
        events.extend(own.into_iter().chain(attempts.into_iter().flatten()).map(Event::Run));
    }
    events.extend(plan.agents.iter().map(|(agent, kind, time)| agent_event(*agent, *kind, *time)));
    let mut seen = std::collections::BTreeMap::new();
    for (key, time, _) in &plan.deliveries {
        let time = *seen.entry(*key).or_insert(*time);
        events.push(Event::Delivery(delivery(*key, time, u8::try_from(*key).unwrap_or(0))));
    }
    number(&mut events);
    events
}

/// Without the runs whose events lie further apart than `dedup_window`: parts of those may be forgotten before others come.
pub fn within_window(mut events: Vec<Event>, settings: &Settings) -> Vec<Event> {
    let mut spans = std::collections::BTreeMap::<u128, (Ms, Ms)>::new();
    for event in &events {
        if let Event::Run(e) = event {
            let span = spans.entry(e.run).or_insert((e.time, e.time));
            *span = (span.0.min(e.time), span.1.max(e.time));
        }
    }
    let short = |run: u128| spans.get(&run).is_none_or(|(first, last)| last - first <= settings.dedup_window_ms);
    events.retain(|event| if let Event::Run(e) = event { short(e.run) } else { true });
    events
}

fn agent_event(agent: u128, kind: Kind, time: Ms) -> Event {
    Event::Agent(AgentEvent { kind, time, agent })
}

/// All of the plan, and contradictions besides.
pub fn any_events(plan: &Plan, numbers: &mut Numbers) -> Vec<Event> {
    let mut events = vec![];
    for (run, plan) in (1..).zip(&plan.runs) {
        events.extend(plan.own(run).into_iter().chain(plan.attempts(run).into_iter().flatten()).map(Event::Run));
    }
    for index in 0..events.len() {
        if numbers.below(6) == 0 {
            let Event::Run(event) = events[index] else { continue };
            let time = event.time + [0, 0, 500, -500, 3_000, -3_000, 90_000, 400_000, 700_000][numbers.below(9)];
            let status = Status::ALL[numbers.below(5)];
            let status = if event.kind == Kind::JobRequeued { event.status } else { status };
            let (slug, dispatchable) = (SLUGS[numbers.below(3)], numbers.below(2) == 0);
            events.push(Event::Run(RunEvent { time, status, slug, dispatchable, ..event }));
        }
    }
    events.extend(plan.agents.iter().map(|(agent, kind, time)| agent_event(*agent, *kind, *time)));
    let deliveries = plan.deliveries.iter();
    events.extend(deliveries.map(|(key, time, label)| Event::Delivery(delivery(*key, *time, *label))));
    number(&mut events);
    events
}

/// Stream times that end at `last`: some anywhere, some on the very edge of a deadline, some not known yet.
fn stream_times(events: &[Event], last: Ms, settings: &Settings, numbers: &mut Numbers) -> Vec<Ms> {
    let mut times = vec![last];
    for _ in 0..numbers.below(10) {
        let time = match (numbers.below(8), events.is_empty()) {
            (0, _) => Ms::MIN,
            (1..=3, false) => edge(events, settings, numbers),
            (4, false) => events[numbers.below(events.len())].time(),
            _ => numbers.between(START - 10_000, last.max(START)),
        };
        times.push(time.min(last));
    }
    times.sort_unstable();
    times
}

/// A deadline of some event, or just after it.
fn edge(events: &[Event], settings: &Settings, numbers: &mut Numbers) -> Ms {
    let grace = settings.late_grace_ms;
    let after = [
        grace,
        grace + SKEW,
        grace + 2 * SKEW,
        settings.job_ttl_ms + grace,
        settings.queue_ttl_ms + grace,
        settings.agent_ttl_ms,
        settings.dedup_window_ms,
        settings.dedup_window_ms + grace,
        settings.dedup_window_ms + settings.queue_ttl_ms + grace,
        settings.dedup_window_ms + SKEW + grace,
    ];
    let after = after[numbers.below(after.len())] + numbers.between(0, 1);
    events[numbers.below(events.len())].time() + after
}

/// Where a test's stream time ends: amid the events, at an edge, or long after.
pub fn last_time(events: &[Event], settings: &Settings, numbers: &mut Numbers) -> Ms {
    match (numbers.below(4), events.is_empty()) {
        (0 | 1, false) => edge(events, settings, numbers),
        (2, _) => numbers.between(START, START + 400_000),
        _ => numbers.between(START, START + 2 * settings.dedup_window_ms + 600_000),
    }
}

fn cut(
    events: &[Event],
    times: &[Ms],
    numbers: &mut Numbers,
    place: impl Fn(&Event, &[Ms], &mut Numbers) -> usize,
) -> Log {
    let mut log: Log = times.iter().map(|time| (vec![], *time)).collect();
    for event in events {
        let first = place(event, times, numbers);
        log[first].0.push(*event);
        for _ in 0..[0, 0, 0, 1, 1, 2][numbers.below(6)] {
            log[numbers.below(times.len())].0.push(*event);
        }
    }
    for (events, _) in &mut log {
        numbers.shuffle(events);
    }
    log
}

/// One way of reading the events punctually: before stream time has passed their time by `late_grace`. Redeliveries
/// may come at any time.
pub fn punctual_log(events: &[Event], last: Ms, settings: &Settings, numbers: &mut Numbers) -> Log {
    let times = stream_times(events, last, settings, numbers);
    let grace = settings.late_grace_ms;
    cut(events, &times, numbers, |event, times, numbers| {
        let in_time = times[..times.len() - 1].iter().filter(|before| **before <= event.time() + grace).count();
        match numbers.below(3) {
            0 => in_time,
            1 => natural(event, times).min(in_time),
            _ => numbers.below(in_time + 1),
        }
    })
}

fn natural(event: &Event, times: &[Ms]) -> usize {
    times.iter().position(|now| *now >= event.time()).unwrap_or(times.len() - 1)
}

/// One way of reading the events, punctual or not.
pub fn any_log(events: &[Event], last: Ms, settings: &Settings, numbers: &mut Numbers) -> Log {
    let times = stream_times(events, last, settings, numbers);
    cut(events, &times, numbers, |event, times, numbers| {
        if numbers.below(3) == 0 { numbers.below(times.len()) } else { natural(event, times) }
    })
}
