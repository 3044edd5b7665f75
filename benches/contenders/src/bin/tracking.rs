//! Contender: `tracking-allocator` around jemalloc, as its users run it: a tracker that counts, and a group entered on each thread.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tikv_jemallocator::Jemalloc;
use tracking_allocator::{
    AllocationGroupId, AllocationGroupToken, AllocationRegistry, AllocationTracker, Allocator,
};

#[global_allocator]
static ALLOCATOR: Allocator<Jemalloc> = Allocator::from_allocator(Jemalloc);

/// Groups that are counted apart.
const GROUPS: usize = 16;

/// Per group: allocations, bytes, deallocations, bytes. The tracker must not allocate, so users keep a table like this.
static COUNTS: [[AtomicUsize; 4]; GROUPS] = [const { [const { AtomicUsize::new(0) }; 4] }; GROUPS];

struct Tracker;

impl AllocationTracker for Tracker {
    fn allocated(&self, _: usize, size: usize, _: usize, group: AllocationGroupId) {
        let counts = &COUNTS[group.as_usize().get() % GROUPS];
        counts[0].fetch_add(1, Relaxed);
        counts[1].fetch_add(size, Relaxed);
    }

    fn deallocated(
        &self,
        _: usize,
        size: usize,
        _: usize,
        source: AllocationGroupId,
        _: AllocationGroupId,
    ) {
        let counts = &COUNTS[source.as_usize().get() % GROUPS];
        counts[2].fetch_add(1, Relaxed);
        counts[3].fetch_add(size, Relaxed);
    }
}

fn main() {
    AllocationRegistry::set_global_tracker(Tracker).expect("the only tracker");
    AllocationRegistry::enable_tracking();
    workload::serve(|work| {
        let mut group = AllocationGroupToken::register().expect("a group");
        let _entered = group.enter();
        work();
    });
}
