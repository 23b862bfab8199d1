//! `state`: the durable state looked at, copied, begun anew. One file a verb: arguments in, words out.

mod export;
mod import;
mod rebucket;
mod reset;
mod show;
mod verify;

use super::Failure;
use crate::config::environment::Surroundings;
use clap::Subcommand;
use std::io::Write;

/// Look after the durable state.
#[derive(Debug, Subcommand)]
pub enum StateVerb {
    Show(show::Show),
    Verify(verify::Verify),
    Export(export::Export),
    Import(import::Import),
    Reset(reset::Reset),
    Rebucket(rebucket::Rebucket),
}

impl StateVerb {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Show(verb) => verb.start(around, out),
            Self::Verify(verb) => verb.start(around, out),
            Self::Export(verb) => verb.start(around, out),
            Self::Import(verb) => verb.start(around, out),
            Self::Reset(verb) => verb.start(around, out),
            Self::Rebucket(verb) => verb.start(around, out),
        }
    }
}

/// Two columns.
pub(super) fn columns<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    rows.into_iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect()
}
