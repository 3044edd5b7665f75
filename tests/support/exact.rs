//! Known allocations, and what the counters must say of them. One test a process: every allocation counts.

use std::alloc::{GlobalAlloc, Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

use memory_exporter::catalog::{SIZE_BOUNDS, SIZE_CATEGORIES};
use memory_exporter::heap::{self, Counts, SizeCounts};
use memory_exporter::snapshot::Value;
use memory_exporter::{Allocator, Component, Exporter, InComponent};

static STAYS: Component = Component::new("stays");
static ENDS: Component = Component::new("ends");
static ASYNC: Component = Component::new("async");
static LATE: Component = Component::new("late");

const THREADS: usize = 8;
const ROUNDS: usize = 1_000;

/// Sizes at and around every bound, each asked for in every way.
fn sizes() -> Vec<usize> {
    let bounds = SIZE_BOUNDS.map(|bound| usize::try_from(bound).unwrap());
    bounds
        .into_iter()
        .filter(|bound| *bound <= 1 << 20)
        .flat_map(|bound| [bound - 1, bound, bound + 1])
        .collect()
}

/// What a batch of operations should leave in the counters.
#[derive(Default, Clone)]
struct Expected {
    operations: [SizeCounts; 3],
    freed: u64,
    freed_bytes: u64,
}

impl Expected {
    fn add(&mut self, operation: usize, size: usize) {
        let bucket = SIZE_BOUNDS
            .iter()
            .position(|bound| size as u64 <= *bound)
            .unwrap_or(SIZE_BOUNDS.len());
        self.operations[operation].buckets[bucket] += 1;
        self.operations[operation].bytes += size as u64;
    }

    fn times(&self, factor: u64) -> [SizeCounts; 3] {
        let mut sum: [SizeCounts; 3] = Default::default();
        for _ in 0..factor {
            for (sum, own) in sum.iter_mut().zip(&self.operations) {
                sum.merge(own);
            }
        }
        sum
    }
}

/// One alloc, one alloc_zeroed, one realloc to the double and all frees, for every size. Nothing else allocates.
fn churn(sizes: &[usize]) {
    for size in sizes {
        let layout = Layout::from_size_align(*size, 8).unwrap();
        let doubled = Layout::from_size_align(size * 2, 8).unwrap();
        // SAFETY: every layout has a size above 0, every block is freed with the layout that it has then.
        unsafe {
            let block = alloc(layout);
            let zeroed = alloc_zeroed(layout);
            assert!(!block.is_null() && !zeroed.is_null());
            let moved = realloc(block, layout, size * 2);
            assert!(!moved.is_null());
            dealloc(zeroed, layout);
            dealloc(moved, doubled);
        }
    }
}

fn expected_of_churn(sizes: &[usize]) -> Expected {
    let mut expected = Expected::default();
    for size in sizes {
        expected.add(0, *size);
        expected.add(1, *size);
        expected.add(2, size * 2);
        expected.freed += 2;
        expected.freed_bytes += (size + size + size * 2) as u64; // realloc returns the old block
    }
    expected
}

fn of(counts: &Counts, name: &str) -> [SizeCounts; 3] {
    counts
        .components
        .iter()
        .find(|component| component.name == name)
        .map(|component| component.operations)
        .unwrap_or_default()
}

/// Runs known work and compares, to the last count.
pub(crate) fn check() {
    assert!(heap::is_installed());
    let sizes = sizes();
    let once = expected_of_churn(&sizes);
    let rounds = if cfg!(debug_assertions) {
        ROUNDS / 10
    } else {
        ROUNDS
    };

    // Threads that stay until the counters are read, and threads that end before; the latter leave their blocks to later ones.
    let (ready, is_ready) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let may_leave = std::sync::Arc::new(std::sync::Mutex::new(may_leave));
    let stay: Vec<_> = (0..THREADS)
        .map(|_| {
            let (sizes, ready, may_leave) = (
                sizes.clone(),
                ready.clone(),
                std::sync::Arc::clone(&may_leave),
            );
            thread::spawn(move || {
                {
                    let _scope = STAYS.enter();
                    (0..rounds).for_each(|_| churn(&sizes));
                }
                ready.send(()).unwrap();
                let _ = may_leave.lock().unwrap().recv();
            })
        })
        .collect();
    for _ in 0..3 {
        let end: Vec<_> = (0..THREADS)
            .map(|_| {
                let sizes = sizes.clone();
                thread::spawn(move || {
                    let _scope = ENDS.enter();
                    (0..rounds).for_each(|_| churn(&sizes));
                })
            })
            .collect();
        end.into_iter().for_each(|thread| thread.join().unwrap());
    }
    (0..THREADS).for_each(|_| is_ready.recv().unwrap());

    let mut counts = Counts::default();
    heap::read(&mut counts);
    let per_thread = rounds as u64;
    assert_eq!(
        of(&counts, "stays"),
        once.times(THREADS as u64 * per_thread),
        "threads that live"
    );
    assert_eq!(
        of(&counts, "ends"),
        once.times(3 * THREADS as u64 * per_thread),
        "threads that have ended"
    );

    let before = counts.deallocations;
    let mut again = Counts::default();
    again.components.reserve(64);
    heap::read(&mut again); // from here on the test itself allocates nothing but the churn
    let quiet = again.deallocations;
    churn(&sizes);
    heap::read(&mut again);
    assert_eq!(again.deallocations.count - quiet.count, once.freed);
    assert_eq!(again.deallocations.bytes - quiet.bytes, once.freed_bytes);
    assert!(quiet.count >= before.count);

    drop(leave);
    stay.into_iter().for_each(|thread| thread.join().unwrap());
    the_largest_size_counts_above_all_bounds();
    every_alignment_is_kept();
    nested_guards_and_futures(&sizes, &once);
    late_destructors(&sizes, &once);
    more_names_than_room();
    an_operation_that_fails_is_not_counted();
    distribution_and_histogram_say_the_same();
}

/// Small sizes with large alignments too, through every operation.
fn every_alignment_is_kept() {
    static ALIGNED: Component = Component::new("aligned");
    let mut expected = Expected::default();
    let scope = ALIGNED.enter();
    for align in (0..=13).map(|power| 1_usize << power) {
        for size in [1, align.div_ceil(2), align, align + 1, align * 3] {
            let layout = Layout::from_size_align(size, align).unwrap();
            let larger = Layout::from_size_align(size * 5, align).unwrap();
            // SAFETY: every layout has a size above 0, every block is freed with the layout that it has then.
            unsafe {
                let block = alloc(layout);
                block.write_bytes(7, size);
                let moved = realloc(block, layout, larger.size());
                let shrunk = realloc(moved, larger, size);
                let zeroed = alloc_zeroed(layout);
                for at in [block, moved, shrunk, zeroed] {
                    assert!(
                        !at.is_null() && at.addr() % align == 0,
                        "{layout:?}: {at:?}"
                    );
                }
                assert_eq!(
                    (
                        *shrunk,
                        *shrunk.add(size - 1),
                        *zeroed,
                        *zeroed.add(size - 1)
                    ),
                    (7, 7, 0, 0)
                );
                dealloc(shrunk, layout);
                dealloc(zeroed, layout);
            }
            expected.add(0, size);
            expected.add(1, size);
            expected.add(2, size * 5);
            expected.add(2, size);
        }
    }
    drop(scope);
    let mut counts = Counts::default();
    heap::read(&mut counts);
    for (operation, expected) in expected.operations.iter().enumerate() {
        assert_eq!(of(&counts, "aligned")[operation], *expected);
    }
}

fn the_largest_size_counts_above_all_bounds() {
    static LARGE: Component = Component::new("large");
    const SIZE: usize = (64 << 20) + 1;
    {
        let _scope = LARGE.enter();
        drop(std::hint::black_box(Vec::<u8>::with_capacity(SIZE)));
        drop(std::hint::black_box(Vec::<u8>::with_capacity(SIZE - 1)));
    }
    let mut counts = Counts::default();
    heap::read(&mut counts);
    let [alloc, ..] = of(&counts, "large");
    assert_eq!(
        (alloc.buckets[11], alloc.buckets[12], alloc.bytes),
        (1, 1, 2 * SIZE as u64 - 1)
    );
}

fn nested_guards_and_futures(sizes: &[usize], once: &Expected) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let mut before = Counts::default();
    heap::read(&mut before);
    let inner = sizes.to_vec();
    let future = async move {
        churn(&inner);
        // Waits once without allocating, which tokio's own yield does.
        let mut waited = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        {
            let _scope = STAYS.enter();
            churn(&inner);
        }
        churn(&inner);
        std::mem::forget(inner); // its deallocation would be nobody's business here
    };
    runtime
        .block_on(runtime.spawn(future.in_component(&ASYNC)))
        .unwrap();
    let mut after = Counts::default();
    heap::read(&mut after);
    assert_eq!(
        of(&after, "async"),
        once.times(2),
        "before and after the nested guard"
    );
    let stays = (of(&before, "stays"), of(&after, "stays"));
    for (operation, (old, new)) in stays.0.iter().zip(&stays.1).enumerate() {
        assert_eq!(
            new.count() - old.count(),
            once.operations[operation].count(),
            "inside the nested guard"
        );
    }
}

/// What a thread-local's destructor allocates counts too.
fn late_destructors(sizes: &[usize], once: &Expected) {
    struct Late(Vec<usize>);
    impl Drop for Late {
        fn drop(&mut self) {
            let _scope = LATE.enter();
            churn(&self.0);
        }
    }
    thread_local!(static LAST: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) });
    let owned = sizes.to_vec();
    thread::spawn(move || LAST.with(|last| *last.borrow_mut() = Some(Late(owned))))
        .join()
        .unwrap();
    let mut counts = Counts::default();
    heap::read(&mut counts);
    assert_eq!(of(&counts, "late"), once.times(1));
}

fn more_names_than_room() {
    let dropped = heap::dropped_components();
    let names: Vec<&'static Component> = (0..60)
        .map(|at| {
            &*Box::leak(Box::new(Component::new(Box::leak(
                format!("name-{at}").into_boxed_str(),
            ))))
        })
        .collect();
    let mut before = Counts::default();
    heap::read(&mut before);
    for name in &names {
        let _scope = name.enter();
        drop(std::hint::black_box(Box::new(std::hint::black_box(
            [0_u8; 40],
        ))));
    }
    let mut after = Counts::default();
    heap::read(&mut after);
    assert_eq!(
        after.components.len(),
        52,
        "50 names, unattributed and other"
    );
    let refused = heap::dropped_components() - dropped;
    assert!(refused > 0);
    let other = of(&after, heap::OTHER)[0].buckets[1] - of(&before, heap::OTHER)[0].buckets[1];
    assert_eq!(other, refused, "what has no room counts as other");
}

fn an_operation_that_fails_is_not_counted() {
    struct Empty;
    // SAFETY: it never hands out a block, which `GlobalAlloc` allows at any time.
    unsafe impl GlobalAlloc for Empty {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            std::ptr::null_mut()
        }
        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }
    let allocator = Allocator::with(Empty);
    let (mut before, mut after) = (Counts::default(), Counts::default());
    heap::read(&mut before);
    before.components.shrink_to_fit();
    after.components.reserve(64);
    heap::read(&mut before);
    let layout = Layout::from_size_align(24, 8).unwrap();
    // SAFETY: the layouts are valid; what is null is not used.
    unsafe {
        assert!(allocator.alloc(layout).is_null());
        assert!(allocator.alloc_zeroed(layout).is_null());
    }
    heap::read(&mut after);
    assert_eq!(before, after);
}

fn distribution_and_histogram_say_the_same() {
    let mut config = without_samples();
    config.allocations.max_components = 50;
    let exporter = Exporter::builder(config).without_server().start().unwrap();
    let snapshot = exporter.snapshot();
    let families = snapshot.families(false);
    let family = |name: &str| {
        families
            .iter()
            .find(|family| family.def.name == name)
            .unwrap()
    };
    let mut by_category: BTreeMap<&str, u64> = BTreeMap::new();
    let mut total = 0;
    for sample in &family("memory.allocation.size_bytes").samples {
        let Value::Histogram { buckets, .. } = sample.value else {
            panic!("not a histogram")
        };
        for (bucket, bound) in buckets
            .iter()
            .zip(SIZE_BOUNDS.iter().copied().chain([u64::MAX]))
        {
            let (category, _) = SIZE_CATEGORIES
                .iter()
                .find(|(_, upper)| bound <= *upper)
                .unwrap();
            *by_category.entry(category).or_default() += bucket;
            total += bucket;
        }
    }
    let integer = |value: Value<'_>| match value {
        Value::Integer(value) => value,
        other => panic!("{other:?} is not a whole number"),
    };
    for sample in &family("memory.allocation.distribution").samples {
        assert_eq!(
            integer(sample.value),
            by_category[sample.labels[0].1],
            "{:?}",
            sample.labels
        );
    }
    let counted: u64 = family("memory.allocation.count")
        .samples
        .iter()
        .map(|sample| integer(sample.value))
        .sum();
    assert_eq!(counted, total);
    exporter.stop();
}

/// Nothing is sampled, so that no symbols are read meanwhile, which takes memory.
fn without_samples() -> memory_exporter::Config {
    let mut config = memory_exporter::Config::production();
    config.allocations.sample_interval = 0;
    config
}

/// Only for the process whose allocator is not jemalloc, though jemalloc is linked into it.
#[allow(dead_code, reason = "one of the two binaries that include this file")]
pub(crate) fn jemalloc_is_absent_and_the_heap_is_what_was_counted() {
    let exporter = Exporter::builder(without_samples())
        .without_server()
        .start()
        .unwrap();
    let held = vec![7_u8; 32 << 20];
    let with = exporter.snapshot().heap_bytes().unwrap();
    drop(held);
    let without = exporter.snapshot().heap_bytes().unwrap();
    assert!(
        with.abs_diff(without + (32 << 20)) < 256 << 10,
        "{with} and {without}"
    );
    let (text, _) = exporter.render("").unwrap();
    assert!(text.contains("\nmemory_heap_bytes "));
    assert!(
        !text.contains("memory_jemalloc"),
        "jemalloc is linked here but serves nobody"
    );
    assert!(text.contains("memory_exporter_collector_success{collector=\"jemalloc\"} 0"));
}
