//! `retention`: for how long logs are kept, and what becomes of them. One file a verb: arguments in, words out.

mod policy;

use super::Failure;
use crate::config::environment::Surroundings;
use clap::Subcommand;
use std::io::Write;

/// Look after the retention of job logs.
#[derive(Debug, Subcommand)]
pub enum RetentionVerb {
    #[command(subcommand)]
    Policy(policy::PolicyVerb),
}

impl RetentionVerb {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Policy(verb) => verb.start(around, out),
        }
    }
}
