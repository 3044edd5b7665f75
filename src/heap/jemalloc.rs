//! jemalloc as the inner allocator, called without detours.
//!
//! `tikv_jemallocator` works out alignment flags for every call, which shows in a loop that does nothing but allocate. Nearly all layouts
//! need none, and for those jemalloc's plain functions do; the rest goes through `tikv_jemallocator`.

use std::alloc::{GlobalAlloc, Layout};

use tikv_jemalloc_sys as sys;

/// jemalloc, the default inner allocator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Jemalloc;

/// Whether every block of this size is aligned enough, because jemalloc aligns a block to its size up to this alignment.
#[inline(always)]
fn is_plain(align: usize, size: usize) -> bool {
    align <= align_of::<libc::max_align_t>() && align <= size
}

// SAFETY: each method calls the jemalloc function of its kind, or `tikv_jemallocator`, which upholds the contract. The plain functions
// are only called where they align enough, and every block comes from and goes back to the one jemalloc of the process.
unsafe impl GlobalAlloc for Jemalloc {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_plain(layout.align(), layout.size()) {
            // SAFETY: the size is not zero, as the caller promises.
            unsafe { sys::malloc(layout.size()) }.cast()
        } else {
            // SAFETY: the caller's promise about `layout` is passed on.
            unsafe { aligned::alloc(layout) }
        }
    }

    #[inline(always)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_plain(layout.align(), layout.size()) {
            // SAFETY: the size is not zero, as the caller promises.
            unsafe { sys::calloc(1, layout.size()) }.cast()
        } else {
            // SAFETY: the caller's promise about `layout` is passed on.
            unsafe { aligned::alloc_zeroed(layout) }
        }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if is_plain(layout.align(), new_size) {
            // SAFETY: the block came from this jemalloc and the new size is not zero, as the caller promises.
            unsafe { sys::realloc(block.cast(), new_size) }.cast()
        } else {
            // SAFETY: the caller's promises about `block`, `layout` and `new_size` are passed on.
            unsafe { aligned::realloc(block, layout, new_size) }
        }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_plain(layout.align(), layout.size()) {
            // SAFETY: the block came from this jemalloc with this size and no alignment flag, as the caller promises.
            unsafe { sys::sdallocx(block.cast(), layout.size(), 0) }
        } else {
            // SAFETY: the caller's promises about `block` and `layout` are passed on.
            unsafe { aligned::dealloc(block, layout) }
        }
    }
}

/// Blocks that need flags, and those of no size, which the contract forbids and a careless caller asks for all the same: they get a byte. Calls
/// of their own and rarely taken, or the flags would be computed for every block.
mod aligned {
    use super::{GlobalAlloc, Layout};
    use tikv_jemallocator::Jemalloc;

    /// The layout, of a byte at least.
    fn some(layout: Layout) -> Layout {
        // SAFETY: the alignment is valid, and a byte more than none overflows nothing.
        unsafe { Layout::from_size_align_unchecked(layout.size().max(1), layout.align()) }
    }

    #[cold]
    #[inline(never)]
    pub(super) unsafe fn alloc(layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { Jemalloc.alloc(some(layout)) }
    }

    #[cold]
    #[inline(never)]
    pub(super) unsafe fn alloc_zeroed(layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { Jemalloc.alloc_zeroed(some(layout)) }
    }

    #[cold]
    #[inline(never)]
    pub(super) unsafe fn realloc(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promises about `block`, `layout` and `new_size` are passed on.
        unsafe { Jemalloc.realloc(block, some(layout), new_size.max(1)) }
    }

    #[cold]
    #[inline(never)]
    pub(super) unsafe fn dealloc(block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises about `block` and `layout` are passed on; a block of no size was taken with a byte.
        unsafe { Jemalloc.dealloc(block, some(layout)) }
    }
}
