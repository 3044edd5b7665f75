//! The wrapper that a program installs as its global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::any::TypeId;

use super::counters::Operation;
use super::sampling::{self, Followed, Ticket};
use super::{filter, threads};

/// What [`Allocator::new`] wraps: jemalloc, or the system allocator where the feature `jemalloc` is off.
#[cfg(feature = "jemalloc")]
pub type DefaultInner = super::jemalloc::Jemalloc;
/// What [`Allocator::new`] wraps: jemalloc, or the system allocator where the feature `jemalloc` is off.
#[cfg(not(feature = "jemalloc"))]
pub type DefaultInner = System;

/// A global allocator that counts what the program asks for, exactly, samples who asks, and leaves the work to another allocator.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();
/// # fn main() {}
/// ```
///
/// Any `GlobalAlloc` can be wrapped: `Allocator::system()`, or [`Allocator::with`] for one of your own.
///
/// What it costs is measured in `benches/`. It never allocates, locks, waits or panics.
///
/// An operation that fails is not counted, with one exception: over jemalloc, one of up to 64 MiB is counted as asked for before jemalloc
/// is called, which saves a third of the cost. A process to which jemalloc refuses so little is about to end, and its heap is
/// read from jemalloc, so no number that matters drifts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allocator<A = DefaultInner> {
    inner: A,
}

impl Allocator<DefaultInner> {
    /// Wraps jemalloc, or the system allocator where the feature `jemalloc` is off.
    #[allow(clippy::new_without_default, reason = "Default is derived")]
    pub const fn new() -> Self {
        #[cfg(feature = "jemalloc")]
        return Self {
            inner: super::jemalloc::Jemalloc,
        };
        #[cfg(not(feature = "jemalloc"))]
        return Self { inner: System };
    }
}

impl Allocator<System> {
    /// Wraps the system allocator.
    pub const fn system() -> Self {
        Self { inner: System }
    }
}

impl<A> Allocator<A> {
    /// Wraps any allocator.
    pub const fn with(inner: A) -> Self {
        Self { inner }
    }
}

// SAFETY: a block comes from the inner allocator, laid out as asked or at a stricter alignment, and goes back to it with the layout that it
// was taken with: which of the two it was stands in its record, made before the block was handed out and taken out only when it is given back. What is added, counting and sampling,
// neither allocates nor unwinds, and survives re-entry: it holds no borrow of its own state while it calls out.
unsafe impl<A: GlobalAlloc + 'static> GlobalAlloc for Allocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if counts_first::<A>() && threads::count_operation(Operation::Alloc, layout.size()) {
            // SAFETY: the caller's promise about `layout` is passed on.
            return unsafe { self.inner.alloc(layout) };
        }
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { self.acquire(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if counts_first::<A>() && threads::count_operation(Operation::AllocZeroed, layout.size()) {
            // SAFETY: the caller's promise about `layout` is passed on.
            return unsafe { self.inner.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { self.acquire_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if counts_first::<A>()
            && !filter::may_be_sampled(block, layout.size())
            && threads::count_realloc(layout.size(), new_size)
        {
            // SAFETY: the caller's promises about `block`, `layout` and `new_size` are passed on.
            return unsafe { self.inner.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller's promises about `block`, `layout` and `new_size` are passed on.
        unsafe { self.resize(block, layout, new_size) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !filter::may_be_sampled(block, layout.size())
            && threads::count_deallocation(layout.size())
        {
            // SAFETY: the caller's promises about `block` and `layout` are passed on.
            return unsafe { self.inner.dealloc(block, layout) };
        }
        // SAFETY: the caller's promises about `block` and `layout` are passed on.
        unsafe { self.release(block, layout) }
    }
}

/// Whether an operation is counted before the inner allocator is called, so that the call can be the end of the path: no register is
/// saved, nothing is done after it. Known when the program is compiled.
#[inline(always)]
fn counts_first<A: 'static>() -> bool {
    cfg!(feature = "jemalloc") && TypeId::of::<A>() == TypeId::of::<DefaultInner>()
}

/// What is not quick, or must not be counted before it has succeeded. Calls of their own, so that the quick path pays nothing for them.
///
/// # Safety
/// Each as the method of [`GlobalAlloc`] that it stands for.
impl<A: GlobalAlloc + 'static> Allocator<A> {
    #[inline(never)]
    unsafe fn acquire(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { self.sampled(Operation::Alloc, layout, A::alloc) }
    }

    #[inline(never)]
    unsafe fn acquire_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { self.sampled(Operation::AllocZeroed, layout, A::alloc_zeroed) }
    }

    /// An allocation that may be sampled, counted if it succeeds.
    #[inline(always)]
    unsafe fn sampled(
        &self,
        operation: Operation,
        layout: Layout,
        allocate: unsafe fn(&A, Layout) -> *mut u8,
    ) -> *mut u8 {
        let placed = ticket(operation, layout.size()).and_then(|ticket| {
            // SAFETY: the caller's promise, and what `sample` asks for.
            unsafe { self.sample(ticket, layout, allocate) }
        });
        // SAFETY: the caller's promise about `layout` is passed on.
        let block = placed.unwrap_or_else(|| unsafe { allocate(&self.inner, layout) });
        if !block.is_null() && !threads::count_operation(operation, layout.size()) {
            threads::finish(operation, layout.size(), None);
        }
        block
    }

    /// A block that is followed, laid out as that wants. `None` when there is no memory for it, or no room to follow it: then it must be
    /// allocated as any other.
    unsafe fn sample(
        &self,
        ticket: Ticket,
        layout: Layout,
        allocate: unsafe fn(&A, Layout) -> *mut u8,
    ) -> Option<*mut u8> {
        let placement = ticket.placement(layout);
        // SAFETY: the caller's promise about `layout`; a placement differs only in an alignment that is valid for the size.
        let block = unsafe { allocate(&self.inner, placement) };
        if block.is_null() {
            ticket.cancel();
            return None;
        }
        if ticket.take(block, layout.size()) || placement == layout {
            return Some(block);
        }
        // Nobody would know how it was laid out.
        // SAFETY: it was allocated so just now, and nobody else has seen it.
        unsafe { self.inner.dealloc(block, placement) };
        None
    }

    #[inline(never)]
    unsafe fn resize(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size is valid for the alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let mut ticket = ticket(Operation::Realloc, new_size);
        let is_to_be_placed = |ticket: &mut Ticket| ticket.placement(new_layout) != new_layout;
        let mut moved = None;
        if let Some(ticket) = ticket.take_if(is_to_be_placed) {
            // SAFETY: the new layout is valid and not empty, as the caller promises.
            moved = unsafe { self.sample(ticket, new_layout, A::alloc) };
        }
        if moved.is_none() && sampling::is_placed(block, layout) {
            // SAFETY: as above.
            moved = Some(unsafe { self.inner.alloc(new_layout) });
        }
        let moved = match moved {
            Some(moved) => {
                if !moved.is_null() {
                    let kept = layout.size().min(new_size);
                    // SAFETY: both blocks are at least that long, and two live blocks do not overlap.
                    unsafe { std::ptr::copy_nonoverlapping(block, moved, kept) };
                    // SAFETY: the caller gives the block up.
                    unsafe { self.put(block, layout) };
                }
                moved
            }
            // SAFETY: the caller's promises; the block is laid out as `layout` says.
            None => unsafe { self.resize_in_place(block, layout, new_size) },
        };
        match ticket {
            Some(ticket) if moved.is_null() => ticket.cancel(),
            Some(ticket) => {
                ticket.take(moved, new_size);
            }
            None => {}
        }
        if !moved.is_null() && !threads::count_realloc(layout.size(), new_size) {
            threads::finish(Operation::Realloc, new_size, Some(layout.size()));
        }
        moved
    }

    /// Lets the inner allocator resize a block that was not placed.
    unsafe fn resize_in_place(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Taken out first: if the block moves, another thread may get its address.
        let followed = Followed::out(block, layout.size());
        // SAFETY: the caller's promises about `block`, `layout` and `new_size` are passed on.
        let moved = unsafe { self.inner.realloc(block, layout, new_size) };
        match followed {
            Some(followed) if moved.is_null() => followed.put_back(block),
            Some(followed) => followed.end(),
            None => {}
        }
        moved
    }

    #[cold]
    #[inline(never)]
    unsafe fn release(&self, block: *mut u8, layout: Layout) {
        if !threads::count_deallocation(layout.size()) {
            threads::count_deallocation_cold(layout.size());
        }
        // SAFETY: the caller's promises about `block` and `layout` are passed on.
        unsafe { self.put(block, layout) };
    }

    /// Gives a block back that may be followed.
    unsafe fn put(&self, block: *mut u8, layout: Layout) {
        let mut placement = layout;
        // Taken out first: as soon as it is given back, another thread may get it.
        if let Some(followed) = Followed::out(block, layout.size()) {
            placement = filter::placement(layout);
            followed.end();
        }
        // SAFETY: the caller's promises about `block` and `layout`; a block that is followed was placed.
        unsafe { self.inner.dealloc(block, placement) }
    }
}

/// Whether the operation is to be sampled. An operation that is quick is not.
#[inline(always)]
fn ticket(operation: Operation, size: usize) -> Option<Ticket> {
    if threads::is_quick(operation, size) {
        return None;
    }
    threads::prepare(operation, size)
}

#[cfg(all(test, feature = "jemalloc"))]
mod tests {
    use super::super::sampling::SamplingOptions;
    use super::super::{dropped_samples, live, sample};
    use super::*;

    /// A block that cannot be followed must not be placed, or it would be given back with the wrong layout.
    #[test]
    fn a_block_that_finds_no_room_is_laid_out_as_any_other() {
        static ALLOCATOR: Allocator = Allocator::new();
        let usable = |block: *mut u8| {
            // SAFETY: the block is live and jemalloc's.
            unsafe { tikv_jemalloc_sys::malloc_usable_size(block.cast()) }
        };
        let layout = Layout::from_size_align(64, 8).unwrap();
        sample(SamplingOptions::every(1));
        // SAFETY: the layouts are valid and not empty, and each block is given back once, with its last layout.
        unsafe {
            let placed = ALLOCATOR.alloc(layout);
            assert_eq!(usable(placed), filter::PAGE, "sampled, so placed");
            live::refuse(true);
            let dropped = dropped_samples();
            let block = ALLOCATOR.alloc(layout);
            let zeroed = ALLOCATOR.alloc_zeroed(layout);
            assert_eq!((usable(block), usable(zeroed)), (64, 64));
            assert_eq!(std::slice::from_raw_parts(zeroed, 64), [0; 64]);
            placed.write_bytes(7, 64);
            let moved = ALLOCATOR.realloc(placed, layout, 100);
            assert_eq!(usable(moved), 112);
            assert_eq!(std::slice::from_raw_parts(moved, 64), [7; 64]);
            assert_eq!(dropped_samples() - dropped, 3);
            live::refuse(false);
            ALLOCATOR.dealloc(moved, Layout::from_size_align(100, 8).unwrap());
            ALLOCATOR.dealloc(block, layout);
            ALLOCATOR.dealloc(zeroed, layout);
        }
        sample(SamplingOptions::every(0));
    }
}
