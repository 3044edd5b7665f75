//! Whose memory is this? Names for the parts of a program, and the thread's current one.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};

use crate::catalog::MAX_COMPONENTS;

use super::threads;

/// Component of what is allocated outside any scope.
pub const UNATTRIBUTED: &str = "unattributed";
/// Component of what the exporter itself allocates.
pub const OWN_COMPONENT: &str = "memory-exporter";

/// Component of everything whose own name found no room.
pub const OTHER: &str = "other";

pub(super) type ComponentId = u8;
pub(super) const UNATTRIBUTED_ID: ComponentId = 0;
pub(super) const OTHER_ID: ComponentId = 1;
/// Components that a thread can count for.
pub(super) const SLOTS: usize = MAX_COMPONENTS + 2;
const UNRESOLVED: ComponentId = ComponentId::MAX;

/// Names by identifier, filled one after the other; the first two stay empty. Without a lock: whoever held it may not exist in a child of
/// `fork`, and whoever could not wait would count for another component.
static NAMES: [AtomicPtr<&'static str>; SLOTS] = [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS];
/// Names that only call sites gave: they stand back behind those that the program or its configuration gave.
static DERIVED: [AtomicBool; SLOTS] = [const { AtomicBool::new(false) }; SLOTS];
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
        .chain(NAMES.iter().skip(2).map_while(name))
}

/// The name in a slot, if there is one.
fn name(slot: &AtomicPtr<&'static str>) -> Option<&'static str> {
    // SAFETY: null, or a box that was leaked after it was initialised and before the release that made it visible.
    unsafe { slot.load(Ordering::Acquire).as_ref() }.copied()
}

/// The name of a component.
pub(super) fn name_of(id: ComponentId) -> &'static str {
    match id {
        UNATTRIBUTED_ID => UNATTRIBUTED,
        OTHER_ID => OTHER,
        id => {
            let name = NAMES.get(usize::from(id)).and_then(name);
            name.unwrap_or(OTHER)
        }
    }
}

/// The identifier of a name, which is registered if there is room. Not in the path of an allocation: only a new component comes here.
pub(super) fn id_of(wanted: &str) -> ComponentId {
    let known = [UNATTRIBUTED, OTHER]
        .iter()
        .position(|known| *known == wanted);
    let id = known.or_else(|| {
        // Slot by slot: each is either taken, and then its name is looked at, or taken here, so that no name gets two.
        let mut slots = NAMES.iter().enumerate().skip(2);
        let found = slots.find(|(_, slot)| match name(slot) {
            Some(known) => known == wanted,
            None => add(slot, wanted) == wanted,
        });
        found.map(|(id, _)| id)
    });
    let id = id.and_then(|id| ComponentId::try_from(id).ok());
    id.unwrap_or_else(|| {
        DROPPED.fetch_add(1, Ordering::Relaxed);
        OTHER_ID
    })
}

/// Puts a name into a slot that was empty a moment ago, and says which name is in it now: another thread may have been faster.
fn add(slot: &AtomicPtr<&'static str>, wanted: &str) -> &'static str {
    // At most MAX_COMPONENTS times, but for those that were not fast enough, whose names stay too.
    let kept: &'static str = Box::leak(wanted.into());
    let own = Box::into_raw(Box::new(kept));
    match slot.compare_exchange(ptr::null_mut(), own, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => kept,
        Err(_) => {
            // SAFETY: `own` came from a box above and was shown to nobody.
            drop(unsafe { Box::from_raw(own) });
            name(slot).unwrap_or(OTHER)
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// Whoever is slow to name a component must not count for another one.
    #[test]
    fn all_who_name_a_component_at_once_get_the_same() {
        for name in ["named at once", "named at once, too"] {
            let begin = Barrier::new(16);
            let ids: Vec<ComponentId> = std::thread::scope(|scope| {
                let name_it = || {
                    begin.wait();
                    id_of(name)
                };
                let threads: Vec<_> = (0..16).map(|_| scope.spawn(name_it)).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect()
            });
            assert!(
                ids.iter().all(|id| *id == ids[0] && *id != OTHER_ID),
                "{ids:?}"
            );
            assert_eq!(component_names().filter(|known| *known == name).count(), 1);
            assert_eq!(name_of(ids[0]), name);
        }
    }
}
