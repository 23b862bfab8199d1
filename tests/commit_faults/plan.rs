//! What goes wrong, and when: by a list, or by the numbers that a seed gives.

use gocdnext_flow::store::Step;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};

/// A moment in the way of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Store(Step),
    Letters(Letters),
}

/// A moment of the dead-letter sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// None is taken.
    Before,
    /// Some of them are.
    Partway,
    /// All of them are, and the acknowledgement is lost.
    Acknowledged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// An error. A store's passes; a sink's ends the process.
    Fails,
    /// The process is killed.
    Dies,
    /// Another instance takes over.
    Superseded,
}

/// All moments at which anything may go wrong.
pub fn moments() -> Vec<Moment> {
    let beside = [Step::BeforeManifest, Step::BeforeBlobs, Step::BeforeRenew, Step::BeforeCollect, Step::Collected];
    let store = Step::ALL.into_iter().chain(beside).map(Moment::Store);
    store.chain([Letters::Before, Letters::Partway, Letters::Acknowledged].map(Moment::Letters)).collect()
}

/// Whether another instance can take over there: while a commit holds SQLite's only lock it cannot.
pub fn may_be_superseded(moment: Moment) -> bool {
    !matches!(
        moment,
        Moment::Store(
            Step::Begun | Step::ChunkWritten | Step::BlobsWritten | Step::ManifestWritten | Step::BeforeRenew
        )
    )
}

pub enum Plan {
    Nothing,
    /// One after the other, each at the next moment of its kind.
    List(VecDeque<(Moment, Trouble)>),
    /// By seed, epoch, moment and how often it came in that epoch: whatever else happened.
    Random {
        seed: u64,
        visits: BTreeMap<(u64, usize), u64>,
    },
}

impl Plan {
    /// Every trouble at every moment.
    pub fn all() -> Self {
        let mut list = VecDeque::new();
        for moment in moments() {
            list.extend([(moment, Trouble::Fails), (moment, Trouble::Dies)]);
            list.extend(may_be_superseded(moment).then_some((moment, Trouble::Superseded)));
        }
        // what reads the manifest is an error of a commit
        let error = (Moment::Store(Step::Begun), Trouble::Fails);
        let manifest = Moment::Store(Step::BeforeManifest);
        list = list
            .into_iter()
            .flat_map(|entry| if entry.0 == manifest { vec![error, entry] } else { vec![entry] })
            .collect();
        Self::List(list)
    }

    pub const fn random(seed: u64) -> Self {
        Self::Random { seed, visits: BTreeMap::new() }
    }

    /// What goes wrong at a moment after an epoch was committed.
    pub fn at(&mut self, moment: Moment, epoch: u64) -> Option<Trouble> {
        match self {
            Self::Nothing => None,
            Self::List(list) => {
                let due = list.front().is_some_and(|(at, _)| *at == moment);
                if due { list.pop_front().map(|(_, trouble)| trouble) } else { None }
            }
            Self::Random { seed, visits } => {
                let place = moments().iter().position(|of| *of == moment)?;
                let visit = visits.entry((epoch, place)).or_default();
                *visit += 1;
                let mix = [*seed, epoch, place as u64, *visit].into_iter();
                let mixed = mix.fold(0, |mixed: u64, number| mixed.wrapping_mul(1_000_003).wrapping_add(number));
                match ChaCha8Rng::seed_from_u64(mixed).random_range(0..60) {
                    0 => Some(Trouble::Dies),
                    1 | 2 => Some(Trouble::Fails),
                    3 if may_be_superseded(moment) => Some(Trouble::Superseded),
                    _ => None,
                }
            }
        }
    }

    /// Epochs that may be under way at once: with one, all that happens has one order.
    pub const fn max_epochs_in_flight(&self) -> u64 {
        if matches!(self, Self::Random { .. }) { 1 } else { 4 }
    }

    pub fn is_done(&self) -> bool {
        !matches!(self, Self::List(list) if !list.is_empty())
    }
}

/// How often each trouble came, by moment.
#[derive(Default)]
pub struct Tally(BTreeMap<String, u32>);

impl Tally {
    pub fn count(&mut self, moment: Moment, trouble: Trouble) {
        *self.0.entry(format!("{moment:?} {trouble:?}")).or_default() += 1;
    }

    pub fn of(&self, moment: Moment, trouble: Trouble) -> u32 {
        self.0.get(&format!("{moment:?} {trouble:?}")).copied().unwrap_or(0)
    }

    pub fn total(&self) -> u32 {
        self.0.values().sum()
    }
}
