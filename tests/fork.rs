//! A process with threads that allocate at full speed forks again and again; the child allocates, frees what the parent had allocated,
//! and reads all samples, though the threads that were in the middle of something are not in it. Over jemalloc and over the C library's
//! allocator, which both arrange for forks: what could hang is ours.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "forks")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memory_exporter::heap::{self, SamplingOptions};
use memory_exporter::{Allocator, Component};

/// What the test itself allocates from.
#[global_allocator]
static GLOBAL: Allocator = Allocator::new();
static SYSTEM: Allocator<System> = Allocator::system();

static PARENT: Component = Component::new("parent");
static CHILD: Component = Component::new("child");

const THREADS: usize = 4;
const FORKS: usize = 150;
/// Blocks that the parent allocates and the child frees.
const BLOCKS: usize = 200;
/// Far longer than a child takes.
const BOUND: Duration = Duration::from_secs(20);
/// How a child ends that has seen all it should.
const WELL: i32 = 42;

#[test]
fn a_child_allocates_frees_and_reads_samples() {
    // So small that most operations are sampled, and large enough that some are not.
    heap::sample(SamplingOptions::every(256));
    let stop = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (stop, rounds) = (&stop, &rounds);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    churn(thread);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let outcome = (0..FORKS).try_for_each(|_| fork_and_wait());
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    assert!(rounds.load(Ordering::Relaxed) > 1_000, "the threads ran");
    assert!(heap::call_sites().any(|site| site.component() == "parent"));
    assert_eq!(heap::dropped_samples(), 0);
}

/// Allocates, resizes and frees by both allocators, from ever new stacks.
fn churn(seed: usize) {
    let _scope = PARENT.enter();
    let mut held = Vec::new();
    for at in 0..50 {
        let size = 1 + (seed * 31 + at * 97) % 5_000;
        held.push(Block::new(&GLOBAL, size));
        held.push(Block::new(&SYSTEM, size));
        if at % 3 == 0 {
            held.swap_remove(at % held.len());
        }
    }
    let mut grown: Vec<u8> = Vec::new();
    (0..2_000).for_each(|_| grown.push(7));
    black_box(grown);
}

/// A block of one of the allocators.
struct Block {
    allocator: &'static dyn GlobalAlloc,
    at: *mut u8,
    layout: Layout,
}

impl Block {
    fn new(allocator: &'static dyn GlobalAlloc, size: usize) -> Self {
        let layout = Layout::from_size_align(size, 8).unwrap();
        // SAFETY: the layout is not empty.
        let at = unsafe { allocator.alloc(layout) };
        assert!(!at.is_null());
        // SAFETY: the block is that long.
        unsafe { at.write_bytes(7, size) };
        Self {
            allocator,
            at,
            layout,
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the block came from this allocator with this layout, and nobody else holds it.
        unsafe { self.allocator.dealloc(self.at, self.layout) };
    }
}

/// Forks, and says what went wrong with the child.
fn fork_and_wait() -> Result<(), String> {
    let blocks: Vec<Block> = (1..=BLOCKS)
        .flat_map(|size| [Block::new(&GLOBAL, size), Block::new(&SYSTEM, size)])
        .collect();
    // SAFETY: the child calls nothing but the allocators, which both arrange for forks, what this test is about, and `_exit`.
    match unsafe { libc::fork() } {
        -1 => Err("cannot fork".to_owned()),
        0 => {
            let code = child(blocks);
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(code) }
        }
        child => wait(child),
    }
}

/// What the child does. A panic would unwind into what belongs to the parent, so it says by its code what went wrong.
fn child(blocks: Vec<Block>) -> i32 {
    let _scope = CHILD.enter();
    drop(blocks);
    churn(usize::from(b'c'));
    let held: Vec<Block> = (1..=BLOCKS).map(|size| Block::new(&GLOBAL, size)).collect();
    let (mut live, mut is_sane) = (0, true);
    heap::each_live_sample(|sample| {
        live += usize::from(sample.site.component() == CHILD.name());
        is_sane &= sample.weight >= 1.0 && sample.size <= 1 << 24;
    });
    let mut frames = 0;
    for site in heap::call_sites() {
        frames += site.frames().len();
        is_sane &= site.totals().live().bytes >= 0.0;
    }
    drop(held);
    match (live, frames, is_sane) {
        (0, _, _) => 1,
        (_, 0, _) => 2,
        (_, _, false) => 3,
        _ => WELL,
    }
}

/// Waits for a child, and kills it if it hangs.
fn wait(child: libc::pid_t) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: `status` is valid for writing, and the child is this process's own.
        let ended = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
        if ended == child {
            return match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
                (true, WELL) => Ok(()),
                _ => Err(format!("the child ended with wait status {status:#x}")),
            };
        }
        if start.elapsed() > BOUND {
            // SAFETY: the child is this process's own and was not waited for yet.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, &raw mut status, 0);
            }
            return Err(format!("the child hangs: not within {BOUND:?}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
