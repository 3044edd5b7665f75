//! A program whose every block is known: how much each of its sites has allocated, and how much of it lives at the end.
//!
//! `tests/truth.rs` compares the estimates with it; `benches/` runs it under peers too. Each site allocates on one line, in a function
//! with a frame of its own. What stays alive is leaked, so that nothing else has to hold it.

use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The truth about one site.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    /// The function that allocates, as the end of its path.
    pub(crate) function: &'static str,
    /// What is special about it.
    pub(crate) what: &'static str,
    /// Bytes that live at the end.
    pub(crate) live: usize,
    /// Bytes that were asked for.
    pub(crate) allocated: usize,
}

impl Site {
    /// A site of which everything lives on.
    const fn kept(function: &'static str, what: &'static str, bytes: usize) -> Self {
        Self {
            function,
            what,
            live: bytes,
            allocated: bytes,
        }
    }
}

const SMALL: (usize, usize) = (8_000, 200);
const LARGE: (usize, usize) = (60, 384 << 10);
const MIXED: (usize, [usize; 4]) = (40, [16, 300, 5_000, 100_000]);
const DEEP: (usize, usize) = (1_000, 3_000);
/// More frames than a stack is kept with.
const DEEP_LEVELS: usize = 200;
const GENERIC: usize = 1_500;
type Short = [u8; 900];
type Long = [u64; 200];
const TASKS: (usize, usize) = (80, 20_000);
/// Blocks that each task allocates, one before it waits and one after.
const TASK_BLOCKS: usize = 2;
const WORKER: (usize, usize) = (1_000, 700);
const GROWN: (usize, usize) = (30, 8_192);
/// Numbers that a vector has room for when it is first pushed to.
const FIRST_ROOM: usize = 4;
const SHARED: (usize, usize) = (2_000, 6_000);
const SCRATCH: (usize, usize) = (3_000, 3_000);
/// One in so many is kept.
const SCRATCH_KEPT: usize = 10;
const FROM_C: (usize, usize) = (1_200, 1_000);

const fn product((count, size): (usize, usize)) -> usize {
    count * size
}

/// Bytes of all capacities that a vector of numbers has had, each twice the one before.
const fn capacities(last: usize) -> usize {
    (2 * last - FIRST_ROOM) * size_of::<u64>()
}

pub(crate) const SITES: [Site; 11] = [
    Site::kept("small_boxes", "small boxes", product(SMALL)),
    Site::kept(
        "large_buffers",
        "blocks six times the interval",
        product(LARGE),
    ),
    Site::kept(
        "mixed_sizes",
        "sizes from 16 B to 100 kB",
        MIXED.0 * (MIXED.1[0] + MIXED.1[1] + MIXED.1[2] + MIXED.1[3]),
    ),
    Site::kept(
        "at_the_bottom",
        "recursion deeper than stacks are kept",
        product(DEEP),
    ),
    Site::kept(
        "boxed",
        "generic function, two types",
        GENERIC * (size_of::<Short>() + size_of::<Long>()),
    ),
    Site::kept("answer", "async fn on tokio", product(TASKS) * TASK_BLOCKS),
    Site::kept("worker", "thread that has ended", product(WORKER)),
    Site {
        function: "grown_by_push",
        what: "vectors grown by realloc",
        live: product(GROWN) * size_of::<u64>(),
        allocated: GROWN.0 * capacities(GROWN.1),
    },
    Site {
        function: "shared",
        what: "half freed by another thread",
        live: product(SHARED) / 2,
        allocated: product(SHARED),
    },
    Site {
        function: "scratch",
        what: "nine in ten freed at once",
        live: product(SCRATCH) / SCRATCH_KEPT,
        allocated: product(SCRATCH),
    },
    Site::kept("compare", "called back by C (qsort)", product(FROM_C)),
];

/// Allocates everything, and frees what does not live on.
pub(crate) fn run() {
    small_boxes();
    large_buffers();
    mixed_sizes();
    black_box(down(black_box(DEEP_LEVELS)));
    boxed::<Short>([1; 900]);
    boxed::<Long>([1; 200]);
    on_tokio();
    thread::spawn(worker).join().expect("the worker ends");
    grown_by_push();
    freed_elsewhere();
    scratch();
    through_c();
}

/// Lets a block live to the end of the process.
fn keep<T>(block: T) {
    std::mem::forget(black_box(block));
}

#[inline(never)]
fn small_boxes() {
    for _ in 0..SMALL.0 {
        keep(Box::new([1_u8; SMALL.1]));
    }
}

#[inline(never)]
fn large_buffers() {
    for _ in 0..LARGE.0 {
        keep(Vec::<u8>::with_capacity(LARGE.1));
    }
}

#[inline(never)]
fn mixed_sizes() {
    for number in 0..MIXED.0 * MIXED.1.len() {
        keep(vec![1_u8; MIXED.1[number % MIXED.1.len()]]);
    }
}

#[inline(never)]
fn down(levels: usize) -> usize {
    if levels == 0 {
        at_the_bottom();
        return 0;
    }
    black_box(down(levels - 1)) + 1
}

#[inline(never)]
fn at_the_bottom() {
    for _ in 0..DEEP.0 {
        keep(vec![1_u8; DEEP.1]);
    }
}

#[inline(never)]
fn boxed<T: Copy>(content: T) {
    for _ in 0..GENERIC {
        keep(Box::new(content));
    }
}

fn on_tokio() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without drivers");
    runtime.block_on(async {
        // Behind a pointer its code keeps a name of its own, however much is inlined.
        let task = || -> Pin<Box<dyn Future<Output = ()> + Send>> { Box::pin(answer()) };
        let tasks: Vec<_> = (0..TASKS.0).map(|_| tokio::spawn(task())).collect();
        for task in tasks {
            task.await.expect("the task ends");
        }
    });
}

async fn answer() {
    for _ in 0..TASK_BLOCKS {
        keep(vec![1_u8; TASKS.1]);
        tokio::task::yield_now().await;
    }
}

#[inline(never)]
fn worker() {
    for _ in 0..WORKER.0 {
        keep(Box::new([1_u8; WORKER.1]));
    }
}

#[inline(never)]
fn grown_by_push() {
    for _ in 0..GROWN.0 {
        let mut numbers = Vec::new();
        for number in 0..GROWN.1 as u64 {
            numbers.push(black_box(number));
        }
        keep(numbers);
    }
}

/// Every other block is freed by a thread that did not allocate it.
fn freed_elsewhere() {
    let mut given_away = Vec::with_capacity(SHARED.0 / 2);
    for _ in 0..SHARED.0 / 2 {
        keep(shared());
        given_away.push(shared());
    }
    let other = thread::spawn(move || drop(given_away));
    other.join().expect("the other thread ends");
}

#[inline(never)]
fn shared() -> Vec<u8> {
    vec![1_u8; SHARED.1]
}

#[inline(never)]
fn scratch() {
    for number in 0..SCRATCH.0 {
        let block = black_box(vec![1_u8; SCRATCH.1]);
        if number % SCRATCH_KEPT == 0 {
            keep(block);
        }
    }
}

/// The C library sorts, and asks Rust to compare.
#[inline(never)]
fn through_c() {
    let mut numbers: Vec<u32> = (0..2 * FROM_C.0 as u32).rev().collect();
    // SAFETY: so many numbers of this size lie there, and `compare` reads two of them.
    unsafe {
        libc::qsort(
            numbers.as_mut_ptr().cast(),
            numbers.len(),
            size_of::<u32>(),
            Some(compare),
        );
    }
    assert!(numbers.is_sorted());
}

/// Keeps a block in each of the first calls, of which there are more than that whatever way the library sorts.
extern "C" fn compare(one: *const libc::c_void, other: *const libc::c_void) -> libc::c_int {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    if CALLS.fetch_add(1, Ordering::Relaxed) < FROM_C.0 {
        keep(vec![1_u8; FROM_C.1]);
    }
    // SAFETY: `qsort` hands over two of the numbers that it sorts.
    let (one, other) = unsafe { (*one.cast::<u32>(), *other.cast::<u32>()) };
    one.cmp(&other) as libc::c_int
}
