//! Asks people before something is lost; scripts say `--yes`.

use super::Failure;
use crate::cli::out::tell;
use std::io::{self, IsTerminal};
use tokio::sync::oneshot;

/// Whether somebody can be asked.
#[derive(Clone, Copy, Debug)]
pub enum Confirmation {
    Given,
    /// On the terminal.
    ToAsk,
}

impl Confirmation {
    /// `yes`: the flag.
    pub fn of(yes: bool, warning: &str) -> Result<Self, Failure> {
        if yes {
            return Ok(Self::Given);
        }
        if io::stdin().is_terminal() && io::stderr().is_terminal() {
            return Ok(Self::ToAsk);
        }
        Err(Failure::Misuse(format!(
            "somebody must agree to this, and there is no terminal to ask on: give --yes if it is meant\n{warning}"
        )))
    }

    /// Whether it was agreed to; Ctrl-C and the end of the input are a no.
    pub async fn get(self, warning: &str) -> bool {
        match self {
            Self::Given => true,
            Self::ToAsk => tokio::select! {
                answer = ask(warning) => answer,
                _ = tokio::signal::ctrl_c() => {
                    tell("\n");
                    false
                }
            },
        }
    }
}

/// A thread of its own waits for the line: nothing can end its waiting, and nobody waits for it.
async fn ask(warning: &str) -> bool {
    tell(&format!("{warning}Type yes to go on: "));
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        // nobody may be listening any more
        let _ = tell.send(read.is_ok() && line.trim() == "yes");
    });
    told.await.unwrap_or(false)
}

/// What is told of a no.
pub fn declined() -> Failure {
    Failure::Other(anyhow::anyhow!("nothing was changed"))
}
