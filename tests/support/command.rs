//! The program as a process: how it is called, and that it ends with its test.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    ffi::OsStr,
    process::{Child, Command, Stdio},
};

/// A command that runs the program; settings in the environment are not for it.
pub fn program(arguments: &[&str]) -> Command {
    calling(env!("CARGO_BIN_EXE_gocdnext-flow"), arguments)
}

/// The same for what lies elsewhere.
pub fn calling(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GOCDNEXT_FLOW_") {
            command.env_remove(name);
        }
    }
    command
}

/// The same, saying nothing.
pub fn silent() -> Command {
    let mut command = program(&[]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A process, killed when dropped.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
