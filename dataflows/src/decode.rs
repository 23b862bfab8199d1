//! From bytes to events: the only place that sees text. Stub: the contract's owner writes it.

use crate::{
    event::{AgentEvent, DeliveryEvent, RunEvent},
    feed::{Batch, DeadLetter},
    names::Names,
    sequencer::Maxima,
    series::Quality,
    settings::Settings,
};

/// What came out of one batch.
#[derive(Debug, Default)]
pub struct Decoded {
    pub runs: Vec<RunEvent>,
    pub agents: Vec<AgentEvent>,
    pub deliveries: Vec<DeliveryEvent>,
    pub dead_letters: Vec<DeadLetter>,
    /// The largest min(event time, record timestamp) of each partition.
    pub maxima: Maxima,
    /// `events`, `rejected`, `ignored`, `skewed` (clamped times).
    pub quality: Quality,
    /// Records read, whatever became of them.
    pub records: u64,
}

/// One worker's decoder.
#[derive(Debug)]
pub struct Decoder {
    _private: (),
}

impl Decoder {
    #[must_use]
    pub fn new(_settings: &Settings, _names: Names) -> Self {
        Self { _private: () }
    }

    /// Decodes every record of the batch, adding to `out`.
    pub fn decode(&mut self, _batch: &Batch, _out: &mut Decoded) {}
}
