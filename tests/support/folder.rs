//! The folder a test works in: gone if it passes, kept and named if it fails.

use anyhow::Result;
use std::path::Path;

/// Plays a test in a folder of its own.
pub fn in_folder<T>(play: impl FnOnce(&Path) -> Result<T>) -> T {
    let folder = tempfile::tempdir().expect("a folder");
    match play(folder.path()) {
        Ok(done) => done,
        Err(error) => panic!("{error:#}\nall that was said and sent is kept in {}", folder.keep().display()),
    }
}
