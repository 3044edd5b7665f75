//! A process that works a little, for the footprint: what it does is the same with and without an exporter.

use std::collections::HashMap;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use workload::system::thread_cpu_time;

/// Threads that work.
pub const THREADS: usize = 4;
/// Part of one core that all of them take together.
const SHARE: f64 = 0.01;
/// A turn of one thread.
const PERIOD: Duration = Duration::from_millis(40);

/// Works for so long on several threads, inside what `around` enters for each.
pub fn work(length: Duration, around: impl Fn(usize, &mut dyn FnMut()) + Sync) {
    let end = Instant::now() + length;
    thread::scope(|scope| {
        for number in 0..THREADS {
            let around = &around;
            scope.spawn(move || {
                let mut store = HashMap::new();
                while Instant::now() < end {
                    around(number, &mut || turn(&mut store));
                    thread::sleep(PERIOD);
                }
            });
        }
    });
}

/// Builds and replaces small things in a bounded store until this thread has had its share.
fn turn(store: &mut HashMap<u64, Vec<String>>) {
    let share = PERIOD.mul_f64(SHARE / THREADS as f64);
    let start = thread_cpu_time();
    let mut number: u64 = 0;
    while thread_cpu_time() - start < share {
        let lines = (0..8).map(|line| format!("line {line} of entry {number}"));
        store.insert(number % 256, lines.collect());
        number += 1;
    }
    black_box(store);
}

/// What the kernel says of this process: resident bytes, anonymous resident bytes, CPU seconds.
pub fn usage() -> (u64, u64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
        number.map_or(0, |kib: u64| kib * 1024)
    };
    (bytes("VmRSS:"), bytes("RssAnon:"), process_cpu_seconds())
}

fn process_cpu_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
