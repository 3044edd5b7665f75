//! The wrapper that a program installs as its global allocator.

use std::alloc::{GlobalAlloc, Layout, System};

use super::counters::Operation;
use super::threads;

/// What [`Allocator::new`] wraps: jemalloc, or the system allocator where the feature `jemalloc` is off.
#[cfg(feature = "jemalloc")]
pub type DefaultInner = tikv_jemallocator::Jemalloc;
/// What [`Allocator::new`] wraps: jemalloc, or the system allocator where the feature `jemalloc` is off.
#[cfg(not(feature = "jemalloc"))]
pub type DefaultInner = System;

/// A global allocator that counts what the program asks for, exactly, and leaves the work to another allocator.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();
/// # fn main() {}
/// ```
///
/// Any `GlobalAlloc` can be wrapped: `Allocator::system()`, or [`Allocator::with`] for one of your own.
///
/// What it costs is measured in `benches/`. It never allocates, locks, waits or panics. An operation that fails is not counted.
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
            inner: tikv_jemallocator::Jemalloc,
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

// SAFETY: every method hands its arguments to the inner allocator unchanged and returns its answer unchanged, so whatever the
// inner allocator promises still holds. What is added, counting, neither allocates nor unwinds, and survives re-entry: it holds no
// borrow of its own state while it calls out.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Allocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        let block = unsafe { self.inner.alloc(layout) };
        if !block.is_null() {
            threads::count_operation(Operation::Alloc, layout.size());
        }
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        let block = unsafe { self.inner.alloc_zeroed(layout) };
        if !block.is_null() {
            threads::count_operation(Operation::AllocZeroed, layout.size());
        }
        block
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promises about `block`, `layout` and `new_size` are passed on.
        let moved = unsafe { self.inner.realloc(block, layout, new_size) };
        if !moved.is_null() {
            threads::count_realloc(layout.size(), new_size);
        }
        moved
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if threads::count_deallocation(layout.size()) {
            // SAFETY: the caller's promises about `block` and `layout` are passed on.
            unsafe { self.inner.dealloc(block, layout) }
        } else {
            // SAFETY: the caller's promises about `block` and `layout` are passed on.
            unsafe { self.dealloc_cold(block, layout) }
        }
    }
}

impl<A: GlobalAlloc> Allocator<A> {
    /// The rest of a deallocation that the quick way could not count. A call at its end, so that the quick way saves no registers.
    ///
    /// # Safety
    /// As [`GlobalAlloc::dealloc`].
    #[cold]
    #[inline(never)]
    unsafe fn dealloc_cold(&self, block: *mut u8, layout: Layout) {
        threads::count_deallocation_cold(layout.size());
        // SAFETY: the caller's promises about `block` and `layout` are passed on.
        unsafe { self.inner.dealloc(block, layout) }
    }
}
