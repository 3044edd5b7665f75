//! What is counted, and how: one thread writes a set of counters, anybody may read it.
//!
//! A counter is an atomic that its one writer updates by a plain load and a plain store. No update is lost, because nobody else
//! writes; no reader sees half a number, because it is an atomic; and no lock prefix stands in the path of an allocation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::catalog::{OPERATIONS, SIZE_BOUNDS};

/// Number of size buckets: the bounds of `memory.allocation.size_bytes` and what lies above the last.
pub const BUCKETS: usize = SIZE_BOUNDS.len() + 1;

/// What the program asked for: the index of an entry of [`OPERATIONS`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    Alloc = 0,
    AllocZeroed = 1,
    Realloc = 2,
}

/// Counters of one component on one thread.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct Counters {
    /// Sends the next allocator call of the thread that counts here into the cold path.
    attention: AtomicBool,
    operations: [SizeCounters; OPERATIONS.len()],
    deallocations: AtomicU64,
    deallocated_bytes: AtomicU64,
}

#[repr(C)]
#[derive(Debug)]
struct SizeCounters {
    /// The buckets in reverse: so the slot of a size is what the processor counts anyway, its leading zeros.
    slots: [AtomicU64; BUCKETS],
    bytes: AtomicU64,
}

impl SizeCounters {
    const fn new() -> Self {
        Self {
            slots: [const { AtomicU64::new(0) }; BUCKETS],
            bytes: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// Empty counters; `attention` says whether their first use shall take the cold path.
    pub(super) const fn new(attention: bool) -> Self {
        Self {
            attention: AtomicBool::new(attention),
            operations: [const { SizeCounters::new() }; OPERATIONS.len()],
            deallocations: AtomicU64::new(0),
            deallocated_bytes: AtomicU64::new(0),
        }
    }

    /// Counts an operation of this thread if its size is one that [`quick_slot`] knows, and says whether it did.
    #[inline(always)]
    pub(super) fn operation_quick(&self, operation: Operation, size: usize) -> bool {
        let Some(slot) = quick_slot(size) else {
            return false;
        };
        let counters = &self.operations[operation as usize];
        // SAFETY: `quick_slot` gives 1 to BUCKETS - 1.
        add_owned(unsafe { counters.slots.get_unchecked(slot) }, 1);
        add_owned(&counters.bytes, size as u64);
        true
    }

    /// Counts an operation. `add` is how the caller may write: [`add_owned`] or [`add_shared`].
    pub(super) fn operation(
        &self,
        operation: Operation,
        size: usize,
        add: impl Fn(&AtomicU64, u64),
    ) {
        let counters = &self.operations[operation as usize];
        add(&counters.slots[BUCKETS - 1 - bucket(size)], 1);
        add(&counters.bytes, size as u64);
    }

    /// Counts a block given back.
    #[inline(always)]
    pub(super) fn deallocation(&self, size: usize, add: impl Fn(&AtomicU64, u64)) {
        add(&self.deallocations, 1);
        add(&self.deallocated_bytes, size as u64);
    }

    /// Counts what a realloc gave back: bytes, but no block.
    #[inline(always)]
    pub(super) fn returned(&self, size: usize, add: impl Fn(&AtomicU64, u64)) {
        add(&self.deallocated_bytes, size as u64);
    }

    /// Whether the quick path must be left.
    #[inline(always)]
    pub(super) fn wants_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed)
    }

    pub(super) fn set_attention(&self, attention: bool) {
        self.attention.store(attention, Ordering::Relaxed);
    }

    /// Operations so far.
    pub(super) fn total(&self) -> u64 {
        self.operations
            .iter()
            .flat_map(|counters| &counters.slots)
            .map(|cell| cell.load(Ordering::Relaxed))
            .sum()
    }

    /// Adds these counters to a reading.
    pub(super) fn add_to(&self, component: &mut ComponentCounts, deallocations: &mut SizeTotal) {
        for (sum, counters) in component.operations.iter_mut().zip(&self.operations) {
            for (sum, cell) in sum.buckets.iter_mut().rev().zip(&counters.slots) {
                *sum = sum.saturating_add(cell.load(Ordering::Relaxed));
            }
            sum.bytes = sum
                .bytes
                .saturating_add(counters.bytes.load(Ordering::Relaxed));
        }
        deallocations.count = deallocations
            .count
            .saturating_add(self.deallocations.load(Ordering::Relaxed));
        deallocations.bytes = deallocations
            .bytes
            .saturating_add(self.deallocated_bytes.load(Ordering::Relaxed));
    }
}

/// Adds to a counter that only this thread writes.
#[inline(always)]
pub(super) fn add_owned(cell: &AtomicU64, amount: u64) {
    cell.store(
        cell.load(Ordering::Relaxed).wrapping_add(amount),
        Ordering::Relaxed,
    );
}

/// Adds to a counter that several threads may write.
pub(super) fn add_shared(cell: &AtomicU64, amount: u64) {
    cell.fetch_add(amount, Ordering::Relaxed);
}

/// The slot of a size up to the last bound; `None` above it, for what is rare need not be quick.
#[inline(always)]
fn quick_slot(size: usize) -> Option<usize> {
    const LAST_BOUND: usize = 64 << 20;
    /// Leading zeros of the largest size, halved, less the slot that it belongs to.
    const OFFSET: usize = (LAST_BOUND - 1).leading_zeros() as usize / 2 - 1;
    let below = size.wrapping_sub(1);
    // The bounds are powers of 4, and so two leading zeros make one slot.
    (below < LAST_BOUND).then(|| ((below | 15).leading_zeros() >> 1) as usize - OFFSET)
}

/// The bucket of a size: the first bound that is not below it.
fn bucket(size: usize) -> usize {
    let fits = |bound: &u64| size as u64 <= *bound;
    SIZE_BOUNDS.iter().position(fits).unwrap_or(BUCKETS - 1)
}

/// A reading of all counters of all threads, those that ended included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// One entry per component that is known, in the order in which they were first named; the first two are
    /// [`UNATTRIBUTED`](super::UNATTRIBUTED) and [`OTHER`](super::OTHER).
    pub components: Vec<ComponentCounts>,
    /// Blocks given back, and the bytes given back with them or by a realloc.
    pub deallocations: SizeTotal,
}

/// A number of things and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SizeTotal {
    /// How many.
    pub count: u64,
    /// How many bytes in all.
    pub bytes: u64,
}

/// What one component asked for since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentCounts {
    /// The component's name.
    pub name: &'static str,
    /// One entry per operation, in the order of [`OPERATIONS`].
    pub operations: [SizeCounts; OPERATIONS.len()],
}

/// Sizes of one operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeCounts {
    /// Operations by size; the bounds are [`SIZE_BOUNDS`], the last bucket lies above them. Not cumulative.
    pub buckets: [u64; BUCKETS],
    /// Bytes asked for in all.
    pub bytes: u64,
}

impl SizeCounts {
    /// Number of operations.
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, bucket| sum.saturating_add(*bucket))
    }

    /// Adds another reading to this one.
    pub fn merge(&mut self, other: &Self) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum = sum.saturating_add(*bucket);
        }
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl ComponentCounts {
    /// A component that has asked for nothing yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            operations: Default::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_slot_of_a_size_is_that_of_its_bucket() {
        let edges = SIZE_BOUNDS
            .iter()
            .flat_map(|bound| [bound - 1, *bound, bound + 1]);
        for size in (1..=70_000).chain(edges) {
            let size = usize::try_from(size).unwrap();
            let expected = Some(BUCKETS - 1 - bucket(size)).filter(|slot| *slot > 0);
            assert_eq!(quick_slot(size), expected, "size {size}");
        }
        for size in [0, (64 << 20) + 1, 1 << 40, usize::MAX] {
            assert_eq!(quick_slot(size), None, "size {size}");
        }
    }
}
