//! Records that could not be read go where someone can look at them, with origin and reason (I5).
//!
//! [`Sink::deliver`] returns only when the letters are durable: an epoch is not published before that.

use dataflows::feed::DeadLetter;

/// The letters could not be made durable for good (what is transient is retried inside the sink).
#[derive(Debug, thiserror::Error)]
#[error("dead letters cannot be written to {target}: {cause}")]
pub struct SinkError {
    pub target: String,
    pub cause: String,
}

/// A place for dead letters. Used from the publisher's thread alone; may block.
pub trait Sink: Send {
    /// Makes the letters durable.
    ///
    /// # Errors
    /// [`SinkError`]
    fn deliver(&mut self, letters: &[DeadLetter]) -> Result<(), SinkError>;
}
