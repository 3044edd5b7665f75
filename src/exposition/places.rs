//! Places for connections: so many, and nobody can be locked out of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Time that a new connection has for its request before it may be made to leave.
const GRACE: Duration = Duration::from_millis(100);
/// How often a full server looks whether somebody may be made to leave.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// Places for connections. All of them may be taken by clients that send nothing: such a client loses its place to a new one.
pub(super) struct Places {
    most: AtomicUsize,
    open: Mutex<Open>,
    /// A place is free again, or a request has ended.
    pub(super) changed: Notify,
}

/// Connections by age.
#[derive(Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

struct Connection {
    since: Instant,
    busy: Arc<AtomicBool>,
    task: Option<AbortHandle>,
}

/// A place that is taken until it is dropped.
pub(super) struct Place {
    pub(super) id: u64,
    /// A request is being answered.
    pub(super) busy: Arc<AtomicBool>,
    places: Arc<Places>,
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: AtomicUsize::new(most),
            open: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// From now on there are so many. Who is there already stays.
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Waits until there is a place, or one that can be taken away.
    pub(super) async fn wait(&self) {
        loop {
            let changed = self.changed.notified();
            let is_full = {
                let open = self.open();
                open.connections.len() >= self.most() && open.idle().is_none()
            };
            if !is_full {
                return;
            }
            let _ = tokio::time::timeout(FULL_PAUSE, changed).await;
        }
    }

    pub(super) fn take(places: &Arc<Self>) -> Place {
        let is_full = places.open().connections.len() >= places.most();
        if is_full {
            places.make_room();
        }
        let mut open = places.open();
        let id = open.next;
        open.next += 1;
        let busy = Arc::new(AtomicBool::new(false));
        open.connections.insert(
            id,
            Connection {
                since: Instant::now(),
                busy: Arc::clone(&busy),
                task: None,
            },
        );
        drop(open);
        Place {
            id,
            busy,
            places: Arc::clone(places),
        }
    }

    /// Makes the connection leave that has waited longest without a request, if one has had its time.
    pub(super) fn make_room(&self) {
        let mut open = self.open();
        if let Some(oldest) = open.idle() {
            open.evict(oldest);
        }
    }

    pub(super) fn occupied_by(&self, id: u64, task: AbortHandle) {
        if let Some(connection) = self.open().connections.get_mut(&id) {
            connection.task = Some(task);
        }
    }

    pub(super) fn evict_all(&self) {
        let mut open = self.open();
        while let Some(id) = open.connections.keys().next().copied() {
            open.evict(id);
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// The oldest connection without a request that has had its time.
    fn idle(&self) -> Option<u64> {
        let mut old = self
            .connections
            .iter()
            .take_while(|(_, connection)| connection.since.elapsed() >= GRACE);
        old.find(|(_, connection)| !connection.busy.load(Ordering::Relaxed))
            .map(|(id, _)| *id)
    }

    fn evict(&mut self, id: u64) {
        if let Some(task) = self
            .connections
            .remove(&id)
            .and_then(|connection| connection.task)
        {
            task.abort();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open().connections.remove(&self.id);
        self.places.changed.notify_one();
    }
}
