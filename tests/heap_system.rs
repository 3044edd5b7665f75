//! Counting is exact over the system allocator too. This binary also runs under Valgrind (`.ci/sanitize`).
#![allow(
    unsafe_code,
    reason = "the test calls the allocator itself, so that it knows every operation"
)]
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test"
)]

use std::alloc::System;

use memory_exporter::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::system();

#[path = "support/exact.rs"]
mod exact;

#[test]
fn counters_are_exact_over_the_system_allocator() {
    exact::check();
    exact::jemalloc_is_absent_and_the_heap_is_what_was_counted();
}
