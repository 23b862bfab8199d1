//! `retention`: for how long logs are kept, and what becomes of them. One file a verb: arguments in, words out.

mod adopt;
mod consent;
mod explain;
mod outcome;
mod plan;
mod policy;
mod run;

use super::Failure;
use crate::{
    config::{Config, environment::Surroundings},
    logs::LogsUrl,
    store::Options,
    upkeep,
    wiring::StateLedger,
};
use clap::Subcommand;
use std::{io::Write, sync::Arc};

/// Look after the retention of job logs.
#[derive(Debug, Subcommand)]
pub enum RetentionVerb {
    #[command(subcommand)]
    Policy(policy::PolicyVerb),
    Plan(plan::Plan),
    Explain(explain::Explain),
    Run(run::Run),
    Adopt(adopt::Adopt),
}

impl RetentionVerb {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Policy(verb) => verb.start(around, out),
            Self::Plan(verb) => verb.start(around, out),
            Self::Explain(verb) => verb.start(around, out),
            Self::Run(verb) => verb.start(around, out),
            Self::Adopt(verb) => verb.start(around, out),
        }
    }
}

/// Where the logs are, and the state as the executor sees it; `options`: how it is opened.
async fn parts(config: &Config, options: Options) -> Result<(LogsUrl, StateLedger), Failure> {
    let Some(logs) = config.log_database.clone() else {
        return Err(Failure::Misuse(
            "where gocdnext keeps its log lines is not set: give --log-database, or log_database in the settings"
                .into(),
        ));
    };
    let store = upkeep::open(&config.state, options).await?;
    Ok((logs, StateLedger(Arc::new(store))))
}
