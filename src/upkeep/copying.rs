//! A file's contents into a transfer, looked at on the way as a restore would: what does not load takes nobody's place.

use super::{
    file::{FileError, FileReader, Header, Part},
    load,
};
use crate::{
    store::{Blob, Transfer},
    wiring::{Details, RunError},
};
use dataflows::{
    audit::Audit,
    time::{Epoch, StreamTime},
};
use std::io::Read;

/// What was put in.
#[derive(Clone, Copy, Debug)]
pub struct Copied {
    pub blobs: u64,
    /// The newest epoch that they came to lie in.
    pub newest: u64,
    /// See [`Details::ledger_from`].
    pub ledger_from: u64,
}

/// Puts all of it in, blobs behind epoch `after`.
pub async fn copy<R: Read>(
    file: &mut FileReader<R>,
    header: &Header,
    details: &Details,
    transfer: &mut Transfer<'_>,
    after: u64,
) -> Result<Copied, RunError> {
    let mut audit = Audit::new(&load::settings_of(details));
    let mut epochs = Epochs { last: None, place: after };
    let (mut open, mut blobs, mut ledger_from) = (Vec::<Blob>::new(), 0, u64::MAX);
    while let Some(part) = file.next().map_err(|error| RunError::Refused(error.into()))? {
        let mut blob = match part {
            Part::Blob(blob) => blob,
            Part::Rows(rows) => {
                transfer.put_rows(&rows).await?;
                continue;
            }
        };
        if epochs.last != Some(blob.epoch) {
            transfer.put(&open).await?;
            open.clear();
        }
        audited(&mut audit, header, details, &blob)?;
        let place = epochs.place(blob.epoch);
        if blob.epoch >= details.ledger_from {
            ledger_from = ledger_from.min(place);
        }
        blob.epoch = place;
        blobs += 1;
        open.push(blob);
    }
    transfer.put(&open).await?;
    whole(audit, header)?;
    Ok(Copied { blobs, newest: epochs.place, ledger_from })
}

/// Where the file's epochs come to lie: as they are, unless that is not above the one before.
struct Epochs {
    last: Option<u64>,
    place: u64,
}

impl Epochs {
    fn place(&mut self, epoch: u64) -> u64 {
        if self.last.replace(epoch) != Some(epoch) {
            self.place = epoch.max(self.place.saturating_add(1));
        }
        self.place
    }
}

fn audited(audit: &mut Audit, header: &Header, details: &Details, blob: &Blob) -> Result<(), RunError> {
    let (epoch, lane) = (blob.epoch, blob.lane);
    if !(header.horizon..=header.epoch).contains(&epoch) {
        let (from, to) = (header.horizon, header.epoch);
        return Err(damaged(format!("a blob of epoch {epoch} in a state from {from} to {to}")));
    }
    load::take_in(audit, details, blob).map_err(|error| damaged(format!("epoch {epoch}, lane {lane}: {error}")))
}

fn whole(audit: Audit, header: &Header) -> Result<(), RunError> {
    let time = header.stream_time_ms.map_or(StreamTime::UNKNOWN, StreamTime);
    let contents = audit.finish(Epoch(header.epoch), time).map_err(|error| damaged(error.to_string()))?;
    let contradictions = contents.contradictions();
    if contradictions.is_empty() { Ok(()) } else { Err(damaged(contradictions.join("; "))) }
}

fn damaged(told: String) -> RunError {
    RunError::Refused(FileError::damaged(told).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_stay_as_they_are_where_they_can_and_always_increase() {
        let placed = |target, epochs: &[u64]| {
            let mut places = Epochs { last: None, place: target };
            epochs.iter().map(|epoch| places.place(*epoch)).collect::<Vec<_>>()
        };
        assert_eq!(placed(0, &[3, 3, 7]), [3, 3, 7]);
        assert_eq!(placed(5, &[3, 3, 4, 9]), [6, 6, 7, 9]);
        assert_eq!(placed(9, &[3, 4, 9]), [10, 11, 12]);
    }
}
