//! Sampling over jemalloc. The same over the system allocator stands in `sampling_system.rs`; each needs a process of its own.
#![allow(
    unsafe_code,
    reason = "the test calls the allocator itself, so that it knows every block"
)]
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test"
)]

use memory_exporter::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

#[path = "support/sampled.rs"]
mod sampled;

#[test]
fn sampling_over_jemalloc() {
    sampled::check_every_block(&ALLOCATOR);
    sampled::check_no_size(&ALLOCATOR);
    sampled::check_unsampled();
    sampled::check_estimates();
    sampled::check_overflow();
    sampled::check_stress(&ALLOCATOR, &sampled::Effort::affordable());
}
