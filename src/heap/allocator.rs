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
        // SAFETY: the caller's promise is passed on, at an alignment that is valid for the size.
        sampled(Operation::Alloc, layout, |layout| unsafe {
            self.inner.alloc(layout)
        })
    }

    #[inline(never)]
    unsafe fn acquire_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on, at an alignment that is valid for the size.
        sampled(Operation::AllocZeroed, layout, |layout| unsafe {
            self.inner.alloc_zeroed(layout)
        })
    }

    #[inline(never)]
    unsafe fn resize(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let ticket = ticket(Operation::Realloc, new_size);
        // SAFETY: the caller promises that the new size is valid for the alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let placement = placement(ticket.as_ref(), new_layout);
        let moved = if placement != new_layout || sampling::is_placed(block, layout) {
            // SAFETY: the caller's promises; `placement` is valid, see there.
            unsafe { self.relocate(block, layout, placement) }
        } else {
            let followed = Followed::out(block, layout.size());
            // SAFETY: the caller's promises: the block was laid out as `layout` says.
            let moved = unsafe { self.inner.realloc(block, layout, new_size) };
            match followed {
                Some(followed) if moved.is_null() => followed.put_back(block),
                Some(followed) => followed.end(),
                None => {}
            }
            moved
        };
        if moved.is_null() {
            if let Some(ticket) = ticket {
                ticket.cancel();
            }
            return moved;
        }
        if !threads::count_realloc(layout.size(), new_size) {
            threads::finish(Operation::Realloc, new_size, Some(layout.size()));
        }
        if let Some(ticket) = ticket {
            ticket.take(moved, new_size);
        }
        moved
    }

    /// Moves a block to a place that is laid out in another way, without counting anything.
    unsafe fn relocate(&self, block: *mut u8, layout: Layout, to: Layout) -> *mut u8 {
        // SAFETY: `to` is valid and not empty, as the caller promises of the new size.
        let moved = unsafe { self.inner.alloc(to) };
        if !moved.is_null() {
            let kept = layout.size().min(to.size());
            // SAFETY: both blocks are at least that long, and two live blocks do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(block, moved, kept) };
            // SAFETY: the caller gives the block up.
            unsafe { self.put(block, layout) };
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

/// An allocation that may be sampled, by `allocate`, counted if it succeeds.
#[inline(always)]
fn sampled(
    operation: Operation,
    layout: Layout,
    allocate: impl FnOnce(Layout) -> *mut u8,
) -> *mut u8 {
    let ticket = ticket(operation, layout.size());
    let block = allocate(placement(ticket.as_ref(), layout));
    if block.is_null() {
        if let Some(ticket) = ticket {
            ticket.cancel();
        }
        return block;
    }
    if !threads::count_operation(operation, layout.size()) {
        threads::finish(operation, layout.size(), None);
    }
    if let Some(ticket) = ticket {
        ticket.take(block, layout.size());
    }
    block
}

/// Whether the operation is to be sampled. An operation that is quick is not.
#[inline(always)]
fn ticket(operation: Operation, size: usize) -> Option<Ticket> {
    if threads::is_quick(operation, size) {
        return None;
    }
    threads::prepare(operation, size)
}

fn placement(ticket: Option<&Ticket>, layout: Layout) -> Layout {
    ticket.map_or(layout, |ticket| ticket.placement(layout))
}
