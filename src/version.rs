//! What this build is: for `--version` and the build-info series.

use std::sync::LazyLock;

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, where the build said so.
#[must_use]
pub fn revision() -> &'static str {
    option_env!("GOCDNEXT_FLOW_REVISION").unwrap_or("unknown")
}

/// `0.1.0 (revision 1234abc)`
#[must_use]
pub fn full() -> &'static str {
    static FULL: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (revision {})", revision()));
    &FULL
}
