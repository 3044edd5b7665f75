//! The sampled blocks that are live: a bounded hash table from address to record, which nobody ever waits for.
//!
//! The key of a slot is claimed by compare-and-swap, and only whoever holds the block at an address inserts or removes that address, so no lock
//! is needed: not for threads, and not across `fork`. An address has a place in one of two buckets of eight; when both are full, in a
//! larger table of the same kind. Tables come from pages of our own and are only mapped when they are needed.

use std::alloc::Layout;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use super::arena;
use super::clock::now;
use super::filter::PAGE;
use super::site::{CallSite, Site};

/// Keys that stand on one cache line.
const WAYS: usize = 8;
/// Buckets of each table: 1 Ki, 4 Ki, 16 Ki, 64 Ki, 128 Ki slots.
const BUCKETS: [usize; 5] = [1 << 7, 1 << 9, 1 << 11, 1 << 13, 1 << 14];

/// Most live samples that can be asked for.
pub const MOST_LIVE_SAMPLES: usize = 150_000;

const FREE: usize = 0;
/// Claimed, and not filled in yet. No block starts at address 1.
const CLAIMED: usize = 1;

/// What is known of a sampled block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) size: usize,
    /// How many allocations of its kind it stands for.
    pub(super) weight: f32,
    /// When it was allocated, in nanoseconds of the monotonic clock.
    pub(super) birth: u64,
    pub(super) site: &'static Site,
}

#[repr(C, align(64))]
struct Bucket {
    keys: [AtomicUsize; WAYS],
    slots: [Slot; WAYS],
}

struct Slot {
    /// Odd while the slot is being written.
    version: AtomicU32,
    weight: AtomicU32,
    size: AtomicUsize,
    birth: AtomicU64,
    site: AtomicPtr<Site>,
}

static TABLES: [AtomicPtr<Bucket>; BUCKETS.len()] =
    [const { AtomicPtr::new(ptr::null_mut()) }; BUCKETS.len()];
static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Bounds the number of live samples from now on.
pub(super) fn set_most(most: usize) {
    MOST.store(most.min(MOST_LIVE_SAMPLES), Ordering::Relaxed);
}

/// Makes room for one more sample, or says that there is none.
pub(super) fn reserve() -> bool {
    if LIVE.fetch_add(1, Ordering::Relaxed) < MOST.load(Ordering::Relaxed) {
        return true;
    }
    give_back();
    false
}

/// Gives back room that was reserved and not used.
pub(super) fn give_back() {
    LIVE.fetch_sub(1, Ordering::Relaxed);
}

/// Notes a sample for which room was reserved; `false` when both its buckets are full in every table.
pub(super) fn insert(address: usize, record: &Record) -> bool {
    #[cfg(test)]
    if REFUSE.load(Ordering::Relaxed) {
        return false;
    }
    for index in 0..BUCKETS.len() {
        let Some(table) = table_or_map(index) else {
            break;
        };
        let (first, second) = buckets(table, address);
        let free = |bucket: &Bucket| {
            let is_free = |key: &&AtomicUsize| key.load(Ordering::Relaxed) == FREE;
            bucket.keys.iter().filter(is_free).count()
        };
        // The emptier first: so both fill evenly, and hardly any address needs the next table before this one is nearly full.
        let order = if free(first) >= free(second) {
            [first, second]
        } else {
            [second, first]
        };
        if order.iter().any(|bucket| bucket.insert(address, record)) {
            return true;
        }
    }
    false
}

/// Lets no sample in, as if there were no room.
#[cfg(test)]
pub(super) fn refuse(refuse: bool) {
    REFUSE.store(refuse, Ordering::Relaxed);
}

#[cfg(test)]
static REFUSE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Takes the record of a block out, if the block is sampled. Its room stays reserved.
pub(super) fn remove(address: usize) -> Option<Record> {
    tables().find_map(|table| {
        let (first, second) = buckets(table, address);
        first.remove(address).or_else(|| second.remove(address))
    })
}

/// Whether the block is sampled.
pub(super) fn holds(address: usize) -> bool {
    tables().any(|table| {
        let (first, second) = buckets(table, address);
        first
            .way_of(address)
            .or_else(|| second.way_of(address))
            .is_some()
    })
}

/// Samples that are live.
pub(super) fn count() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// A sampled block that is live.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LiveSample {
    /// Where it was allocated.
    pub site: CallSite,
    /// Its size in bytes.
    pub size: usize,
    /// How many blocks of its size it stands for.
    pub weight: f64,
    /// Its age in nanoseconds.
    pub age: u64,
    /// When it was allocated, in nanoseconds of [`monotonic`](super::monotonic).
    pub birth: u64,
}

/// Calls `visit` with each sampled block that is live.
pub fn each_live_sample(mut visit: impl FnMut(LiveSample)) {
    let now = now();
    each(|record| {
        visit(LiveSample {
            site: CallSite(record.site),
            size: record.size,
            weight: record.weight.into(),
            age: now.saturating_sub(record.birth),
            birth: record.birth,
        });
    });
}

/// Calls `visit` with each record. One that is inserted or removed meanwhile is seen as a whole or not at all.
fn each(mut visit: impl FnMut(&Record)) {
    for bucket in tables().flatten() {
        for way in 0..WAYS {
            if let Some(record) = bucket.read(way) {
                visit(&record);
            }
        }
    }
}

impl Bucket {
    fn insert(&self, address: usize, record: &Record) -> bool {
        let claim = |key: &AtomicUsize| {
            key.load(Ordering::Relaxed) == FREE
                && key
                    .compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
        };
        let Some(way) = self.keys.iter().position(claim) else {
            return false;
        };
        let slot = &self.slots[way];
        let version = slot.version.load(Ordering::Relaxed);
        slot.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        slot.size.store(record.size, Ordering::Relaxed);
        slot.weight
            .store(record.weight.to_bits(), Ordering::Relaxed);
        slot.birth.store(record.birth, Ordering::Relaxed);
        slot.site
            .store(ptr::from_ref(record.site).cast_mut(), Ordering::Relaxed);
        slot.version
            .store(version.wrapping_add(2), Ordering::Release);
        self.keys[way].store(address, Ordering::Release);
        true
    }

    fn way_of(&self, address: usize) -> Option<usize> {
        let holds = |key: &AtomicUsize| key.load(Ordering::Acquire) == address;
        self.keys.iter().position(holds)
    }

    fn remove(&self, address: usize) -> Option<Record> {
        let way = self.way_of(address)?;
        let record = self.slots[way].load();
        self.keys[way].store(FREE, Ordering::Release);
        record
    }

    /// The record of a slot, unless it is free or changes while it is read.
    fn read(&self, way: usize) -> Option<Record> {
        let (key, slot) = (&self.keys[way], &self.slots[way]);
        let address = key.load(Ordering::Acquire);
        if address == FREE || address == CLAIMED {
            return None;
        }
        let version = slot.version.load(Ordering::Acquire);
        let record = slot.load();
        fence(Ordering::Acquire);
        let is_steady = version.is_multiple_of(2)
            && slot.version.load(Ordering::Relaxed) == version
            && key.load(Ordering::Relaxed) == address;
        record.filter(|_| is_steady)
    }
}

impl Slot {
    fn load(&self) -> Option<Record> {
        // SAFETY: null, or a site, which lives for ever: nothing else is ever stored there.
        let site = unsafe { self.site.load(Ordering::Relaxed).as_ref() }?;
        Some(Record {
            size: self.size.load(Ordering::Relaxed),
            weight: f32::from_bits(self.weight.load(Ordering::Relaxed)),
            birth: self.birth.load(Ordering::Relaxed),
            site,
        })
    }
}

/// The two buckets where an address may be; they may be the same.
fn buckets(table: &'static [Bucket], address: usize) -> (&'static Bucket, &'static Bucket) {
    const GOLDEN: usize = 0x9e37_79b9_7f4a_7c15;
    let mixed = (address / PAGE).wrapping_mul(GOLDEN);
    let mask = table.len() - 1;
    let at = |hash: usize| &table[hash & mask];
    (at(mixed >> 20), at(mixed >> 40))
}

/// The tables that were needed so far.
fn tables() -> impl Iterator<Item = &'static [Bucket]> {
    (0..BUCKETS.len()).map_while(table)
}

/// A table, if it was ever needed.
fn table(index: usize) -> Option<&'static [Bucket]> {
    let buckets = TABLES[index].load(Ordering::Acquire);
    if buckets.is_null() {
        return None;
    }
    // SAFETY: a table that was published has this many buckets, all bits zero or written since, and is never unmapped.
    Some(unsafe { std::slice::from_raw_parts(buckets, BUCKETS[index]) })
}

fn table_or_map(index: usize) -> Option<&'static [Bucket]> {
    if let Some(table) = table(index) {
        return Some(table);
    }
    let layout = Layout::array::<Bucket>(BUCKETS[index]).ok()?;
    let fresh = arena::map(layout.size())?.cast::<Bucket>();
    // All bits zero are a bucket whose slots are free.
    if TABLES[index]
        .compare_exchange(
            ptr::null_mut(),
            fresh.as_ptr(),
            Ordering::AcqRel,
            Ordering::Acquire,
        )
        .is_err()
    {
        arena::unmap(fresh.cast(), layout.size());
    }
    table(index)
}
