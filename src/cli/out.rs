//! Where a verb's result goes, and what it tells people on the way. A reader that has seen enough, as `head`, is no error:
//! the verb goes on to its end, and its exit code is what it would have been.

use super::Failure;
use clap::ValueEnum;
use std::io::{ErrorKind, Result, Write};

/// How a verb's result is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For scripts
    Json,
}

/// Writes a verb's result.
pub fn print(out: &mut dyn Write, text: &str) -> std::result::Result<(), Failure> {
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(anyhow::Error::from)?)
}

/// Writes to standard error. Where nobody reads it, or it cannot be written, there is nowhere left to say so: the exit code
/// speaks for itself.
pub fn tell(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Hides from the verb that nobody reads on.
pub struct Out<'a> {
    to: &'a mut dyn Write,
    is_read: bool,
}

impl<'a> Out<'a> {
    pub fn new(to: &'a mut dyn Write) -> Self {
        Self { to, is_read: true }
    }

    /// What is written while nobody reads, is written as far as the verb knows.
    fn unless_left<T>(&mut self, unread: T, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
        if !self.is_read {
            return Ok(unread);
        }
        match write(self.to) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_read = false;
                Ok(unread)
            }
            written => written,
        }
    }
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.unless_left(bytes.len(), |to| to.write(bytes))
    }

    fn flush(&mut self) -> Result<()> {
        self.unless_left((), |to| to.flush())
    }
}
