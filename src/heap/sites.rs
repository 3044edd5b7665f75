//! Call sites: who allocates, told by the component, the operation and the stack; and what was sampled of each.
//!
//! A site is made when its first sample is taken, in memory of our own, and stays. Sites are found by hash, without locks: a place of the index is
//! written once, from null to its site. Their number and their bytes are bounded; what comes later shares one site that says so.

use std::alloc::Layout;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use super::arena;
use super::component::{ComponentId, UNATTRIBUTED_ID};
use super::counters::Operation;
use super::site::{FRAMES_AT, Site};
use super::unwind::Stack;

/// Most call sites that are told apart.
pub const MOST_SITES: usize = 32_768;
/// Most bytes that they may take.
const MOST_BYTES: usize = 18 << 20;

/// Places of each index; the next is used when the first is full around a hash.
const INDEX: [usize; 3] = [1 << 11, 1 << 14, 1 << 16];
/// Places that are looked at from a hash on.
const PROBES: usize = 16;

static SITES: AtomicPtr<Site> = AtomicPtr::new(ptr::null_mut());
static COUNT: AtomicU32 = AtomicU32::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static INDEXES: [AtomicPtr<AtomicPtr<Site>>; INDEX.len()] =
    [const { AtomicPtr::new(ptr::null_mut()) }; INDEX.len()];
/// What found no room.
static OVERFLOW: Site = Site::new(0, 0, UNATTRIBUTED_ID, 0, 0, false);

/// The site of a stack; made if it is new, the overflow site if there is no room for it.
pub(super) fn find(scope: ComponentId, operation: Operation, stack: &Stack) -> &'static Site {
    let key = Key {
        scope,
        operation: operation as u8,
        stack,
    };
    let hash = key.hash();
    let mut made = None;
    for index in 0..INDEX.len() {
        let Some(places) = index_or_map(index) else {
            break;
        };
        let mask = places.len() - 1;
        for probe in 0..PROBES {
            #[allow(clippy::cast_possible_truncation, reason = "only low bits are used")]
            let place = &places[(hash as usize).wrapping_add(probe) & mask];
            let mut found = place.load(Ordering::Acquire);
            if found.is_null() {
                let Some(fresh) = made.or_else(|| key.make(hash)) else {
                    return &OVERFLOW;
                };
                made = Some(fresh);
                let pointer = ptr::from_ref(fresh).cast_mut();
                let won = place.compare_exchange(
                    ptr::null_mut(),
                    pointer,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                match won {
                    Ok(_) => {
                        publish(fresh);
                        return fresh;
                    }
                    Err(first) => found = first,
                }
            }
            // SAFETY: not null, so it is a site, initialised before it was stored and never freed.
            let site = unsafe { &*found };
            if key.is_of(site, hash) {
                return site;
            }
        }
    }
    &OVERFLOW
}

/// All sites, newest first, the overflow site last if anything was counted there.
pub(super) fn all() -> impl Iterator<Item = &'static Site> {
    let mut next = SITES.load(Ordering::Acquire);
    let listed = std::iter::from_fn(move || {
        // SAFETY: null, or a site: initialised before it was published, and never freed.
        let site = unsafe { next.as_ref::<'static>() }?;
        next = site.next.load(Ordering::Relaxed);
        Some(site)
    });
    let overflow = OVERFLOW.is_used().then_some(&OVERFLOW);
    listed.chain(overflow)
}

struct Key<'a> {
    scope: ComponentId,
    operation: u8,
    stack: &'a Stack,
}

impl Key<'_> {
    fn hash(&self) -> u64 {
        const FACTOR: u64 = 0xff51_afd7_ed55_8ccd;
        let start = u64::from(self.scope) << 8 | u64::from(self.operation);
        let mixed = self.stack.frames().iter().fold(start, |hash, frame| {
            (hash ^ *frame as u64).wrapping_mul(FACTOR).rotate_left(29)
        });
        mixed ^ mixed >> 32
    }

    fn is_of(&self, site: &'static Site, hash: u64) -> bool {
        site.hash == hash
            && site.scope == self.scope
            && site.operation == self.operation
            && site.frames() == self.stack.frames()
    }

    /// A site that nobody knows of yet. If another thread is quicker, its few bytes are lost.
    fn make(&self, hash: u64) -> Option<&'static Site> {
        let frames = self.stack.frames();
        let size = FRAMES_AT + size_of_val(frames);
        let id = COUNT.fetch_add(1, Ordering::Relaxed);
        let before = BYTES.fetch_add(size, Ordering::Relaxed);
        if id as usize >= MOST_SITES || before + size > MOST_BYTES {
            COUNT.fetch_sub(1, Ordering::Relaxed);
            BYTES.fetch_sub(size, Ordering::Relaxed);
            return None;
        }
        let layout = Layout::from_size_align(size, align_of::<Site>()).ok()?;
        let pointer = arena::allocate(layout)?.cast::<Site>();
        let depth = u8::try_from(frames.len()).ok()?;
        let is_whole = self.stack.is_whole();
        let site = Site::new(hash, id + 1, self.scope, self.operation, depth, is_whole);
        // SAFETY: the arena gave memory of this layout to us alone, for ever; the frames lie within it, behind the site.
        unsafe {
            pointer.write(site);
            let place = pointer.cast::<u8>().add(FRAMES_AT).cast::<usize>();
            ptr::copy_nonoverlapping(frames.as_ptr(), place.as_ptr(), frames.len());
            Some(pointer.as_ref())
        }
    }
}

fn publish(site: &'static Site) {
    let mut head = SITES.load(Ordering::Relaxed);
    loop {
        site.next.store(head, Ordering::Relaxed);
        let pointer = ptr::from_ref(site).cast_mut();
        match SITES.compare_exchange_weak(head, pointer, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => head = now,
        }
    }
}

fn index_or_map(index: usize) -> Option<&'static [AtomicPtr<Site>]> {
    let mut places = INDEXES[index].load(Ordering::Acquire);
    if places.is_null() {
        let size = size_of::<AtomicPtr<Site>>() * INDEX[index];
        let fresh = arena::map(size)?.cast::<AtomicPtr<Site>>();
        let won = INDEXES[index].compare_exchange(
            ptr::null_mut(),
            fresh.as_ptr(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        places = match won {
            Ok(_) => fresh.as_ptr(),
            Err(first) => {
                arena::unmap(fresh.cast(), size);
                first
            }
        };
    }
    // SAFETY: an index that was published has this many places, all bits zero (null) or written since, and is never unmapped.
    Some(unsafe { std::slice::from_raw_parts(places, INDEX[index]) })
}
