//! Whose memory is this? Names for the parts of a program, and the thread's current one.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, TryLockError};

use crate::catalog::MAX_COMPONENTS;

use super::threads;

/// Component of what is allocated outside any scope.
pub const UNATTRIBUTED: &str = "unattributed";

/// Component of everything whose own name found no room.
pub const OTHER: &str = "other";

pub(super) type ComponentId = u8;
pub(super) const UNATTRIBUTED_ID: ComponentId = 0;
pub(super) const OTHER_ID: ComponentId = 1;
/// Components that a thread can count for.
pub(super) const SLOTS: usize = MAX_COMPONENTS + 2;
const UNRESOLVED: ComponentId = ComponentId::MAX;

static NAMES: [OnceLock<&'static str>; SLOTS] = [const { OnceLock::new() }; SLOTS];
/// Names that only call sites gave: they stand back behind those that the program or its configuration gave.
static DERIVED: [AtomicBool; SLOTS] = [const { AtomicBool::new(false) }; SLOTS];
/// Held while a name is added. Not in the path of an allocation: only `enter` of a new component comes here.
static ADDING: Mutex<()> = Mutex::new(());
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// A part of the program that memory is charged to.
///
/// ```
/// use memory_exporter::Component;
///
/// static CACHE: Component = Component::new("cache");
///
/// fn fill() -> Vec<u8> {
///     let _scope = CACHE.enter();
///     vec![0; 4096] // counted for "cache"
/// }
/// # assert_eq!(fill().len(), 4096);
/// ```
///
/// Two components of one name are one component. Names should come from code, never from data: a process can name
/// [`MAX_COMPONENTS`](crate::catalog::MAX_COMPONENTS); what comes later counts for [`OTHER`] and as a dropped name.
#[derive(Debug)]
pub struct Component {
    name: &'static str,
    id: AtomicU8,
}

impl Component {
    /// A component of this name; nothing is registered before it is first entered.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            id: AtomicU8::new(UNRESOLVED),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Charges what this thread allocates to the component until the guard is dropped. Guards nest.
    ///
    /// Charged is who allocates, not who holds later, and a guard does not follow work to other threads: use
    /// [`InComponent`](super::InComponent) for futures.
    #[must_use = "the component is left when the guard is dropped"]
    pub fn enter(&self) -> ComponentGuard {
        ComponentGuard::new(self.id())
    }

    pub(super) fn id(&self) -> ComponentId {
        match self.id.load(Ordering::Relaxed) {
            UNRESOLVED => {
                let id = id_of(self.name);
                DERIVED[usize::from(id)].store(false, Ordering::Relaxed);
                self.id.store(id, Ordering::Relaxed);
                id
            }
            id => id,
        }
    }
}

/// Keeps a component entered on the thread that made it.
#[derive(Debug)]
pub struct ComponentGuard {
    previous: ComponentId,
    /// A guard speaks of its own thread: not `Send`.
    thread: PhantomData<*const ()>,
}

impl ComponentGuard {
    pub(super) fn new(component: ComponentId) -> Self {
        Self {
            previous: threads::enter(component),
            thread: PhantomData,
        }
    }
}

impl Drop for ComponentGuard {
    fn drop(&mut self) {
        threads::enter(self.previous);
    }
}

/// Names of all components so far, in the order in which they were first named, behind [`UNATTRIBUTED`] and [`OTHER`].
pub fn component_names() -> impl Iterator<Item = &'static str> {
    [UNATTRIBUTED, OTHER]
        .into_iter()
        .chain(NAMES.iter().skip(2).map_while(OnceLock::get).copied())
}

/// The name of a component.
pub(super) fn name_of(id: ComponentId) -> &'static str {
    match id {
        UNATTRIBUTED_ID => UNATTRIBUTED,
        OTHER_ID => OTHER,
        id => {
            let name = NAMES.get(usize::from(id)).and_then(OnceLock::get);
            name.copied().unwrap_or(OTHER)
        }
    }
}

/// The identifier of a name, which is registered if there is room.
pub(super) fn id_of(name: &str) -> ComponentId {
    let find = || component_names().position(|known| known == name);
    let id = find().or_else(|| {
        let _adding = adding()?;
        find().or_else(|| {
            let free = component_names().count();
            let Some(slot) = NAMES.get(free) else {
                DROPPED.fetch_add(1, Ordering::Relaxed);
                return None;
            };
            let kept: &'static str = Box::leak(name.into()); // at most MAX_COMPONENTS times
            slot.set(kept).ok().map(|()| free)
        })
    });
    let id = id.and_then(|id| ComponentId::try_from(id).ok());
    id.unwrap_or(OTHER_ID)
}

/// The right to add a name. Bounded: in a child of `fork`, whoever held it may not exist.
fn adding() -> Option<MutexGuard<'static, ()>> {
    const TRIES: u32 = 10_000;
    for _ in 0..TRIES {
        match ADDING.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
    DROPPED.fetch_add(1, Ordering::Relaxed);
    None
}

/// The identifier of a name that was derived from call sites.
pub(super) fn id_of_derived(name: &str) -> ComponentId {
    let is_new = !component_names().any(|known| known == name);
    let id = id_of(name);
    if is_new && id != OTHER_ID {
        DERIVED[usize::from(id)].store(true, Ordering::Relaxed);
    }
    id
}

/// Whether the component at this place of [`component_names`] was only derived from call sites.
pub fn is_derived(index: usize) -> bool {
    DERIVED
        .get(index)
        .is_some_and(|derived| derived.load(Ordering::Relaxed))
}

/// How many times a new name found no room.
pub fn dropped_components() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}
