//! Asks people before something is lost; scripts say `--yes`.

use super::{Failure, out::tell};
use std::io::{self, IsTerminal};
use tokio::sync::oneshot;

/// What somebody must agree to.
#[derive(Debug)]
pub struct Agreement {
    /// `None`: there is nothing left to ask.
    warning: Option<String>,
}

impl Agreement {
    /// `yes`: the flag. `warning`: what would be lost; `None`: nothing. Where there is nobody to ask it fails at once.
    pub fn to(warning: Option<String>, yes: bool) -> Result<Self, Failure> {
        let warning = warning.filter(|_| !yes);
        match &warning {
            Some(warning) if !(io::stdin().is_terminal() && io::stderr().is_terminal()) => {
                Err(Failure::Misuse(format!(
                    "somebody must agree to this, and there is no terminal to ask on: give --yes if it is meant\n{warning}"
                )))
            }
            _ => Ok(Self { warning }),
        }
    }

    /// Asks. A no, which Ctrl-C and the end of the input are too, is a failure.
    pub async fn get(self) -> Result<(), Failure> {
        let Some(warning) = self.warning else { return Ok(()) };
        let agreed = tokio::select! {
            answer = ask(&warning) => answer,
            _ = tokio::signal::ctrl_c() => {
                tell("\n");
                false
            }
        };
        if agreed { Ok(()) } else { Err(Failure::Other(anyhow::anyhow!("nothing was changed"))) }
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
