//! What is counted, and how: one thread writes a set of counters, anybody may read it.
//!
//! A counter is an atomic that its one writer updates by a plain load and a plain store. No update is lost, because nobody else
//! writes; no reader sees half a number, because it is an atomic; and no lock prefix stands in the path of an allocation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use crate::catalog::{BUCKETS, OPERATIONS, SIZE_BOUNDS};

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
    /// Sends the next deallocation of the thread that counts here into the cold path.
    attention: AtomicBool,
    deallocations: AtomicU64,
    deallocated_bytes: AtomicU64,
    operations: [SizeCounters; OPERATIONS.len()],
}

/// Counters of one operation.
#[repr(C)]
#[derive(Debug)]
pub(super) struct SizeCounters {
    /// The buckets in reverse: so the slot of a size is what the processor counts anyway, its leading zeros.
    slots: [AtomicU64; BUCKETS],
    bytes: AtomicU64,
    /// Where the quick path ends: an operation that would bring `bytes` here or further takes the cold path. Never more than
    /// [`LONGEST_QUICK`] above `bytes`. Whoever wants attention sets it to 0, which the thread itself never overwrites without looking.
    pub(super) stop: AtomicU64,
    /// Bytes from `stop` to the next sample.
    pub(super) beyond: AtomicU64,
    /// The mean gap between samples that the present gap was drawn with.
    pub(super) mean: AtomicU64,
}

/// Most bytes that are asked for without taking the cold path once.
pub(super) const LONGEST_QUICK: u64 = 64 << 20;

impl SizeCounters {
    const fn new() -> Self {
        Self {
            slots: [const { AtomicU64::new(0) }; BUCKETS],
            bytes: AtomicU64::new(0),
            stop: AtomicU64::new(0),
            beyond: AtomicU64::new(0),
            mean: AtomicU64::new(0),
        }
    }

    /// Bytes asked for so far.
    #[inline(always)]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// Empty counters, whose first operation takes the cold path; `attention` says whether each deallocation shall too.
    pub(super) const fn new(attention: bool) -> Self {
        Self {
            attention: AtomicBool::new(attention),
            deallocations: AtomicU64::new(0),
            deallocated_bytes: AtomicU64::new(0),
            operations: [const { SizeCounters::new() }; OPERATIONS.len()],
        }
    }

    /// Whether [`operation_quick`](Self::operation_quick) would count the operation.
    #[inline(always)]
    pub(super) fn is_quick(&self, operation: Operation, size: usize) -> bool {
        let counters = self.of(operation);
        counters.bytes().wrapping_add(size as u64) < counters.stop.load(Ordering::Relaxed)
    }

    /// Counts an operation of this thread, unless it takes the cold path, and says whether it did.
    #[inline(always)]
    pub(super) fn operation_quick(&self, operation: Operation, size: usize) -> bool {
        let counters = self.of(operation);
        let bytes = counters.bytes().wrapping_add(size as u64);
        if bytes >= counters.stop.load(Ordering::Relaxed) {
            return false;
        }
        counters.bytes.store(bytes, Ordering::Relaxed);
        // SAFETY: `stop` is at most LONGEST_QUICK above what `bytes` was, so the size is below that, and its slot is 1 to BUCKETS - 1.
        add_owned(unsafe { counters.slots.get_unchecked(quick_slot(size)) }, 1);
        true
    }

    /// The counters of an operation.
    #[inline(always)]
    pub(super) fn of(&self, operation: Operation) -> &SizeCounters {
        &self.operations[operation as usize]
    }

    /// Counts an operation. `add` is how the caller may write: [`add_owned`] or [`add_shared`].
    pub(super) fn operation(
        &self,
        operation: Operation,
        size: usize,
        add: impl Fn(&AtomicU64, u64),
    ) {
        let counters = self.of(operation);
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

    /// Whether a deallocation must take the cold path.
    #[inline(always)]
    pub(super) fn wants_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed)
    }

    /// Sends the next operation of each kind, and the next deallocation, into the cold path.
    pub(super) fn ask_for_attention(&self) {
        self.attention.store(true, Ordering::Relaxed);
        // The thread stores `stop` and then looks for this flag, so that one of the two sees the other.
        fence(Ordering::SeqCst);
        for counters in &self.operations {
            counters.stop.store(0, Ordering::Relaxed);
        }
    }

    /// Lets deallocations take the quick path again.
    pub(super) fn attention_given(&self) {
        self.attention.store(false, Ordering::Relaxed);
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

/// The slot of a size up to [`LONGEST_QUICK`], which is the last bound.
#[inline(always)]
fn quick_slot(size: usize) -> usize {
    /// Leading zeros of the largest size, halved, less the slot that it belongs to.
    const OFFSET: usize = (LONGEST_QUICK - 1).leading_zeros() as usize / 2 - 1;
    // The bounds are powers of 4, and so two leading zeros make one slot.
    ((size.saturating_sub(1) | 15).leading_zeros() >> 1) as usize - OFFSET
}

/// The bucket of a size: the first bound that is not below it.
pub(super) fn bucket(size: usize) -> usize {
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
    /// Bytes asked for in all, exact; a realloc counts with its new size.
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
        for size in (0..=70_000)
            .chain(edges)
            .filter(|size| *size <= LONGEST_QUICK)
        {
            let size = usize::try_from(size).unwrap();
            assert_eq!(quick_slot(size), BUCKETS - 1 - bucket(size), "size {size}");
            assert!(quick_slot(size) > 0, "size {size}");
        }
    }
}
