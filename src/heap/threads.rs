//! One block of counters per thread.
//!
//! A thread takes a block at its first allocation and leaves it, counts and all, when it ends; the next new thread takes it over
//! and counts on. So the sum over all blocks is exact at any time, nothing is folded anywhere, and there are never more
//! blocks than threads lived at once. Whatever a thread still allocates after its block is gone (in destructors that run late)
//! goes to one shared set of counters, by atomic additions.
//!
//! A reader can also ask all threads for attention: each then runs a hook at its next allocator call. The forced release uses it to
//! make every thread give back its jemalloc cache, which no other thread can do for it.

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};

use super::arena;
use super::component::{self, ComponentId, SLOTS};
use super::counters::{ComponentCounts, Counters, Counts, Operation, add_owned, add_shared};

/// The counters of one thread, and after it of the next.
#[repr(C, align(64))]
struct Block {
    /// Counters of the component that is entered. Null sends the next allocator call of the thread into the cold path.
    current: AtomicPtr<Counters>,
    component: AtomicU8,
    taken: AtomicBool,
    attention: AtomicBool,
    /// Written before the block is published, never after.
    next: AtomicPtr<Block>,
    /// Counters by component, made when first entered.
    slots: [AtomicPtr<Counters>; SLOTS],
}

impl Block {
    const fn new() -> Self {
        Self {
            current: AtomicPtr::new(ptr::null_mut()),
            component: AtomicU8::new(0),
            taken: AtomicBool::new(false),
            attention: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
            slots: [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS],
        }
    }
}

/// Stands in a thread that has not allocated yet. Its `current` is always null.
static NEWBORN: Block = Block::new();
/// Stands in a thread whose block is gone, or that never got one. Its `current` is always null.
static LATE: Block = Block::new();
/// What such threads count.
static LATE_COUNTERS: Counters = Counters::new();

/// All blocks ever made, newest first. Grows at its head only.
static BLOCKS: AtomicPtr<Block> = AtomicPtr::new(ptr::null_mut());
/// One more than the pthread key whose destructor gives a block back; 0 = not made yet.
static EXIT_KEY: AtomicUsize = AtomicUsize::new(0);
static HOOK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    // Constant and without a destructor: reading it is one load, it can be read at any time of a thread's life, and it never allocates.
    static BLOCK: Cell<&'static Block> = const { Cell::new(&NEWBORN) };
}

/// Counts an operation that succeeded.
#[inline(always)]
pub(super) fn count_operation(operation: Operation, size: usize) {
    match current() {
        Some(counters) => counters.operation(operation, size, add_owned),
        None => cold(|counters, add| counters.operation(operation, size, add)),
    }
}

/// Counts a realloc that succeeded.
#[inline(always)]
pub(super) fn count_realloc(old_size: usize, new_size: usize) {
    match current() {
        Some(counters) => {
            counters.operation(Operation::Realloc, new_size, add_owned);
            counters.returned(old_size, add_owned);
        }
        None => cold(|counters, add| {
            counters.operation(Operation::Realloc, new_size, add);
            counters.returned(old_size, add);
        }),
    }
}

/// Counts a block given back, or says that it takes [`count_deallocation_cold`].
#[inline(always)]
pub(super) fn count_deallocation(size: usize) -> bool {
    let counters = current();
    if let Some(counters) = counters {
        counters.deallocation(size, add_owned);
    }
    counters.is_some()
}

pub(super) fn count_deallocation_cold(size: usize) {
    cold(|counters, add| counters.deallocation(size, add));
}

#[inline(always)]
fn current() -> Option<&'static Counters> {
    let counters = BLOCK.with(Cell::get).current.load(Ordering::Relaxed);
    // SAFETY: null, or counters in the arena: initialised before they were stored here, and never freed.
    unsafe { counters.as_ref() }
}

/// First allocation of a thread, attention wanted, or a thread without a block.
#[cold]
#[inline(never)]
fn cold(count: impl FnOnce(&Counters, fn(&std::sync::atomic::AtomicU64, u64))) {
    match own_block() {
        Some(block) => {
            attend(block);
            let component = block.component.load(Ordering::Relaxed);
            match slot(block, component) {
                Some(counters) => {
                    block
                        .current
                        .store(ptr::from_ref(counters).cast_mut(), Ordering::Relaxed);
                    count(counters, add_owned);
                }
                None => count(&LATE_COUNTERS, add_shared),
            }
        }
        None => count(&LATE_COUNTERS, add_shared),
    }
}

/// Makes `component` the one that the calling thread allocates for, and returns the one before.
pub(super) fn enter(component: ComponentId) -> ComponentId {
    let Some(block) = own_block() else {
        return component;
    };
    let previous = block.component.load(Ordering::Relaxed);
    if previous != component {
        block.component.store(component, Ordering::Relaxed);
        // A wanted attention or missing counters are seen to in the cold path, so null serves for both.
        let counters = match slot(block, component) {
            Some(counters) if !block.attention.load(Ordering::Relaxed) => {
                ptr::from_ref(counters).cast_mut()
            }
            _ => ptr::null_mut(),
        };
        block.current.store(counters, Ordering::Relaxed);
    }
    previous
}

/// The block of the calling thread; `None` when it has given it back or the kernel has no memory for one.
fn own_block() -> Option<&'static Block> {
    let block = BLOCK.with(Cell::get);
    if ptr::eq(block, &NEWBORN) {
        return adopt();
    }
    (!ptr::eq(block, &LATE)).then_some(block)
}

/// Takes over a block that a thread has left, or makes one.
fn adopt() -> Option<&'static Block> {
    let block = blocks()
        .find(|block| {
            // Acquire: what the last owner counted is the base on which this one counts.
            block
                .taken
                .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        })
        .or_else(make_block);
    let Some(block) = block else {
        BLOCK.with(|own| own.set(&LATE));
        return None;
    };
    block
        .component
        .store(component::UNATTRIBUTED_ID, Ordering::Relaxed);
    block.attention.store(false, Ordering::Relaxed);
    BLOCK.with(|own| own.set(block));
    // Were there no destructor to be had, the block would stay taken for ever, which costs memory but no count.
    leave_at_exit(block);
    Some(block)
}

fn make_block() -> Option<&'static Block> {
    let pointer = arena::allocate(Layout::new::<Block>())?.cast::<Block>();
    // SAFETY: the arena gave memory of this layout to us alone, for ever.
    let block: &'static Block = unsafe {
        pointer.write(Block::new());
        pointer.as_ref()
    };
    block.taken.store(true, Ordering::Relaxed);
    let mut head = BLOCKS.load(Ordering::Relaxed);
    loop {
        block.next.store(head, Ordering::Relaxed);
        match BLOCKS.compare_exchange_weak(
            head,
            pointer.as_ptr(),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            Ok(_) => return Some(block),
            Err(now) => head = now,
        }
    }
}

/// The counters of a component on a block of the calling thread, made if need be.
fn slot(block: &Block, component: ComponentId) -> Option<&'static Counters> {
    let slot = block.slots.get(usize::from(component))?;
    let mut counters = slot.load(Ordering::Relaxed);
    if counters.is_null() {
        let pointer = arena::allocate(Layout::new::<Counters>())?.cast::<Counters>();
        // SAFETY: the arena gave memory of this layout to us alone, for ever.
        unsafe { pointer.write(Counters::new()) };
        counters = pointer.as_ptr();
        slot.store(counters, Ordering::Release);
    }
    // SAFETY: not null, initialised before it was stored, never freed.
    unsafe { counters.as_ref() }
}

/// Arranges that the block is given back when the thread ends. A pthread key is used because its destructors run after those of
/// Rust's thread-locals, and because neither making nor setting it calls our allocator.
fn leave_at_exit(block: &'static Block) {
    extern "C" fn leave(block: *mut libc::c_void) {
        BLOCK.with(|own| own.set(&LATE));
        // SAFETY: the value of the key is the block that `leave_at_exit` stored, which lives for ever.
        let block = unsafe { &*block.cast::<Block>() };
        block.current.store(ptr::null_mut(), Ordering::Relaxed);
        // Release: the next owner counts on from what this thread wrote.
        block.taken.store(false, Ordering::Release);
    }
    let mut key = EXIT_KEY.load(Ordering::Acquire);
    if key == 0 {
        let mut fresh: libc::pthread_key_t = 0;
        // SAFETY: `fresh` is valid for writing, and `leave` may be called on any thread at its end.
        if unsafe { libc::pthread_key_create(&raw mut fresh, Some(leave)) } != 0 {
            return;
        }
        key = fresh as usize + 1;
        if let Err(first) = EXIT_KEY.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: the key was made above and no value was ever stored under it.
            unsafe { libc::pthread_key_delete(fresh) };
            key = first;
        }
    }
    let Ok(key) = libc::pthread_key_t::try_from(key - 1) else {
        return;
    };
    // SAFETY: the key exists, and the value is only ever handed to `leave`.
    unsafe { libc::pthread_setspecific(key, ptr::from_ref(block).cast()) };
}

fn blocks() -> impl Iterator<Item = &'static Block> {
    let mut next = BLOCKS.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: null, or a block in the arena: initialised before it was published, and never freed.
        let block = unsafe { next.as_ref::<'static>() }?;
        next = block.next.load(Ordering::Relaxed);
        Some(block)
    })
}

/// Reads all counters of all threads into `counts`, whose memory is used again.
///
/// Counters of threads that are running move on while they are read; each number is exact for some moment during the call, and
/// never lower than in an earlier reading.
pub fn read(counts: &mut Counts) {
    counts.components.clear();
    counts
        .components
        .extend(component::names().map(ComponentCounts::new));
    counts.deallocations = Default::default();
    for block in blocks() {
        for (component, slot) in counts.components.iter_mut().zip(&block.slots) {
            // SAFETY: null, or counters in the arena: initialised before the release store that made them visible, never freed.
            if let Some(counters) = unsafe { slot.load(Ordering::Acquire).as_ref() } {
                counters.add_to(component, &mut counts.deallocations);
            }
        }
    }
    if let Some(unattributed) = counts.components.first_mut() {
        LATE_COUNTERS.add_to(unattributed, &mut counts.deallocations);
    }
}

/// Whether an [`Allocator`](super::Allocator) serves this process, shown by an allocation that must move its counters.
pub fn is_installed() -> bool {
    let operations = || {
        let block = BLOCK.with(Cell::get);
        let counters = block.slots.iter().filter_map(|slot| {
            // SAFETY: as in `read`.
            unsafe { slot.load(Ordering::Acquire).as_ref() }
        });
        counters.fold(0, |sum: u64, counters| sum.saturating_add(counters.total()))
    };
    let before = operations();
    drop(std::hint::black_box(Box::new(std::hint::black_box(
        [0_u8; 256],
    ))));
    operations() > before
}

/// Bytes of address space that the instrument has taken from the kernel.
pub fn reserved_bytes() -> u64 {
    arena::reserved_bytes() as u64
}

/// Sets what every thread does when [`ask_for_attention`] is called: a function that may run inside any allocator call, and so
/// must neither allocate from the wrapped allocator, nor lock, nor panic.
pub fn on_attention(hook: fn()) {
    HOOK.store(hook as *mut (), Ordering::Release);
}

/// How many threads were asked for attention, and who has answered since.
#[derive(Debug)]
pub struct Attention {
    asked: Vec<&'static Block>,
}

/// Asks all threads that live to run the hook at their next allocator call. A thread that sleeps answers when it wakes.
pub fn ask_for_attention() -> Attention {
    let own = own_block();
    let asked: Vec<_> = blocks()
        .filter(|block| {
            block.taken.load(Ordering::Relaxed) && !own.is_some_and(|own| ptr::eq(own, *block))
        })
        .collect();
    for block in &asked {
        block.attention.store(true, Ordering::SeqCst);
        block.current.store(ptr::null_mut(), Ordering::SeqCst);
    }
    Attention { asked }
}

impl Attention {
    /// Threads that were asked.
    pub fn asked(&self) -> usize {
        self.asked.len()
    }

    /// Threads that have answered or ended.
    pub fn answered(&self) -> usize {
        let waits = |block: &&&Block| {
            block.taken.load(Ordering::Relaxed) && block.attention.load(Ordering::Relaxed)
        };
        self.asked.len() - self.asked.iter().filter(waits).count()
    }
}

fn attend(block: &Block) {
    if block.attention.load(Ordering::Relaxed) && block.attention.swap(false, Ordering::AcqRel) {
        let hook = HOOK.load(Ordering::Acquire);
        if !hook.is_null() {
            // SAFETY: HOOK holds null or a `fn()` that `on_attention` stored.
            let hook: fn() = unsafe { std::mem::transmute(hook) };
            hook();
        }
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}
