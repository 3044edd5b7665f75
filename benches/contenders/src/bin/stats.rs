//! Contender: `stats_alloc` around jemalloc.

use std::mem::MaybeUninit;

use stats_alloc::StatsAlloc;
use tikv_jemallocator::Jemalloc;

// `StatsAlloc::new` is constant on nightly compilers only.
#[global_allocator]
// SAFETY: a `StatsAlloc<Jemalloc>` is six atomic integers, for which zero is valid, and a type without a size.
static ALLOCATOR: StatsAlloc<Jemalloc> = unsafe { MaybeUninit::zeroed().assume_init() };

fn main() {
    drop(std::hint::black_box(Box::new(0_u64)));
    assert!(ALLOCATOR.stats().allocations > 0, "nothing is counted");
    workload::serve(|work| work());
}
