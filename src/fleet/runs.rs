//! Runs and their jobs: stages follow each other, jobs wait, run, fail and are reclaimed.

use super::{
    Fleet,
    calendar::{Action, Attempt},
    emit::Ending,
    writer::Trace,
};
use dataflows::{
    event::{Kind, Status},
    time::Millis,
};

const SECOND_MS: Millis = 1_000;
/// A job whose agents keep dying is given up after so many attempts.
const MAX_ATTEMPTS: u16 = 3;

/// A place in the table of runs; used again, so the serial number tells its runs apart.
#[derive(Debug, Default)]
pub struct Place {
    serial: u32,
    run: Option<Run>,
}

/// An open run.
#[derive(Debug)]
pub struct Run {
    pub id: u128,
    pub pipeline: u32,
    pub trace: Trace,
    pub replica: u8,
    stage: u8,
    started: bool,
    failed: bool,
    jobs: Vec<Job>,
}

/// A job of an open run.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub id: u128,
    /// Its place in the pipeline's plan.
    pub plan: usize,
    pub attempt: u16,
    /// Where it was dispatched to.
    pub agent: Option<u32>,
    session: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its stage is not active.
    Held,
    Waiting,
    Dispatched,
    Ended,
}

impl Fleet {
    pub(super) fn start_run(&mut self, pipeline: u32) {
        if self.is_closing() || self.open_runs >= self.options.max_open_runs {
            return;
        }
        let run = self.new_run(pipeline);
        self.jobs_made += run.jobs.len() as u64;
        self.say_run(&run, Kind::RunQueued, None);
        let first = self.stage_of(&run, 0);
        for job in &run.jobs {
            self.say_queued(&run, job, self.plan.pipelines[pipeline as usize].jobs[job.plan].stage == first);
        }
        let number = self.free_places.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.places[number as usize];
        place.serial = place.serial.wrapping_add(1);
        let serial = place.serial;
        self.open_runs += 1;
        if self.dice.chance(0.03) {
            let pause = self.dice.between(SECOND_MS, 300 * SECOND_MS);
            let pause = self.sped_up(pause);
            self.after(pause, Action::RunCanceled { run: number, serial });
        }
        self.activate(number, serial, run, first);
    }

    fn new_run(&mut self, pipeline: u32) -> Run {
        let all = self.plan.pipelines[pipeline as usize].jobs.len();
        let left = self.options.max_jobs.map_or(u64::MAX, |max| max.saturating_sub(self.jobs_made));
        let count = all.min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut job =
            |plan| Job { id: self.dice.id(), plan, attempt: 1, agent: None, session: 0, state: State::Held };
        let jobs = (0..count).map(&mut job).collect();
        let (id, trace, span) = (self.dice.id(), self.dice.wide(), self.dice.wide());
        let span = u64::try_from(span >> 64).unwrap_or_default().max(1);
        let replica = self.replica();
        Run { id, pipeline, trace: (trace, span), replica, stage: 0, started: false, failed: false, jobs }
    }

    fn stage_of(&self, run: &Run, job: usize) -> u8 {
        self.plan.pipelines[run.pipeline as usize].jobs[run.jobs[job].plan].stage
    }

    /// Makes a stage active, and, where none of its jobs is to run, the next; ends the run after the last.
    fn activate(&mut self, place: u32, serial: u32, mut run: Run, first: u8) {
        let mut stage = first;
        loop {
            run.stage = stage;
            for index in 0..run.jobs.len() {
                if self.stage_of(&run, index) == stage {
                    self.activate_job(place, serial, &mut run, index);
                }
            }
            if run.jobs.iter().any(|job| matches!(job.state, State::Waiting)) {
                self.places[place as usize].run = Some(run);
                return;
            }
            let next = (0..run.jobs.len()).map(|job| self.stage_of(&run, job)).filter(|s| *s > stage).min();
            let Some(next) = next else {
                self.finish_run(place, &run, Status::Success);
                return;
            };
            stage = next;
        }
    }

    /// A job of an active stage waits for an agent; now and then its conditions do not hold, and it is skipped.
    fn activate_job(&mut self, place: u32, serial: u32, run: &mut Run, index: usize) {
        let mut job = run.jobs[index];
        let later = run.stage > 0;
        if later && self.dice.chance(0.04) {
            job.state = State::Ended;
            self.say_finished(run, &job, Ending::without_process(Status::Skipped));
        } else {
            job.state = State::Waiting;
            if later {
                self.say_job(run, &job, Kind::JobReady);
            }
            let pool = self.plan.pipelines[run.pipeline as usize].jobs[job.plan].pool;
            self.wait_for_agent(pool, attempt(place, serial, index, job.attempt));
        }
        run.jobs[index] = job;
    }

    pub(super) fn is_waiting(&self, attempt: Attempt) -> bool {
        self.job(attempt).is_some_and(|job| job.state == State::Waiting)
    }

    /// The job, if this attempt of it is the current one.
    fn job(&self, attempt: Attempt) -> Option<&Job> {
        let place = &self.places[attempt.run as usize];
        let run = place.run.as_ref().filter(|_| place.serial == attempt.serial)?;
        run.jobs.get(usize::from(attempt.job)).filter(|job| job.attempt == attempt.number)
    }

    /// Whether the attempt is with an agent that still lives.
    fn is_alive(&self, attempt: Attempt) -> bool {
        self.job(attempt).is_some_and(|job| {
            let session = job.agent.map(|agent| self.agents[agent as usize].session);
            job.state == State::Dispatched && session == Some(job.session)
        })
    }

    /// Takes a run out of the table, to change and say something of it; [`Self::put`] puts it back.
    fn take(&mut self, attempt: Attempt) -> Option<Run> {
        self.places[attempt.run as usize].run.take()
    }

    fn put(&mut self, attempt: Attempt, run: Run) {
        self.places[attempt.run as usize].run = Some(run);
    }

    pub(super) fn schedule(&mut self, attempt: Attempt, agent: u32) {
        let Some(mut run) = self.take(attempt) else { return };
        if !std::mem::replace(&mut run.started, true) {
            self.say_run(&run, Kind::RunStarted, None);
        }
        let session = self.agents[agent as usize].session;
        let job = &mut run.jobs[usize::from(attempt.job)];
        (job.state, job.agent, job.session) = (State::Dispatched, Some(agent), session);
        let job = *job;
        self.say_job(&run, &job, Kind::JobScheduled);
        self.put(attempt, run);
        let pause = self.dice.between(100, 2_500);
        let pause = self.sped_up(pause);
        self.after(pause, Action::JobStarts(attempt));
    }

    #[expect(clippy::cast_possible_truncation, reason = "durations of minutes, in ms")]
    pub(super) fn start_job(&mut self, attempt: Attempt) {
        if !self.is_alive(attempt) {
            return;
        }
        let Some(run) = self.take(attempt) else { return };
        let job = run.jobs[usize::from(attempt.job)];
        self.say_job(&run, &job, Kind::JobStarted);
        let usual = self.plan.pipelines[run.pipeline as usize].jobs[job.plan].usual_ms;
        self.put(attempt, run);
        let length = usual as f64 * self.dice.length();
        self.after((length as Millis).max(1), Action::JobEnds(attempt));
    }

    /// The job's process ended on its agent.
    pub(super) fn end_job(&mut self, attempt: Attempt) {
        if !self.is_alive(attempt) {
            return;
        }
        let Some(run) = self.take(attempt) else { return };
        let job = run.jobs[usize::from(attempt.job)];
        let failure = self.plan.pipelines[run.pipeline as usize].jobs[job.plan].failure;
        let ending = if self.dice.chance(failure) {
            let exit_code = self.dice.pick(&[1, 1, 1, 2, 124, 137]).copied();
            Ending { status: Status::Failed, exit_code, error: Some("the script ended with an error") }
        } else {
            Ending { status: Status::Success, exit_code: Some(0), error: None }
        };
        if let Some(agent) = job.agent {
            self.free(agent, job.session, attempt);
        }
        self.settle_job(attempt, run, ending);
    }

    /// The job is over, and with it maybe its stage and its run. A few ends are never told: a control plane that is
    /// killed between its database and its broker loses them.
    fn settle_job(&mut self, attempt: Attempt, mut run: Run, ending: Ending) {
        let job = &mut run.jobs[usize::from(attempt.job)];
        job.state = State::Ended;
        let job = *job;
        run.failed |= ending.status == Status::Failed;
        if !self.dice.chance(0.000_7) {
            self.say_finished(&run, &job, ending);
            self.archive_later(&run, &job);
        }
        let stage = run.stage;
        let open = |(index, job): (usize, &Job)| job.state != State::Ended && self.stage_of(&run, index) == stage;
        if run.jobs.iter().enumerate().any(open) {
            self.put(attempt, run);
        } else if run.failed {
            self.close_run(attempt.run, run, Status::Failed, Status::Skipped);
        } else {
            let next = (0..run.jobs.len()).map(|job| self.stage_of(&run, job)).filter(|s| *s > stage).min();
            match next {
                Some(next) => self.activate(attempt.run, attempt.serial, run, next),
                None => self.finish_run(attempt.run, &run, Status::Success),
            }
        }
    }

    /// The agent was lost: the attempt goes back to the queue as the next one, or is given up.
    pub(super) fn requeue(&mut self, lost: Attempt) {
        if self.job(lost).is_none_or(|job| job.state != State::Dispatched) {
            return;
        }
        let Some(mut run) = self.take(lost) else { return };
        let job = run.jobs[usize::from(lost.job)];
        if lost.number >= MAX_ATTEMPTS {
            let ending = Ending { status: Status::Failed, exit_code: None, error: Some("the agent was lost") };
            self.settle_job(lost, run, ending);
            return;
        }
        self.say_requeued(&run, &job, "agent_lost");
        let again = Job { attempt: job.attempt + 1, agent: None, state: State::Waiting, ..job };
        run.jobs[usize::from(lost.job)] = again;
        // the requeue stands for it where the producer says no more than that
        if !self.dice.chance(0.1) {
            self.say_queued(&run, &again, true);
        }
        let pool = self.plan.pipelines[run.pipeline as usize].jobs[again.plan].pool;
        self.put(lost, run);
        self.wait_for_agent(pool, Attempt { number: again.attempt, ..lost });
    }

    pub(super) fn cancel_run(&mut self, number: u32, serial: u32) {
        let place = &mut self.places[number as usize];
        if place.serial != serial {
            return;
        }
        let Some(run) = place.run.take() else { return };
        for (index, job) in run.jobs.iter().enumerate().filter(|(_, job)| job.state == State::Dispatched) {
            if let Some(agent) = job.agent {
                self.free(agent, job.session, attempt(number, serial, index, job.attempt));
            }
        }
        self.close_run(number, run, Status::Canceled, Status::Canceled);
    }

    /// Ends a run before its time: the jobs that are still open get `rest`.
    fn close_run(&mut self, place: u32, mut run: Run, status: Status, rest: Status) {
        for index in 0..run.jobs.len() {
            let job = run.jobs[index];
            if job.state != State::Ended {
                run.jobs[index].state = State::Ended;
                self.say_finished(&run, &job, Ending::without_process(rest));
                if job.agent.is_some() {
                    self.archive_later(&run, &job);
                }
            }
        }
        self.finish_run(place, &run, status);
    }

    /// A few runs never say that they ended, see [`Self::settle_job`].
    fn finish_run(&mut self, place: u32, run: &Run, status: Status) {
        if !self.dice.chance(0.000_7) {
            self.say_run(run, Kind::RunFinished, Some(status));
        }
        self.open_runs -= 1;
        self.free_places.push(place);
    }
}

fn attempt(run: u32, serial: u32, job: usize, number: u16) -> Attempt {
    Attempt { run, serial, job: u16::try_from(job).unwrap_or(u16::MAX), number }
}
