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
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use super::arena;
use super::component::{self, ComponentId, SLOTS};
use super::counters::{ComponentCounts, Counters, Counts, Operation, add_owned, add_shared};
use super::sampling::{Sampler, Ticket};

/// The counters of one thread, and after it of the next.
#[repr(C, align(64))]
struct Block {
    component: AtomicU8,
    taken: AtomicBool,
    attention: AtomicBool,
    sampler: Sampler,
    /// Written before the block is published, never after.
    next: AtomicPtr<Block>,
    /// Counters by component, made when first entered.
    slots: [AtomicPtr<Counters>; SLOTS],
}

impl Block {
    const fn new() -> Self {
        Self {
            component: AtomicU8::new(component::UNATTRIBUTED_ID),
            taken: AtomicBool::new(true),
            attention: AtomicBool::new(false),
            sampler: Sampler::new(),
            next: AtomicPtr::new(ptr::null_mut()),
            slots: [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS],
        }
    }
}

impl Block {
    /// Sends the owner into the cold path, whichever component it counts for.
    fn poke(&self) {
        let counters = self.slots.iter().filter_map(counters);
        counters.for_each(Counters::ask_for_attention);
    }
}

/// What a thread counts in that has not allocated yet: nothing, as it always wants attention.
static NEWBORN: Counters = Counters::new(true);
/// What threads count in whose block is gone, or that never got one. Shared, so it always wants attention too.
static LATE: Counters = Counters::new(true);

/// All blocks ever made, newest first. Grows at its head only.
static BLOCKS: AtomicPtr<Block> = AtomicPtr::new(ptr::null_mut());
/// One more than the pthread key whose destructor gives a block back; 0 = not made yet.
static EXIT_KEY: AtomicUsize = AtomicUsize::new(0);
static HOOK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

// Constant and without destructors: each is read by one load, at any time of a thread's life, and never allocates.
thread_local! {
    /// Where the thread counts now.
    static CURRENT: Cell<&'static Counters> = const { Cell::new(&NEWBORN) };
    /// The block of the thread; none before its first allocation and after its last destructor.
    static BLOCK: Cell<Option<&'static Block>> = const { Cell::new(None) };
}

/// Whether the quick path would count an operation.
#[inline(always)]
pub(super) fn is_quick(operation: Operation, size: usize) -> bool {
    current().is_quick(operation, size)
}

/// Counts an operation, or says that it takes [`prepare`] and [`finish`].
#[inline(always)]
pub(super) fn count_operation(operation: Operation, size: usize) -> bool {
    current().operation_quick(operation, size)
}

/// Counts a realloc, or says that it takes [`prepare`] and [`finish`].
#[inline(always)]
pub(super) fn count_realloc(old_size: usize, new_size: usize) -> bool {
    let counters = current();
    let is_quick = counters.operation_quick(Operation::Realloc, new_size);
    if is_quick {
        counters.returned(old_size, add_owned);
    }
    is_quick
}

/// Counts a block given back, or says that it takes [`count_deallocation_cold`].
#[inline(always)]
pub(super) fn count_deallocation(size: usize) -> bool {
    let counters = current();
    let is_quick = !counters.wants_attention();
    if is_quick {
        counters.deallocation(size, add_owned);
    }
    is_quick
}

#[inline(always)]
fn current() -> &'static Counters {
    CURRENT.with(Cell::get)
}

/// Begins an operation that the quick path has declined: a thread's first, a very large one, one at which attention is wanted or a sample
/// due, or any of a thread without a block. Says whether it is to be sampled.
pub(super) fn prepare(operation: Operation, size: usize) -> Option<Ticket> {
    let block = own_block()?;
    let counters = current();
    attend(block, counters);
    let scope = block.component.load(Ordering::Relaxed);
    block.sampler.is_due(counters, scope, operation, size)
}

/// Counts an operation that [`prepare`] began and that succeeded; `returned` are the bytes that a realloc gave back.
pub(super) fn finish(operation: Operation, size: usize, returned: Option<usize>) {
    let count = |counters: &Counters, add: fn(&AtomicU64, u64)| {
        counters.operation(operation, size, add);
        if let Some(returned) = returned {
            counters.returned(returned, add);
        }
    };
    match own_block() {
        Some(block) => {
            count(current(), add_owned);
            block.sampler.rearm(current(), operation);
        }
        None => count(&LATE, add_shared),
    }
}

pub(super) fn count_deallocation_cold(size: usize) {
    match own_block() {
        Some(block) => {
            attend(block, current());
            current().deallocation(size, add_owned);
        }
        None => LATE.deallocation(size, add_shared),
    }
}

/// Makes `component` the one that the calling thread allocates for, and returns the one before.
pub(super) fn enter(component: ComponentId) -> ComponentId {
    let Some(block) = own_block() else {
        return component;
    };
    let previous = block.component.load(Ordering::Relaxed);
    // Where the kernel has no memory for counters, the component before goes on.
    if previous != component
        && let Some(counters) = slot(block, component)
    {
        block.component.store(component, Ordering::Relaxed);
        CURRENT.with(|current| current.set(counters));
    }
    previous
}

/// What the calling thread samples with.
pub(super) fn own_sampler() -> Option<&'static Sampler> {
    own_block().map(|block| &block.sampler)
}

/// The block of the calling thread; `None` when it has given it back or the kernel has no memory for one.
fn own_block() -> Option<&'static Block> {
    if ptr::eq(current(), &NEWBORN) {
        return adopt();
    }
    BLOCK.with(Cell::get)
}

/// Takes over a block that a thread has left, or makes one.
fn adopt() -> Option<&'static Block> {
    let taken = blocks().find(|block| {
        // Acquire: what the last owner counted is the base on which this one counts.
        let taken = &block.taken;
        taken
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    });
    let block = taken.or_else(make_block);
    let counters = block.and_then(|block| slot(block, component::UNATTRIBUTED_ID));
    CURRENT.with(|current| current.set(counters.unwrap_or(&LATE)));
    let block = counters.and(block)?;
    block
        .component
        .store(component::UNATTRIBUTED_ID, Ordering::Relaxed);
    block.attention.store(false, Ordering::Relaxed);
    block.sampler.adopt();
    BLOCK.with(|own| own.set(Some(block)));
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
        unsafe { pointer.write(Counters::new(false)) };
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
        CURRENT.with(|current| current.set(&LATE));
        BLOCK.with(|own| own.set(None));
        // SAFETY: the value of the key is the block that `leave_at_exit` stored, which lives for ever.
        let block = unsafe { &*block.cast::<Block>() };
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
        .extend(component::component_names().map(ComponentCounts::new));
    counts.deallocations = Default::default();
    for block in blocks() {
        for (component, slot) in counts.components.iter_mut().zip(&block.slots) {
            if let Some(counters) = counters(slot) {
                counters.add_to(component, &mut counts.deallocations);
            }
        }
    }
    if let Some(unattributed) = counts.components.first_mut() {
        LATE.add_to(unattributed, &mut counts.deallocations);
    }
}

/// Whether an [`Allocator`](super::Allocator) serves this process, shown by an allocation that must move its counters.
pub fn is_installed() -> bool {
    let operations = || {
        let block = BLOCK.with(Cell::get);
        let slots = block.into_iter().flat_map(|block| &block.slots);
        slots
            .filter_map(counters)
            .fold(0, |sum: u64, counters| sum.saturating_add(counters.total()))
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
    let is_other = |block: &&Block| {
        block.taken.load(Ordering::Relaxed) && !own.is_some_and(|own| ptr::eq(own, *block))
    };
    let asked: Vec<_> = blocks().filter(is_other).collect();
    for block in &asked {
        block.attention.store(true, Ordering::Release);
        block.poke();
    }
    Attention { asked }
}

/// Makes every thread draw its gaps to the next sample anew.
pub(super) fn redraw() {
    blocks().for_each(Block::poke);
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

/// Counters in a slot of any block.
fn counters(slot: &AtomicPtr<Counters>) -> Option<&'static Counters> {
    // SAFETY: null, or counters in the arena: initialised before the release store that made them visible, never freed.
    unsafe { slot.load(Ordering::Acquire).as_ref() }
}

/// Gives attention if it is wanted.
fn attend(block: &Block, counters: &Counters) {
    if !counters.wants_attention() {
        return;
    }
    counters.attention_given();
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
