//! What single allocator calls cost threads that allocate at full speed, while nobody looks and while profile after profile is taken over
//! HTTP.
//!
//! Argument: seconds of each of the two. Prints a line `NAME VALUE` per number: times in microseconds, of the calling thread's CPU time and
//! elapsed.

use std::alloc::Layout;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use memory_exporter::{Config, Exporter};
use workload::system::thread_cpu_time;

#[global_allocator]
static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();

const THREADS: usize = 16;
/// Blocks that a thread holds at a time.
const HELD: usize = 256;

fn main() {
    let seconds: u64 = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .expect("argument: seconds");
    let mut config = Config::production();
    config.allocations.sample_interval = 512 << 10;
    config.web.listen_address = vec![([127, 0, 0, 1], 0).into()];
    let exporter = Exporter::start(config).expect("the exporter starts");
    let address = exporter.addresses()[0];
    let phase = Duration::from_secs(seconds);
    let ((), quiet) = while_allocating(|| std::thread::sleep(phase));
    quiet.report("quiet");
    let (profiles, profiled) = while_allocating(|| {
        let start = Instant::now();
        let mut profiles = 0_u64;
        while start.elapsed() < phase {
            profiles += u64::from(take_profile(address));
        }
        profiles
    });
    profiled.report("profiled");
    println!("profiles {profiles}");
}

/// Runs `work` while the threads allocate, and says what their calls cost.
fn while_allocating<T>(work: impl FnOnce() -> T) -> (T, Costs) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let stop = &stop;
                scope.spawn(move || allocate(number, stop))
            })
            .collect();
        let result = work();
        stop.store(true, Ordering::Relaxed);
        let mut costs = Costs::default();
        for thread in threads {
            costs.merge(&thread.join().expect("it does not panic"));
        }
        (result, costs)
    })
}

/// Allocates and frees blocks of 1 B to 16 KiB at random, small ones more often, and times each call.
fn allocate(number: usize, stop: &AtomicBool) -> Costs {
    let mut random = number as u64 + 1;
    let mut next = move |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut costs = Costs::default();
    let mut held: Vec<Option<(*mut u8, Layout)>> = vec![None; HELD];
    while !stop.load(Ordering::Relaxed) {
        let place = &mut held[next(HELD as u64) as usize];
        if let Some((block, layout)) = place.take() {
            // SAFETY: the block came from the allocator with this layout, and nobody else holds it.
            costs.time(|| unsafe { std::alloc::dealloc(block, layout) });
        }
        let size = 1 + {
            let power = next(11);
            next(16 << power)
        } as usize;
        let layout = Layout::from_size_align(size, 8).expect("a small size");
        // SAFETY: the layout is not empty.
        let block = costs.time(|| unsafe { std::alloc::alloc(layout) });
        assert!(!block.is_null());
        *place = Some((block, layout));
    }
    for (block, layout) in held.into_iter().flatten() {
        // SAFETY: as above.
        unsafe { std::alloc::dealloc(block, layout) };
    }
    costs
}

/// Whether a profile was to be had; the exporter's own search for owners may be in the way.
fn take_profile(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request =
        format!("GET /debug/pprof/heap HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it listens");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    answer.starts_with(b"HTTP/1.1 200")
}

/// What calls cost.
#[derive(Default)]
struct Costs {
    cpu: Histogram,
    elapsed: Histogram,
}

impl Costs {
    fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let (start, cpu) = (Instant::now(), thread_cpu_time());
        let result = call();
        self.cpu.add(thread_cpu_time() - cpu);
        self.elapsed.add(start.elapsed());
        result
    }

    fn merge(&mut self, other: &Self) {
        self.cpu.merge(&other.cpu);
        self.elapsed.merge(&other.elapsed);
    }

    fn report(&self, name: &str) {
        println!("{name}_calls {}", self.cpu.count());
        for (clock, times) in [("cpu", &self.cpu), ("elapsed", &self.elapsed)] {
            println!("{name}_{clock}_median {}", times.quantile(0.5));
            println!("{name}_{clock}_p999 {}", times.quantile(0.999));
            println!("{name}_{clock}_p99999 {}", times.quantile(0.99999));
            println!("{name}_{clock}_max {}", times.longest.as_secs_f64() * 1e6);
        }
    }
}

/// Steps within a doubling: times are told to 6 %.
const STEPS: usize = 16;

/// Times, counted by size, so that keeping them allocates nothing.
struct Histogram {
    counts: [u64; 64 * STEPS],
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; 64 * STEPS],
            longest: Duration::ZERO,
        }
    }
}

impl Histogram {
    fn add(&mut self, time: Duration) {
        let nanoseconds = (time.as_nanos() as u64).max(STEPS as u64);
        let doubling = nanoseconds.ilog2();
        let step = (nanoseconds >> (doubling - STEPS.ilog2())) as usize % STEPS;
        self.counts[doubling as usize * STEPS + step] += 1;
        self.longest = self.longest.max(time);
    }

    fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
        self.longest = self.longest.max(other.longest);
    }

    fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The time below which this share of the times lies, in microseconds.
    fn quantile(&self, share: f64) -> f64 {
        let wanted = (share * self.count() as f64) as u64;
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen > wanted
        });
        at.map_or(f64::NAN, |at| {
            let (doubling, step) = (at / STEPS, at % STEPS);
            (1.0 + step as f64 / STEPS as f64) * (1_u64 << doubling) as f64 / 1e3
        })
    }
}
