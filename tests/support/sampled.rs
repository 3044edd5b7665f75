//! Sampling, over whatever allocator the including test installed. The process is the test's own, so that nobody else allocates much.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::mpsc;

use memory_exporter::Component;
use memory_exporter::heap::{self, Amount, SamplingOptions};

/// How much work is done; Valgrind is fifty times slower.
pub(crate) struct Effort {
    pub(crate) threads: usize,
    pub(crate) rounds: usize,
}

impl Effort {
    /// As much as the environment says is affordable.
    pub(crate) fn affordable() -> Self {
        if std::env::var_os("MEMORY_EXPORTER_TEST_SLOWLY").is_some() {
            Self {
                threads: 64,
                rounds: 120,
            }
        } else {
            Self {
                threads: 64,
                rounds: 3_000,
            }
        }
    }
}

fn sample(interval: u64, max_live_samples: usize) {
    let mut options = SamplingOptions::every(interval);
    options.max_live_samples = max_live_samples;
    heap::sample(options);
}

/// What was sampled in a component, and how many sites it has.
fn of(component: &Component) -> (Amount, Amount, usize) {
    let mut sum = (Amount::default(), Amount::default(), 0);
    for site in heap::call_sites().filter(|site| site.component() == component.name()) {
        let (totals, live) = (site.totals(), site.totals().live());
        sum.0.objects += totals.allocated.objects;
        sum.0.bytes += totals.allocated.bytes;
        sum.1.objects += live.objects;
        sum.1.bytes += live.bytes;
        sum.2 += 1;
    }
    sum
}

/// Every block of every kind is sampled, followed and let go.
pub(crate) fn check_every_block(allocator: &impl GlobalAlloc) {
    static EVERY: Component = Component::new("every block");
    // At one byte the chance that a block of 64 bytes is missed is e^-64.
    sample(1, 10_000);
    let _scope = EVERY.enter();
    let mut expected = Amount::default();
    let mut held = Vec::with_capacity(1_000);
    for align in [1, 8, 16, 64, 4096, 65_536] {
        for size in [64, 1000, 4096, 12_288, 12_289, 14_336, 100_000, 3_000_000] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the layout is not empty; sizes written lie within the blocks; each is given back once, with its last layout.
            unsafe {
                let block = allocator.alloc(layout);
                let zeroed = allocator.alloc_zeroed(layout);
                assert!(
                    std::slice::from_raw_parts(zeroed, size)
                        .iter()
                        .all(|byte| *byte == 0)
                );
                block.write_bytes(7, size);
                // Grown past the size from which blocks are not placed, and shrunk below it.
                let other = if size < 12_288 { 20_000 } else { 100 };
                let moved = allocator.realloc(block, layout, other);
                let kept = std::slice::from_raw_parts(moved, size.min(other));
                assert!(kept.iter().all(|byte| *byte == 7), "{layout:?}");
                for block in [moved, zeroed] {
                    assert_eq!(block as usize % align, 0);
                }
                held.push((moved, Layout::from_size_align(other, align).unwrap()));
                held.push((zeroed, layout));
                expected.objects += 2.0;
                expected.bytes += (other + size) as f64;
            }
        }
    }
    let (allocated, live, sites) = of(&EVERY);
    let blocks = held.len() as f64;
    // `held` itself is one more.
    assert_eq!(
        (allocated.objects - 1.0, live.objects - 1.0),
        (blocks * 1.5, blocks)
    );
    let own = (held.capacity() * size_of::<(*mut u8, Layout)>()) as f64;
    assert_eq!(live.bytes - own, expected.bytes);
    assert!(sites >= 4, "{sites} sites");
    let followed = heap::live_samples();
    let number = held.len() as u64;
    for (block, layout) in held.drain(..) {
        // SAFETY: see above.
        unsafe { allocator.dealloc(block, layout) };
    }
    assert_eq!(followed - heap::live_samples(), number);
    drop(held);
    assert_eq!(of(&EVERY).1, Amount::default());
    assert_eq!(heap::dropped_samples(), 0);
}

/// Blocks of no size, which the contract forbids, do no harm: they are counted, come and go, grow and shrink, and are never sampled.
pub(crate) fn check_no_size(allocator: &impl GlobalAlloc) {
    static NOTHING: Component = Component::new("no size");
    sample(1, 10_000);
    let _scope = NOTHING.enter();
    let of_size = |size| Layout::from_size_align(size, 8).unwrap();
    for _ in 0..1_000 {
        // SAFETY: none is promised for no size; that nothing happens is what is tested. What has a size is used as its layout says.
        unsafe {
            let (block, zeroed) = (
                allocator.alloc(of_size(0)),
                allocator.alloc_zeroed(of_size(0)),
            );
            assert!(!block.is_null() && !zeroed.is_null() && block != zeroed);
            allocator.dealloc(zeroed, of_size(0));
            let grown = allocator.realloc(block, of_size(0), 100);
            grown.write_bytes(7, 100);
            allocator.dealloc(grown, of_size(100));
        }
    }
    let (allocated, live, _) = of(&NOTHING);
    assert_eq!(
        (allocated.objects, live.objects),
        (1_000.0, 0.0),
        "those that grew"
    );
}

/// Work that asks not to be sampled is not, and what comes after it is.
pub(crate) fn check_unsampled() {
    static UNSAMPLED: Component = Component::new("unsampled");
    sample(1, 10_000);
    let _scope = UNSAMPLED.enter();
    let before = heap::unsampled_bytes();
    let hidden = heap::unsampled(|| {
        assert_eq!(heap::unsampled_bytes(), u64::MAX, "nobody knows how much");
        vec![1_u8; 1_000]
    });
    assert_eq!(heap::unsampled_bytes(), before);
    assert_eq!(of(&UNSAMPLED).0.objects, 0.0);
    let seen = black_box(vec![1_u8; 1_000]);
    assert_eq!(of(&UNSAMPLED).1.objects, 1.0);
    drop((hidden, seen));
    assert_eq!(of(&UNSAMPLED).1.objects, 0.0);
}

/// Estimates are right within what sampling allows, and the place is the right one.
pub(crate) fn check_estimates() {
    static SMALL: Component = Component::new("small");
    static LARGE: Component = Component::new("large");
    sample(64 << 10, 100_000);
    let mut small: Vec<Box<[u8; 200]>> = Vec::with_capacity(100_000);
    let mut large: Vec<Vec<u8>> = Vec::with_capacity(400);
    {
        let _scope = SMALL.enter();
        small.extend((0..100_000).map(|_| Box::new([1; 200])));
    }
    {
        let _scope = LARGE.enter();
        large.extend((0..400).map(|_| vec![1; 50_000]));
    }
    for (component, objects, bytes) in [(&SMALL, 100_000.0, 2e7), (&LARGE, 400.0, 2e7)] {
        let (allocated, live, sites) = of(component);
        // 20 MB at 64 KiB are 305 samples: five standard deviations.
        for (estimate, truth) in [(live.objects, objects), (live.bytes, bytes)] {
            assert!(
                (estimate / truth - 1.0).abs() < 5.0 / 305.0_f64.sqrt(),
                "{estimate} for {truth}"
            );
        }
        assert_eq!(allocated, live);
        assert_eq!(sites, 1);
    }
    drop(black_box((small, large)));
    assert_eq!((of(&SMALL).1, of(&LARGE).1), Default::default());
}

/// More live samples than there is room for are counted, and nothing is shown that is not so.
pub(crate) fn check_overflow() {
    static OVERFLOW: Component = Component::new("overflow");
    sample(1, 500);
    let dropped = heap::dropped_samples();
    let _scope = OVERFLOW.enter();
    let blocks: Vec<Box<[u8; 100]>> = (0..2_000).map(|_| Box::new([1; 100])).collect();
    assert!(heap::live_samples() <= 500);
    let dropped = heap::dropped_samples() - dropped;
    let (allocated, live, _) = of(&OVERFLOW);
    assert!(dropped > 1_500);
    assert!(allocated.objects >= 2_000.0 && live.objects <= 500.0);
    assert_eq!(allocated.objects - live.objects, dropped as f64);
    drop(blocks);
    assert_eq!(of(&OVERFLOW).1, Amount::default());
    sample(0, 500);
}

/// Threads allocate, resize and free at random, also what other threads have allocated, while blocks are checked for their content, the
/// interval changes, and all that was sampled is read.
pub(crate) fn check_stress(allocator: &(impl GlobalAlloc + Sync), effort: &Effort) {
    static STRESS: Component = Component::new("stress");
    sample(512, 3_000);
    let read = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..effort.threads)
            .map(|_| mpsc::channel::<Block>())
            .unzip();
        let read = &read;
        let workers: Vec<_> = receivers
            .into_iter()
            .enumerate()
            .map(|(number, received)| {
                let senders = senders.clone();
                scope.spawn(move || {
                    let _scope = STRESS.enter();
                    work(allocator, number, effort.rounds, &senders, &received);
                    received
                })
            })
            .collect();
        drop(senders);
        let reader = scope.spawn(|| {
            let mut rounds = 0_u64;
            while !read.load(std::sync::atomic::Ordering::Relaxed) {
                let mut sizes: HashMap<u32, f64> = HashMap::new();
                heap::each_live_sample(|sample| {
                    assert!(sample.weight >= 1.0 && sample.size < 1 << 30, "{sample:?}");
                    *sizes.entry(sample.site.id()).or_default() += sample.weight;
                });
                for site in heap::call_sites() {
                    assert!(site.frames().iter().all(|frame| *frame > 4096));
                }
                rounds += 1;
                heap::sample({
                    let mut options =
                        SamplingOptions::every([512, 64, 0, 4096][rounds as usize % 4]);
                    options.max_live_samples = [3_000, 100][rounds as usize % 2];
                    options
                });
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let inboxes: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect();
        for block in inboxes.iter().flat_map(mpsc::Receiver::try_iter) {
            block.free(allocator);
        }
        read.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap();
    });
    let (allocated, live, _) = of(&STRESS);
    assert!(allocated.objects > 0.0);
    assert_eq!(live, Amount::default(), "everything was freed");
    sample(0, 0);
}

struct Block {
    at: *mut u8,
    layout: Layout,
    mark: u8,
}

// SAFETY: a block belongs to whoever holds this.
unsafe impl Send for Block {}

impl Block {
    fn check(&self) {
        // SAFETY: the block is that long and its ends were written.
        let ends = unsafe { (*self.at, *self.at.add(self.layout.size() - 1)) };
        assert_eq!(ends, (self.mark, self.mark));
        assert_eq!(self.at as usize % self.layout.align(), 0);
    }

    fn free(self, allocator: &impl GlobalAlloc) {
        self.check();
        // SAFETY: the block belongs to whoever holds this, and that ends here.
        unsafe { allocator.dealloc(self.at, self.layout) };
    }

    fn marked(at: *mut u8, layout: Layout, mark: u8) -> Self {
        // SAFETY: the block is that long.
        unsafe {
            *at = mark;
            *at.add(layout.size() - 1) = mark;
        }
        Self { at, layout, mark }
    }
}

fn work(
    allocator: &impl GlobalAlloc,
    number: usize,
    rounds: usize,
    senders: &[mpsc::Sender<Block>],
    received: &mpsc::Receiver<Block>,
) {
    let mut random = number as u64 + 1;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let mut held: Vec<Block> = Vec::new();
    for _ in 0..rounds {
        let power = next(16);
        let size = 1 + next(2 << power);
        let layout = Layout::from_size_align(size, 1 << next(14)).unwrap();
        // SAFETY: no layout is empty; each block is given back once, by whoever holds it, with its last layout.
        unsafe {
            match next(6) {
                0 | 1 => held.push(Block::marked(
                    allocator.alloc(layout),
                    layout,
                    next(256) as u8,
                )),
                2 => held.push(Block::marked(
                    allocator.alloc_zeroed(layout),
                    layout,
                    next(256) as u8,
                )),
                3 if !held.is_empty() => {
                    let at = next(held.len());
                    let old = held.swap_remove(at);
                    old.check();
                    let layout = Layout::from_size_align(size, old.layout.align()).unwrap();
                    let moved = allocator.realloc(old.at, old.layout, size);
                    assert_eq!(*moved, old.mark);
                    held.push(Block::marked(moved, layout, old.mark));
                }
                4 if !held.is_empty() => {
                    let at = next(held.len());
                    let block = held.swap_remove(at);
                    // Who has ended takes nothing any more.
                    if let Err(refused) = senders[next(senders.len())].send(block) {
                        held.push(refused.0);
                    }
                }
                _ => {
                    let blocks = received.try_iter().chain(held.pop());
                    blocks.for_each(|block| block.free(allocator));
                }
            }
        }
    }
    held.into_iter().for_each(|block| block.free(allocator));
}
