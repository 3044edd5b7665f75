//! The sampler and the history together, shared by everybody who asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{History, OwnStats, Point, Sampler, SamplerOptions, Snapshot};

/// Takes snapshots for whoever asks, and keeps the history that the ticker writes.
#[derive(Debug)]
pub struct Recorder {
    /// The sampler, and the snapshot that the ticker uses again and again.
    sampler: Mutex<(Sampler, Snapshot)>,
    history: Mutex<History>,
    own: Arc<OwnStats>,
}

impl Recorder {
    /// A recorder with an empty history.
    pub fn new(options: SamplerOptions, history: History) -> Self {
        let own = Arc::new(OwnStats::default());
        let sampler = Sampler::new(options, Arc::clone(&own));
        Self {
            sampler: Mutex::new((sampler, Snapshot::default())),
            history: Mutex::new(history),
            own,
        }
    }

    /// A snapshot of now; the history is not touched.
    pub fn snapshot(&self) -> Snapshot {
        let history_bytes = self.history().reserved_bytes();
        let mut snapshot = Snapshot::default();
        lock(&self.sampler).0.sample(&mut snapshot, history_bytes);
        snapshot
    }

    /// Takes a snapshot and adds it to the history. Only the ticker calls this. In the steady state it allocates nothing.
    pub fn tick(&self) {
        let history_bytes = self.history().reserved_bytes();
        let mut sampler = lock(&self.sampler);
        let (sampler, snapshot) = &mut *sampler;
        sampler.sample(snapshot, history_bytes);
        let point = Point::of(snapshot);
        self.history().push(point);
    }

    /// The history, locked while it is held.
    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// What the exporter counts about itself.
    pub fn own(&self) -> &Arc<OwnStats> {
        &self.own
    }
}

/// A poisoned lock means that some thread panicked while it held plain data, which is still plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
