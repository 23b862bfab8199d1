//! Texts that were rendered and are on their way to their readers. One of 100,000 series has many MB, and its reader may be slow.
//!
//! What must stay true (I6): there is room for [`ROOM`] of them, each of which keeps its place until its last byte was
//! taken; who wants one meanwhile waits, no longer than `http_timeout`. Who has not taken it within `http_timeout` is cut
//! off (`connections`), so that the place comes back.

use axum::body::Bytes;
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub const ROOM: usize = 16;

/// Where they are kept.
#[derive(Clone, Debug)]
pub struct Texts(Arc<Semaphore>);

impl Default for Texts {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM)))
    }
}

/// A place for one text.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// In a response: tells whether its text is still there.
#[derive(Clone, Debug)]
pub struct OnItsWay(Weak<Text>);

impl OnItsWay {
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.0.strong_count() == 0
    }
}

#[derive(Debug)]
struct Text {
    text: String,
    _place: Place,
}

/// Whoever sends it keeps it.
struct Sent(Arc<Text>);

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        self.0.text.as_bytes()
    }
}

impl Texts {
    /// Waits for a place; `None` never comes, but for a defect.
    pub async fn place(&self) -> Option<Place> {
        Arc::clone(&self.0).acquire_owned().await.ok().map(|permit| Place { _permit: permit })
    }
}

impl Place {
    /// Puts a text there, until the last byte of the body was taken.
    #[must_use]
    pub fn keep(self, text: String) -> (Bytes, OnItsWay) {
        let text = Arc::new(Text { text, _place: self });
        let on_its_way = OnItsWay(Arc::downgrade(&text));
        (Bytes::from_owner(Sent(text)), on_its_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_comes_back_with_the_last_byte() {
        let texts = Texts::default();
        let place = texts.place().await.unwrap();
        let (mut bytes, on_its_way) = place.keep("some text".to_owned());
        let taken = bytes.split_to(4);
        drop(taken);
        assert!(!on_its_way.is_taken());
        assert_eq!(texts.0.available_permits(), ROOM - 1);
        drop(bytes);
        assert!(on_its_way.is_taken());
        assert_eq!(texts.0.available_permits(), ROOM);
    }
}
