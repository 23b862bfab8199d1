//! A round over one store: all its kills, one after the other, and the comparison at the end.

use crate::{
    plan::{Death, LEAST_COMMITS, PAUSE, Turn, WINDOWS, planned},
    support::{ending::Finding, scraper::Counts, stage::Stage},
};
use anyhow::{Context, Result, ensure};
use std::{thread::sleep, time::Duration};

/// Commits come every 100 ms and sleep 300 ms one time in five; a busy machine may take a hundred times as long.
const COMMITS_WITHIN: Duration = Duration::from_secs(30);
/// One epoch in five pauses in its window; one window, deleting garbage, is not passed in every epoch.
const PAUSES_WITHIN: Duration = Duration::from_secs(60);
/// A pause that is older when it is heard of may be over before the kill.
const FRESH: Duration = Duration::from_millis(100);

/// More than is read in the least commits of a life; an hour of stream time.
const BACKLOG: usize = 40_000;

/// So many lives may end before they have read what was there at the first start, and show nothing; the next reads it all,
/// and all after that show series from their beginning (I2).
const MAY_BE_SILENT: usize = 2;
const SHOWS_WITHIN: Duration = Duration::from_secs(60);

/// What was done and seen.
#[derive(Clone, Debug, Default)]
pub struct Round {
    pub store: &'static str,
    pub log: &'static str,
    pub at_random: usize,
    pub in_window: [usize; WINDOWS.len()],
    pub stillborn: usize,
    /// The longest time from a start to its first new epoch.
    pub slowest: Duration,
    /// As seen by the scraper, which does not see all.
    pub commits: Vec<u64>,
    pub counts: Counts,
    pub finding: Option<Finding>,
}

impl Round {
    pub fn kills(&self) -> usize {
        self.at_random + self.in_window.iter().sum::<usize>()
    }

    /// Plays all turns.
    pub fn play(store: &'static str, log: &'static str, mut stage: Stage, turns: &[Turn]) -> Result<Self> {
        let mut round = Self { store, log, ..Self::default() };
        for turn in turns {
            let kill = round.kills() + 1;
            let line =
                round.turn(&mut stage, *turn).with_context(|| format!("{store}, {log}, kill {kill}: {turn:?}"))?;
            eprintln!("kill {kill:>3}/{} {store:<8} {log:<8} {line}", turns.len());
        }
        stage.start(stage.command(1))?;
        round.slowest = round.slowest.max(stage.moved()?);
        round.counts = stage.scraper.counts();
        round.finding = Some(stage.finish().with_context(|| format!("{store}, {log}, at the end"))?);
        round.as_planned(turns)?;
        Ok(round)
    }

    fn turn(&mut self, stage: &mut Stage, turn: Turn) -> Result<String> {
        if turn.backlog {
            stage.burst(BACKLOG)?;
        }
        if let Some(age) = turn.stillborn {
            stage.start(stage.command(turn.workers))?;
            sleep(age);
            stage.kill()?;
            self.stillborn += 1;
        }
        let before = stage.scraper.counts();
        let mut command = stage.command(turn.workers);
        if let Death::In(window, _) = turn.death {
            command.env("GOCDNEXT_FLOW_PAUSE_AT", format!("{}:{}", WINDOWS[window], PAUSE.as_millis()));
        }
        stage.start(command)?;
        let moved = stage.moved()?;
        stage.commits(LEAST_COMMITS, COMMITS_WITHIN)?;
        if self.kills() >= MAY_BE_SILENT {
            stage.shows_series(SHOWS_WITHIN)?;
        }
        let death = self.wait_for(turn.death, stage)?;
        stage.running()?.must_live()?;
        stage.kill()?;
        stage.scraper.must_be_well()?;
        self.slowest = self.slowest.max(moved);
        let (progress, counts) = (stage.scraper.progress(), stage.scraper.counts());
        self.commits.push(progress.commits);
        Ok(format!(
            "{} workers, {death:<10} new epoch after {:.1} s, {:>3} commits, scrapes {}/{}, {} records sent",
            turn.workers,
            moved.as_secs_f64(),
            progress.commits,
            counts.answered - before.answered,
            counts.asked - before.asked,
            stage.sent(),
        ))
    }

    /// Waits for the moment of death, and counts it.
    fn wait_for(&mut self, death: Death, stage: &mut Stage) -> Result<&'static str> {
        match death {
            Death::After(pause) => {
                sleep(pause);
                self.at_random += 1;
                Ok("at random")
            }
            Death::In(window, pause) => {
                let name = WINDOWS[window];
                stage.running()?.wait_for_pause(name, FRESH, PAUSES_WITHIN)?;
                sleep(pause);
                self.in_window[window] += 1;
                Ok(name)
            }
        }
    }

    /// That what was planned has come to pass, and scrapes were answered.
    fn as_planned(&self, turns: &[Turn]) -> Result<()> {
        for (window, name) in WINDOWS.iter().enumerate() {
            let planned = planned(turns, window);
            ensure!(self.in_window[window] == planned, "{name}: {} of {planned} kills", self.in_window[window]);
        }
        ensure!(self.kills() == turns.len(), "{} of {} kills", self.kills(), turns.len());
        ensure!(
            self.commits.iter().all(|commits| *commits >= LEAST_COMMITS),
            "commits between kills: {:?}",
            self.commits
        );
        let Counts { asked, answered, .. } = self.counts;
        ensure!(answered * 100 >= asked * 95, "only {answered} of {asked} scrapes were answered");
        Ok(())
    }
}
