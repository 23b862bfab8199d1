//! The command line: one file a verb, each a thin step from arguments to a call.
//!
//! Two stages: arguments as read (clap's structs), then as valid (settings loaded, options built). Only then does
//! anything start. Flags for settings come from the settings table, not from here.

mod check;
mod confirm;
mod demo;
mod failure;
mod fleet;
mod generate;
mod logged;
mod out;
mod replay;
mod retention;
mod run;
mod settings;
mod show;
mod state;
#[cfg(test)]
mod tests;
mod unquoted;

pub use failure::Failure;

use crate::{config::environment::Surroundings, version};
use clap::{Parser, Subcommand};
use std::{ffi::OsString, io::Write};

const AFTER_HELP: &str = "\
Start here:
  gocdnext-flow demo                           a CI fleet, live, at http://localhost:8153/metrics
  gocdnext-flow run --brokers kafka:9092       your own events
  gocdnext-flow replay events.ndjson.zst       a recorded log, as fast as it can be read
  gocdnext-flow config show                    every setting and where its value comes from

Settings are read from a TOML file (--config PATH or GOCDNEXT_FLOW_CONFIG), then from variables,
then from flags; the later one wins. A setting has one name everywhere: job_ttl in TOML,
GOCDNEXT_FLOW_JOB_TTL in the environment, --job-ttl or --set job_ttl=24h as a flag.

Exit codes:
  0  success, or ended by SIGTERM or Ctrl-C
  1  failed while running
  2  wrong arguments or settings
  3  `check` found errors, or `state verify` damage
  4  state or offsets do not fit this start
  5  another instance has taken over";

#[derive(Debug, Parser)]
#[command(
    name = "gocdnext-flow",
    version = version::full(),
    about = "Exact CI/CD metrics from job lifecycle events",
    long_about = "Reads the lifecycle events of CI runs, jobs, agents and webhooks from Kafka or files and serves \
                  exact Prometheus series of them: queue depth, running jobs, durations, waits.",
    after_help = AFTER_HELP,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    propagate_version = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Demo(demo::Demo),
    Replay(replay::Replay),
    Generate(generate::Generate),
    Check(check::Check),
    #[command(subcommand)]
    Config(ConfigVerb),
    #[command(subcommand)]
    State(state::StateVerb),
    #[command(subcommand)]
    Retention(retention::RetentionVerb),
}

/// Look at the settings.
#[derive(Debug, Subcommand)]
enum ConfigVerb {
    Show(show::Show),
}

/// Reads `arguments` (the program's name first) and does what they say. What a verb prints as its result goes to
/// `out`.
pub fn start(
    arguments: impl IntoIterator<Item = OsString>,
    around: &dyn Surroundings,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = Cli::try_parse_from(&arguments).map_err(|error| {
        let texts: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
        unquoted::unquoted(error, &texts)
    })?;
    let out = &mut out::Out::new(out);
    match cli.verb {
        Verb::Run(verb) => verb.start(around),
        Verb::Demo(verb) => verb.start(around),
        Verb::Replay(verb) => verb.start(around, out),
        Verb::Generate(verb) => verb.start(around),
        Verb::Check(verb) => verb.start(around, out),
        Verb::Config(ConfigVerb::Show(verb)) => verb.start(around, out),
        Verb::State(verb) => verb.start(around, out),
        Verb::Retention(verb) => verb.start(around, out),
    }
}
