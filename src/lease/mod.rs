//! One writer: who may write the state is said by a lease in its database (I7; docs/ARCHITECTURE.md, "State").
//!
//! A holder lives while its beat moves. No two clocks are compared: a newcomer measures by its own clock for how long it
//! has seen no beat, and only while its looks succeed, so that an outage of the database hands nothing over. What is decided
//! is decided by pure functions, by which the model of the commit protocol (`tests/commit_protocol`) decides, too.

pub mod silence;

use crate::{
    config::Config,
    store::{Lease, Store, StoreError},
};
use silence::{Silence, Verdict};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout_at},
};

const LOOK_EVERY: Duration = Duration::from_millis(250);
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// Without `ha`: a process that was killed comes back under the same name, and nobody else would be waiting for it.
const SAME_NAME_TTL: Duration = Duration::from_secs(3);

/// Who wants the lease.
#[derive(Clone, Debug)]
pub struct Claimant {
    pub instance_id: String,
    /// Tells this process from others of the same name.
    pub process: String,
    pub ttl: Duration,
    /// With it a holder shows its series until its time to live is over, whatever it is called (I7).
    pub ha: bool,
}

impl Claimant {
    /// This process, unlike any other, and unlike itself the next time.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let process = format!("{:032x}", rand::random::<u128>());
        Self { instance_id: config.instance_id.clone(), process, ttl: config.lease_ttl, ha: config.ha }
    }

    /// For how long this holder must be silent.
    fn ttl_of(&self, holder: &Lease) -> Duration {
        let restarted = !self.ha && holder.instance_id == self.instance_id;
        if restarted { self.ttl.min(SAME_NAME_TTL) } else { self.ttl }
    }
}

/// What one who waits has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Another instance holds the lease.
    Standby { holder: String },
    /// The database cannot be asked.
    Unanswered(String),
}

/// Whether the lease is still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Held,
    /// It could not be renewed for its time to live.
    Unsure,
    /// Another has taken over.
    Fenced,
}

/// A lease that is ours.
#[derive(Clone, Copy, Debug)]
pub struct Granted {
    pub generation: u64,
    /// When it was asked for: from then on it counts. `None`: found to have been granted, nobody knows when.
    pub asked: Option<Instant>,
}

/// Waits until the lease is ours. `told` hears each time what is waited for.
///
/// # Errors
/// [`StoreError`], transient ones excepted: these are waited out.
pub async fn acquire(store: &Store, who: &Claimant, mut told: impl FnMut(&Waiting)) -> Result<Granted, StoreError> {
    let mut silence = Silence::default();
    loop {
        match try_once(store, who, &mut silence).await {
            Ok(Some(granted)) => return Ok(granted),
            Ok(None) => told(&Waiting::Standby { holder: silence.holder() }),
            Err(StoreError::Transient { reason }) => {
                silence.interrupted();
                told(&Waiting::Unanswered(reason));
            }
            Err(error) => return Err(error),
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn try_once(store: &Store, who: &Claimant, silence: &mut Silence) -> Result<Option<Granted>, StoreError> {
    let lease = store.lease().await?;
    if let Some(generation) = held_by(&who.process, &lease) {
        // claimed before, and the answer was lost
        return Ok(Some(Granted { generation, asked: None }));
    }
    match silence.look(&lease, Instant::now(), who.ttl_of(&lease)) {
        Verdict::Wait => Ok(None),
        Verdict::Claim => claim(store, who, &lease).await,
    }
}

async fn claim(store: &Store, who: &Claimant, seen: &Lease) -> Result<Option<Granted>, StoreError> {
    let asked = Some(Instant::now());
    let generation = store.claim(seen, &who.instance_id, &who.process).await?;
    Ok(generation.map(|generation| Granted { generation, asked }))
}

/// What came of [`take`].
#[derive(Clone, Debug)]
pub enum Taken {
    Held(Granted),
    /// Another gave a sign of life.
    Alive {
        holder: String,
    },
}

/// Takes the lease unless somebody holds it and lives, which takes the whole time to live to be sure of. `told` hears whose
/// sign is waited for once that takes longer than a living one would take.
///
/// # Errors
/// [`StoreError`]
pub async fn take(store: &Store, who: &Claimant, told: impl FnOnce(&str)) -> Result<Taken, StoreError> {
    let (mut silence, first) = (Silence::default(), store.lease().await?);
    let (mut told, begun) = (Some(told), Instant::now());
    let mut seen = first.clone();
    loop {
        if let Some(generation) = held_by(&who.process, &seen) {
            return Ok(Taken::Held(Granted { generation, asked: None }));
        }
        if (seen.generation, seen.beat) != (first.generation, first.beat) {
            return Ok(Taken::Alive { holder: seen.instance_id });
        }
        if silence.look(&seen, Instant::now(), who.ttl) == Verdict::Claim {
            if let Some(granted) = claim(store, who, &seen).await? {
                return Ok(Taken::Held(granted));
            }
        } else if let Some(told) = told.take_if(|_| begun.elapsed() > RENEW_EVERY * 2) {
            told(&seen.instance_id);
        }
        sleep(LOOK_EVERY).await;
        seen = store.lease().await?;
    }
}

/// The generation that a process holds by a look at the lease: a claim of its may have been granted without its knowing.
#[must_use]
pub fn held_by(process: &str, found: &Lease) -> Option<u64> {
    (found.holder == process && !found.released).then_some(found.generation)
}

/// The lease, renewed until dropped or [`release`](Self::release)d.
#[derive(Debug)]
pub struct Held {
    store: Arc<Store>,
    pub generation: u64,
    standing: watch::Receiver<Standing>,
    ours_until: watch::Receiver<Instant>,
    renewal: JoinHandle<()>,
}

impl Held {
    /// Begins to renew.
    #[must_use]
    pub fn keep(store: Arc<Store>, granted: Granted, ttl: Duration) -> Self {
        let Granted { generation, asked } = granted;
        let (tell, standing) = watch::channel(Standing::Held);
        let (prolong, ours_until) = watch::channel(asked.map_or_else(Instant::now, |asked| asked + ttl));
        let renewal = tokio::spawn(renew(Arc::clone(&store), generation, ttl, tell, prolong));
        Self { store, generation, standing, ours_until, renewal }
    }

    /// Until when, with `ha`, nobody else can have taken over. It is past as soon as this process wakes that was stopped for longer,
    /// before anything can be asked of the database.
    #[must_use]
    pub fn ours_until(&self) -> watch::Receiver<Instant> {
        self.ours_until.clone()
    }

    /// Follows whether it is still held.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Gives the lease back, so that the next one need not wait, and closes the store, so that a file of SQLite's is
    /// whole by itself: its log lies in it.
    ///
    /// # Errors
    /// [`StoreError`]; the next one then waits for the time to live.
    pub async fn release(self) -> Result<(), StoreError> {
        self.renewal.abort();
        let released = self.store.release(self.generation).await;
        // what is committed stays so, in the file or in the log beside it
        let _ = self.store.close().await;
        released
    }

    /// As [`release`](Self::release), by an end that must not wait for a database that does not answer: what is not done by
    /// then is left.
    ///
    /// # Errors
    /// [`StoreError`]; the next one then waits for the time to live.
    pub async fn release_within(self, bound: Duration) -> Result<(), StoreError> {
        self.renewal.abort();
        let end = tokio::time::Instant::now() + bound;
        let released = timeout_at(end, self.store.release(self.generation)).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s", bound.as_secs_f64());
            Err(StoreError::Transient { reason })
        });
        // what is committed stays so, in the file or in the log beside it
        let _ = timeout_at(end, self.store.close()).await;
        released
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

async fn renew(
    store: Arc<Store>,
    generation: u64,
    ttl: Duration,
    tell: watch::Sender<Standing>,
    prolong: watch::Sender<Instant>,
) {
    loop {
        let asked = Instant::now();
        match store.renew(generation).await {
            Ok(()) => {
                prolong.send_replace(asked + ttl);
                tell.send_replace(Standing::Held);
            }
            Err(StoreError::Fenced) => {
                tell.send_replace(Standing::Fenced);
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "the lease could not be renewed");
                if Instant::now() >= *prolong.borrow() {
                    tell.send_replace(Standing::Unsure);
                }
            }
        }
        sleep(RENEW_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Fault, StateUrl, Step};

    fn claimant(instance_id: &str, ha: bool) -> Claimant {
        let (instance_id, process) = (instance_id.to_owned(), "new".to_owned());
        Claimant { instance_id, process, ttl: Duration::from_secs(15), ha }
    }

    #[test]
    fn with_ha_a_holder_of_the_same_name_is_waited_for_like_any_other() {
        let holder = Lease {
            generation: 1,
            beat: 1,
            instance_id: "a".to_owned(),
            holder: "old".to_owned(),
            released: false,
            renewed_at_ms: 0,
        };
        let waits = |instance_id, ha| claimant(instance_id, ha).ttl_of(&holder).as_secs();
        assert_eq!((waits("b", false), waits("b", true)), (15, 15));
        assert_eq!((waits("a", false), waits("a", true)), (3, 15), "it may show series for as long (I7)");
    }

    #[tokio::test]
    async fn an_end_does_not_wait_for_a_database_that_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StateUrl::sqlite(folder.path().join("state.db"))).await.unwrap();
        let store = store.with_probe(Arc::new(|step| match step {
            Step::BeforeRelease => Err(Fault::Pause(Duration::from_hours(1))),
            _ => Ok(()),
        }));
        let store = Arc::new(store);
        let granted = acquire(&store, &claimant("a", false), |_| ()).await.unwrap();
        let held = Held::keep(Arc::clone(&store), granted, Duration::from_secs(15));
        let begun = Instant::now();
        let released = held.release_within(Duration::from_millis(200)).await;
        assert!(released.is_err_and(|error| error.to_string().contains("no answer within 0.2 s")));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
