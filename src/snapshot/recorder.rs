//! The sampler and the history together, shared by everybody who asks.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Config;

use super::{Archive, Derived, History, OwnStats, Point, Sampler, SamplerOptions, Snapshot};

/// Says what follows for a snapshot from the history.
type Derive = Box<dyn Fn(&Snapshot, &History) -> Derived + Send + Sync>;

/// Takes snapshots for whoever asks, and keeps the history that the ticker writes.
pub struct Recorder {
    /// The sampler, and the snapshot that the ticker uses again and again.
    sampler: Mutex<(Sampler, Snapshot)>,
    history: Mutex<History>,
    /// Number and start of the process that was seen last.
    watched: Mutex<Option<(u32, Option<f64>)>>,
    own: Arc<OwnStats>,
    derive: Option<Derive>,
    archive: Option<Arc<Archive>>,
}

impl Recorder {
    /// A recorder with an empty history.
    pub fn new(options: SamplerOptions, history: History) -> Self {
        let own = Arc::new(OwnStats::default());
        let sampler = Sampler::new(options, Arc::clone(&own));
        Self {
            sampler: Mutex::new((sampler, Snapshot::default())),
            history: Mutex::new(history),
            watched: Mutex::default(),
            own,
            derive: None,
            archive: None,
        }
    }

    /// From now on every snapshot says what follows from the history: the door by which what stands above this floor reaches the
    /// metrics. `derive` is called with the history locked, so it should take no more than some hundred microseconds.
    pub fn deriving(
        mut self,
        derive: impl Fn(&Snapshot, &History) -> Derived + Send + Sync + 'static,
    ) -> Self {
        self.derive = Some(Box::new(derive));
        self
    }

    /// From now on what is pushed out of memory can be read from disk, where the ticker has it written.
    pub(crate) fn keeping(mut self, archive: Option<Arc<Archive>>) -> Self {
        self.archive = archive;
        self
    }

    /// The past on disk, where there is one.
    pub(crate) fn archive(&self) -> Option<&Arc<Archive>> {
        self.archive.as_ref()
    }

    /// From now on other bounds hold: of the past in memory and on disk, and of the memory of the process.
    pub(crate) fn rebound(&self, config: &Config) {
        {
            let mut history = self.history();
            *history = history.resized(config.sampling.max_samples, config.history.retention);
        }
        lock(&self.sampler)
            .0
            .set_limit(config.limits.memory.given());
        if let Some(archive) = &self.archive {
            archive.rebound(config.history.retention, config.history.max_bytes);
        }
    }

    /// Writes the last moment to disk, if that was not done yet, and lets go of what is there.
    pub(crate) fn close(&self) {
        if let Some(archive) = &self.archive {
            if let Some(last) = self.history().points().next_back() {
                archive.add(last);
            }
            archive.close();
        }
    }

    /// A snapshot of now; the history is not touched.
    pub fn snapshot(&self) -> Snapshot {
        let history_bytes = self.history().reserved_bytes();
        let mut snapshot = Snapshot::default();
        lock(&self.sampler).0.sample(&mut snapshot, history_bytes);
        if let Some(derive) = &self.derive {
            snapshot.derived = derive(&snapshot, &self.history());
        }
        snapshot
    }

    /// Takes a snapshot and adds it to the history, which begins anew when it is of another process than the one before: what that
    /// one did says nothing about this one. Says whether it did. Only the ticker calls this. In the steady state it allocates nothing.
    pub fn tick(&self) -> bool {
        let history_bytes = self.history().reserved_bytes();
        let mut sampler = lock(&self.sampler);
        let (sampler, snapshot) = &mut *sampler;
        sampler.sample(snapshot, history_bytes);
        let process = snapshot.process.get();
        let now = process.map(|process| (process.pid, process.start_time));
        let mut watched = lock(&self.watched);
        let before = *watched;
        let is_another = before.zip(now).is_some_and(|(before, now)| {
            let starts = before.1.zip(now.1);
            before.0 != now.0 || starts.is_some_and(|(before, now)| before != now)
        });
        *watched = now.or(before);
        let point = Point::of(snapshot);
        let mut history = self.history();
        if is_another {
            history.clear();
        }
        history.push(point);
        is_another
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

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

/// A poisoned lock means that some thread panicked while it held plain data, which is still plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
