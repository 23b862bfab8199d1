//! Migrations are compiled in: a new file among them is a reason to build again. And so is another commit, which
//! `--version` shows.

use std::{env, fs, path::Path, process::Command};

const VARIABLE: &str = "GOCDNEXT_FLOW_REVISION";

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    // given where there is no repository: in a container, from an archive
    if env::var_os(VARIABLE).is_none() {
        commit();
    }
}

fn commit() {
    // a source archive that was unpacked within somebody's repository is not that repository
    if git(&["rev-parse", "--show-prefix"]).is_none_or(|prefix| !prefix.is_empty()) {
        return;
    }
    watch_head();
    if let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) {
        println!("cargo:rustc-env={VARIABLE}={commit}");
    }
}

/// A commit or a checkout changes one of these files.
fn watch_head() {
    for name in ["HEAD", "logs/HEAD"] {
        // in a worktree it is elsewhere
        if let Some(path) = git(&["rev-parse", "--git-path", name])
            && fs::exists(Path::new(&path)).unwrap_or(false)
        {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}

/// What it says, or nothing where there is no git or no repository of ours.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
