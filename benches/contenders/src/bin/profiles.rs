//! What a profile costs, and what the instrument takes, with so many sampled blocks that are live.
//!
//! Argument: number of live samples. Prints a line `NAME VALUE` per number: times in milliseconds of CPU, memory in KiB.

use std::hint::black_box;

use memory_exporter::Config;
use memory_exporter::heap::{self, SamplingOptions};
use memory_exporter::profile::flamegraph::{self, FlamegraphOptions};
use memory_exporter::profile::{Asker, Frames, Profile, Profiler, SampleType};
use workload::system::thread_cpu_time;

#[global_allocator]
static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();

/// A page, so that placing a sampled block takes no more memory than it would take anyway.
const BLOCK: usize = 4096;
/// Ways to get to an allocation: 3^7 stacks.
const BRANCHES: usize = 7;

fn main() {
    let samples: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .expect("argument: a number of live samples");
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(samples);
    // The same blocks without samples first: what memory they need by themselves.
    fill(&mut blocks, samples);
    let without = anonymous_kib();
    blocks.clear();

    // With a mean gap of one byte every block is sampled.
    heap::sample(SamplingOptions::every(1));
    fill(&mut blocks, samples);
    heap::sample(SamplingOptions::every(512 << 10));
    println!("live {}", heap::live_samples());
    println!("sites {}", heap::call_sites().count());
    println!("instrument_kib {}", anonymous_kib().saturating_sub(without));
    println!("reserved_kib {}", heap::reserved_bytes() >> 10);

    let profiler = Profiler::new(&Config::production(), "/proc".as_ref());
    let build = profiler.begin(Asker::Request).expect("nobody else builds");
    let before = anonymous_kib();
    let (capture, profile) = timed(Profile::now);
    println!("capture_ms {capture}");
    reset_peak();
    let pprof = || heap::apart(|| build.pprof(&profile, SampleType::InuseSpace).len());
    let (first, size) = timed(pprof);
    println!("pprof_first_ms {first}");
    println!("pprof_kib {}", size >> 10);
    println!("peak_kib {}", peak_kib().saturating_sub(rss_kib()));
    let (later, _) = timed(pprof);
    println!("pprof_later_ms {later}");
    let (graph, size) = timed(|| {
        heap::apart(|| {
            let folded = build.folded(&profile, SampleType::InuseSpace, Frames::Condensed);
            flamegraph::svg(&folded, &FlamegraphOptions::default()).len()
        })
    });
    println!("flamegraph_ms {graph}");
    println!("flamegraph_kib {}", size >> 10);
    println!("left_kib {}", anonymous_kib().saturating_sub(before));
    black_box(blocks);
}

fn fill(blocks: &mut Vec<Vec<u8>>, number: usize) {
    for block in 0..number {
        blocks.push(one(block, BRANCHES));
    }
}

#[inline(never)]
fn one(path: usize, left: usize) -> Vec<u8> {
    if left == 0 {
        return vec![1; BLOCK];
    }
    let way = [one, two, three][path % 3];
    black_box(way(path / 3, left - 1))
}

#[inline(never)]
fn two(path: usize, left: usize) -> Vec<u8> {
    black_box(one(path + black_box(1) - 1, left))
}

#[inline(never)]
fn three(path: usize, left: usize) -> Vec<u8> {
    black_box(one(path + black_box(0), left))
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = thread_cpu_time();
    let result = work();
    ((thread_cpu_time() - start).as_secs_f64() * 1e3, result)
}

fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs is there");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| {
        line.trim_start_matches(':')
            .trim()
            .split(' ')
            .next()?
            .parse()
            .ok()
    })
    .expect("a number of KiB")
}

fn anonymous_kib() -> u64 {
    status_kib("RssAnon")
}

fn rss_kib() -> u64 {
    status_kib("VmRSS")
}

fn peak_kib() -> u64 {
    status_kib("VmHWM")
}

/// Lets the peak start from here.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
