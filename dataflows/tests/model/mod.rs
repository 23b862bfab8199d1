//! The reference model: what every series must show, stated a second time, over sets (docs/rules.md).
//!
//! It shares no code with the machines: plain maps, everything recomputed from the facts. [`facts`] states what one
//! attempt and one run give at a moment; [`punctual`] applies that once, to the whole set (I1); [`recorded`] epoch by
//! epoch, freezing what is taken once (I1 for any other log, I3). [`fired`] counts which rules a test run has met.

pub mod facts;
pub mod fired;
pub mod generate;
pub mod punctual;
pub mod recorded;
pub mod shown;

/// Milliseconds.
pub type Ms = i64;
/// Out-of-order tolerance between facts of one attempt.
pub const SKEW: Ms = 2_000;
/// Run, job, attempt.
pub type Key = (u128, u128, u32);
