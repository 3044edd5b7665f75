//! Every block goes back with the layout that it was taken with: sampling lays some blocks out in another way than the program asked, and
//! an allocator that believes a wrong layout corrupts its heap long before anybody notices. A process of its own, over an allocator that
//! checks.
#![allow(
    unsafe_code,
    reason = "the test calls the allocator itself, so that it knows every block"
)]
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test"
)]

use std::alloc::{GlobalAlloc, Layout, System};

use memory_exporter::Allocator;

/// Keeps the layout of a block in front of it, and ends the process when the block comes back with another.
struct Checking;

const HEAD: usize = size_of::<Layout>();

/// The block with room for its layout, and where in it the program's part begins.
fn with_head(layout: Layout) -> (Layout, usize) {
    let offset = layout.align().max(HEAD);
    let whole = Layout::from_size_align(layout.size() + offset, layout.align().max(HEAD));
    (whole.unwrap(), offset)
}

// SAFETY: blocks are parts of the system allocator's, aligned as asked because their offset is a multiple of the alignment.
unsafe impl GlobalAlloc for Checking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (whole, offset) = with_head(layout);
        // SAFETY: the whole is not empty, and the head lies in front of the program's part.
        unsafe {
            let block = System.alloc(whole);
            if block.is_null() {
                return block;
            }
            let block = block.add(offset);
            block.sub(HEAD).cast::<Layout>().write(layout);
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `alloc`, which wrote its layout in front of it.
        let taken = unsafe { block.sub(HEAD).cast::<Layout>().read() };
        if taken != layout {
            eprintln!("taken with {taken:?}, given back with {layout:?}");
            std::process::abort();
        }
        let (whole, offset) = with_head(layout);
        // SAFETY: so `alloc` took it.
        unsafe { System.dealloc(block.sub(offset), whole) };
    }
}

#[global_allocator]
static ALLOCATOR: Allocator<Checking> = Allocator::with(Checking);

#[path = "support/sampled.rs"]
mod sampled;

#[test]
fn blocks_go_back_as_they_were_taken() {
    sampled::check_every_block(&ALLOCATOR);
    sampled::check_no_size(&ALLOCATOR);
    sampled::check_unsampled();
    sampled::check_estimates();
    sampled::check_overflow();
    sampled::check_stress(&ALLOCATOR, &sampled::Effort::affordable());
}
