//! What a collection and a scrape cost in a process of this shape.
//!
//! Arguments: threads, components, `one` or `all` (how many components each thread has allocated for), and a factor for the number of
//! repetitions. Prints a line `NAME VALUE` per number: times in microseconds, allocations per repetition.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use contenders::scrape::Scraper;
use contenders::timing::Times;
use memory_exporter::heap::{self, Counts};
use memory_exporter::snapshot::{History, Recorder, SamplerOptions};
use memory_exporter::{Component, Config, Exporter};

#[global_allocator]
static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();

const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0";
const TEXT: &str = "text/plain;version=0.0.4";
/// More than the caches hold: between two ticks of a service, which are 30 s apart, its own work fills them.
const CACHES: usize = 32 << 20;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [threads, components, spread, factor] = words.as_slice() else {
        panic!("arguments: THREADS COMPONENTS one|all FACTOR");
    };
    let threads: usize = threads.parse().expect("a number of threads");
    let components: usize = components.parse().expect("a number of components");
    let factor: f64 = factor.parse().expect("a factor");
    populate(threads, components, spread == "all");

    let mut config = Config::production();
    config.allocations.max_components = components.max(20);
    config.web.listen_address = vec![([127, 0, 0, 1], 0).into()];
    let times = |times: f64| (times * factor).ceil() as usize;
    ticks(&config, &times);
    renders(&config, &times);
    scrapes(&config, &times);
}

/// Starts threads that allocate and then wait for ever, so that their counters exist and stand still.
fn populate(threads: usize, components: usize, each_in_all: bool) {
    let components: Vec<Component> = (0..components)
        .map(|number| Component::new(Box::leak(format!("component-{number:02}").into_boxed_str())))
        .collect();
    // Every component exists, however few the threads are.
    components.iter().for_each(allocate);
    let components = Arc::new(components);
    let ready = Arc::new(Barrier::new(threads + 1));
    for number in 0..threads {
        let (components, ready) = (Arc::clone(&components), Arc::clone(&ready));
        let body = move || {
            if each_in_all {
                components.iter().for_each(allocate);
            } else {
                allocate(&components[number % components.len()]);
            }
            ready.wait();
            loop {
                thread::park();
            }
        };
        let small = thread::Builder::new().stack_size(128 << 10);
        small.spawn(body).expect("a thread");
    }
    ready.wait();
}

fn allocate(component: &Component) {
    let _scope = component.enter();
    for size in [10, 100, 1_000, 10_000] {
        black_box(vec![1_u8; size]);
    }
    black_box(vec![0_u8; 3_000]);
}

/// One collection by the ticker, and one snapshot for somebody who asks.
fn ticks(config: &Config, times: &impl Fn(f64) -> usize) {
    let mut options = SamplerOptions::default();
    options.max_components = config.allocations.max_components;
    let history = History::new(config.sampling.max_samples, config.history.retention);
    let recorder = Recorder::new(options, history);
    recorder.own().claim_thread();
    for _ in 0..20 {
        recorder.tick();
    }
    report("tick", times(2_000.0), |times| {
        Times::cpu(times, || {}, || recorder.tick())
    });
    let mut trash = vec![0_u8; CACHES];
    let cool = || {
        trash.iter_mut().step_by(64).for_each(|byte| *byte ^= 1);
        thread::sleep(Duration::from_millis(5));
    };
    report("cold_tick", times(100.0), |times| {
        Times::cpu(times, cool, || recorder.tick())
    });
    report("snapshot", times(2_000.0), |times| {
        Times::cpu(times, || {}, || drop(recorder.snapshot()))
    });

    let mut parts: Vec<(&str, Vec<Duration>)> = Vec::new();
    for _ in 0..times(500.0) {
        let snapshot = recorder.snapshot();
        for collector in snapshot.collectors() {
            match parts.iter_mut().find(|(name, _)| *name == collector.name) {
                Some((_, times)) => times.push(collector.duration),
                None => parts.push((collector.name, vec![collector.duration])),
            }
        }
    }
    for (name, times) in parts {
        println!("{name} {}", Times::from(times).quantile(0.5));
    }
}

/// A scrape without a network.
fn renders(config: &Config, times: &impl Fn(f64) -> usize) {
    let exporter = Exporter::builder(config.clone())
        .without_server()
        .start()
        .expect("the exporter starts");
    // The first tick comes at once; the next in half a minute.
    thread::sleep(Duration::from_millis(200));
    for (name, accept) in [("openmetrics", OPENMETRICS), ("text", TEXT)] {
        let render = || drop(black_box(exporter.render(accept).expect("it is rendered")));
        (0..10).for_each(|_| render());
        report(name, times(500.0), |times| Times::cpu(times, || {}, render));
    }
}

/// A scrape over loopback.
fn scrapes(config: &Config, times: &impl Fn(f64) -> usize) {
    let exporter = Exporter::start(config.clone()).expect("the exporter starts");
    thread::sleep(Duration::from_millis(200));
    for (name, gzip) in [("http", false), ("http_gzip", true)] {
        let mut scraper = Scraper::connect(exporter.addresses()[0], gzip).expect("it listens");
        let (head, body) = scraper.scrape().expect("it answers");
        assert_eq!(head.contains("gzip"), gzip, "{head}");
        println!("{name}_bytes {}", body.len());
        let mut scrape = || {
            black_box(scraper.scrape().expect("it answers"));
        };
        (0..10).for_each(|_| scrape());
        report(name, times(1_000.0), |times| Times::elapsed(times, scrape));
    }
}

/// Prints median, 99th percentile, and allocator operations of the whole process per repetition.
fn report(name: &str, times: usize, measure: impl FnOnce(usize) -> Times) {
    let (mut before, mut after) = (Counts::default(), Counts::default());
    // Twice, so that reading the counters itself allocates nothing that is counted.
    heap::read(&mut before);
    heap::read(&mut after);
    heap::read(&mut before);
    let measured = measure(times);
    heap::read(&mut after);
    // Less the one allocation that holds the times.
    let operations = operations(&after) - operations(&before) - 1;
    println!("{name}_median {}", measured.quantile(0.5));
    println!("{name}_p99 {}", measured.quantile(0.99));
    println!("{name}_allocations {}", operations as f64 / times as f64);
}

fn operations(counts: &Counts) -> u64 {
    let all = counts.components.iter().flat_map(|c| &c.operations);
    all.map(heap::SizeCounts::count).sum()
}
