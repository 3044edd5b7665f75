//! Counting is exact: known allocations by several threads, some of which have ended, over jemalloc. The same over the system
//! allocator stands in `heap_system.rs`; each needs a process of its own.
#![allow(
    unsafe_code,
    reason = "the test calls the allocator itself, so that it knows every operation"
)]
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test"
)]

use memory_exporter::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

#[path = "support/exact.rs"]
mod exact;

#[test]
fn counters_are_exact_over_jemalloc() {
    exact::check();
}
