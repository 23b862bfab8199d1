//! The folding side of a replay: takes the epochs in order, makes them durable where they are to be, sums them up.

use super::{
    deliver,
    reading::{Common, Cut},
};
use crate::{
    sinks::dead_letters::SinkError,
    summary::Tally,
    wiring::{
        committer::{CommitError, Committer},
        results::Takers,
    },
};
use dataflows::{graph::EpochOutput, ledger::Ledger, names::Names, registry::Snapshot};
use std::sync::{PoisonError, mpsc::Receiver};

/// Why an epoch was not taken in.
#[derive(Debug, thiserror::Error)]
pub(super) enum FoldError {
    #[error(transparent)]
    Letters(#[from] SinkError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// See the module.
pub(super) struct Folding<'a> {
    pub ledger: Ledger,
    /// `None`: nothing is kept.
    pub committer: Option<Committer>,
    pub cuts: Receiver<Cut>,
    pub common: &'a Common,
    pub last: Option<Snapshot>,
    pub tally: Tally,
    /// Read in all, whatever became of them.
    pub records: u64,
    pub names: Names,
    /// Who takes the results of jobs beside the summary.
    pub results: Takers,
}

impl Folding<'_> {
    pub fn fold(&mut self, mut output: EpochOutput) -> Result<(), FoldError> {
        deliver(&self.common.sink, &output.dead_letters)?;
        // sent before the epoch's end
        let cut = self.cuts.recv().unwrap_or_default();
        self.records += output.records + cut.refused.total();
        let mut deltas = std::mem::take(&mut output.deltas);
        deltas.quality.rejected.iter_mut().zip(cut.refused.0).for_each(|(sum, more)| *sum += more);
        let snapshot = self.ledger.fold(output.end.epoch, output.stream_time, deltas);
        if let Some(committer) = &mut self.committer {
            if output.dead_letters.len() as u64 + cut.refused.total() > 0 {
                self.common.sink.lock().unwrap_or_else(PoisonError::into_inner).sync()?;
            }
            committer.details.files = cut.marks;
            let lanes = std::mem::take(&mut output.state);
            committer.commit(&output, lanes, self.ledger.blob(output.sweep), &[])?;
            committer.collect();
        }
        self.common.in_flight.committed();
        for result in &output.results {
            self.tally.add(result);
        }
        self.results.iter_mut().for_each(|taker| taker.take(&output.results, &self.names));
        if output.end.last {
            self.last = Some(snapshot);
        }
        Ok(())
    }
}
