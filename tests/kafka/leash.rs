//! A process that must not outlive the test: killed when the test process is gone, however that went.
//!
//! A shell waits for the end of a pipe that only the test holds open, and then kills.

use std::process::{Child, Command, Stdio};

/// Lets go when dropped: by then whoever holds it has ended the process.
pub struct Leash(Child);

impl Leash {
    pub fn on(process: u32) -> Self {
        let script = r#"trap "" INT TERM HUP; read -r end; kill -KILL "$1" 2>/dev/null"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "leash", &process.to_string()]).stdin(Stdio::piped());
        Self(shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sh runs"))
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // it is killed before its pipe is closed
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
