//! Whether a block may be a sampled one, told from its address and its size: what a free of any other block pays.
//!
//! A sampled block that is small is placed at the start of a page, so that nearly every other block is told from it by its address alone. (The
//! first block of an allocator's slab starts a page too.) A larger one lies where the allocator puts it: moving it to a
//! page start would bypass the allocator's caches, and a free of so much is dear enough to look twice. For both a byte by page number says how many sampled blocks start in
//! the pages that share it.

use std::alloc::Layout;
use std::hint::cold_path;
use std::sync::atomic::{AtomicU8, Ordering};

/// Size of a page; also the alignment of small sampled blocks.
pub(super) const PAGE: usize = 4096;

/// Largest block that is placed at the start of a page. Above it jemalloc would take whole pages from its arena for an aligned block.
const LARGEST_PLACED: usize = 3 * PAGE;

const PLACES: usize = 1 << 16;

static COUNTS: [AtomicU8; PLACES] = [const { AtomicU8::new(0) }; PLACES];

/// How a block is laid out if it is to be sampled.
///
/// Never fails for a layout that is valid: a size up to three pages fits any alignment up to a page.
#[inline]
pub(super) fn placement(layout: Layout) -> Layout {
    if layout.size() > LARGEST_PLACED {
        return layout;
    }
    layout.align_to(PAGE).unwrap_or(layout)
}

/// Whether the block may be a sampled one. Never says no of one that is.
#[inline(always)]
pub(super) fn may_be_sampled(block: *mut u8, size: usize) -> bool {
    let address = block as usize;
    // Two tests that are foreseen cost less than one that combines them.
    if size > LARGEST_PLACED {
        cold_path();
        return place(address).load(Ordering::Relaxed) != 0;
    }
    address.is_multiple_of(PAGE) && {
        cold_path();
        place(address).load(Ordering::Relaxed) != 0
    }
}

/// Notes a sampled block. A count that is full stays full: it costs look-ups, and no truth.
pub(super) fn add(address: usize) {
    let _ = place(address).try_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
        count.checked_add(1)
    });
}

/// Takes a sampled block out.
pub(super) fn remove(address: usize) {
    let _ = place(address).try_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
        (count < u8::MAX).then(|| count.saturating_sub(1))
    });
}

#[inline(always)]
fn place(address: usize) -> &'static AtomicU8 {
    &COUNTS[(address / PAGE) % PLACES]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_blocks_are_placed_and_large_ones_are_not() {
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        assert_eq!(placement(layout(1, 1)), layout(1, PAGE));
        assert_eq!(
            placement(layout(LARGEST_PLACED, 8)),
            layout(LARGEST_PLACED, PAGE)
        );
        assert_eq!(placement(layout(64, 1 << 20)), layout(64, 1 << 20));
        let large = layout(LARGEST_PLACED + 1, 16);
        assert_eq!(placement(large), large);
    }

    #[test]
    fn a_full_count_stays_full() {
        // Addresses that no block of this test process has.
        let address = usize::MAX / PAGE * PAGE;
        let block = address as *mut u8;
        for _ in 0..300 {
            add(address);
        }
        for _ in 0..300 {
            remove(address);
        }
        assert!(may_be_sampled(block, 1));
        assert!(
            !may_be_sampled(block.wrapping_add(16), 64),
            "starts no page"
        );
        assert!(may_be_sampled(block.wrapping_add(16), LARGEST_PLACED + 1));
    }
}
