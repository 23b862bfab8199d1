//! What clap quotes of a command line that it refuses: nothing that may be a secret typed in a wrong place.
//!
//! A secret shows by what is in it (an address with a password), or by what stands in front (`--set kafka.sasl.password`,
//! with a blank in place of the `=`). The rest is quoted, since people look for their mistake by it.

use crate::config::kafka::{MASK, is_secret};
use clap::error::{ContextKind, ContextValue, Error};

const QUOTED: [ContextKind; 3] = [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand];

/// `error` without what may be a secret. `arguments`: the command line.
pub fn unquoted(mut error: Error, arguments: &[String]) -> Error {
    for kind in QUOTED {
        let Some(ContextValue::String(text)) = error.get(kind) else { continue };
        if may_be_secret(text, arguments) {
            error.insert(kind, ContextValue::String(MASK.to_owned()));
            // tips write it again
            error.remove(ContextKind::Suggested);
        }
    }
    error
}

fn may_be_secret(text: &str, arguments: &[String]) -> bool {
    // a flag of ours with its placeholder, as `--state <URL>`
    if text.starts_with("--") && text.contains(" <") {
        return false;
    }
    let follows_secret = arguments.windows(2).any(|pair| pair[1] == text && is_secret(&pair[0].to_lowercase()));
    follows_secret
        || text.contains("://")
        || text.contains('@')
        || (text.contains('=') && is_secret(&text.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_told_by_its_shape_and_by_what_is_in_front() {
        let line = ["run", "--set", "kafka.sasl.password", "hunter2", "replay", "x"].map(str::to_owned);
        for secret in ["hunter2", "postgres://u:hunter2@db/x", "u:hunter2@db", "kafka.sasl.password=hunter2"] {
            assert!(may_be_secret(secret, &line), "{secret}");
        }
        for harmless in ["x", "replay", "--jobs <N>", "--stat", "kafka:9092", "job_ttl=24h"] {
            assert!(!may_be_secret(harmless, &line), "{harmless}");
        }
    }
}
