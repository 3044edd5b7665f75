//! Estimates are true: a program whose every block is known runs a hundred times, each time with other random numbers, and is asked
//! over HTTP which function holds how much.
//!
//! The seeds are fixed, so that a result repeats on the same machine as long as the program asks for the same blocks. When it fails after a change that
//! does nothing but that, `MEMORY_EXPORTER_TEST_RUNS=1000` tells chance from error. The table is printed with `--nocapture`.
#![allow(unsafe_code, reason = "C calls back")]
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test"
)]

use std::fmt::{self, Write};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memory_exporter::heap::{self, SamplingOptions};
use memory_exporter::{Allocator, Config, Exporter, Peer};
use serde_json::Value;

use known_sites::SITES;

#[path = "support/known_sites.rs"]
mod known_sites;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

/// Sites have from ten to a hundred live samples.
const INTERVAL: u64 = 64 << 10;
const SEED: &str = "MEMORY_EXPORTER_TEST_SEED";
const RUNS: &str = "MEMORY_EXPORTER_TEST_RUNS";
/// In so many of a hundred runs the truth lies within the interval.
const LEAST_COVERAGE: f64 = 93.0;
/// How far the mean of all runs may lie from the truth, in standard errors.
const MOST_ERRORS: f64 = 3.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// Reach: half the width of the interval as a part of the truth.
const HEAD: &str = "site                                       live      mean    bias errors  reach  in it allocated      \
     mean    bias errors";

/// What one run says of a site.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    low: f64,
    live: f64,
    high: f64,
    allocated: f64,
}

/// Mean of an estimate over all runs, beside the truth.
struct Bias {
    mean: f64,
    relative: f64,
    /// In standard errors.
    errors: f64,
}

#[test]
fn estimates_are_true() {
    if let Ok(seed) = std::env::var(SEED) {
        return run(seed.parse().unwrap());
    }
    let number = std::env::var(RUNS).map_or(100, |text| text.parse().unwrap());
    let runs = all_runs(number);
    let mut table = format!("\n{HEAD}\n");
    let mut wrong = Vec::new();
    for (at, site) in SITES.iter().enumerate() {
        let estimates: Vec<Estimate> = runs.iter().map(|run| run[at]).collect();
        compare_site(site, &estimates, &mut table, &mut wrong);
    }
    let sum =
        |number: fn(&Estimate) -> f64| runs.iter().map(move |run| run.iter().map(number).sum());
    let live = (SITES.iter().map(|site| site.live).sum(), "live");
    let allocated = (SITES.iter().map(|site| site.allocated).sum(), "allocated");
    for ((truth, what), sums) in [
        (live, sum(|estimate| estimate.live)),
        (allocated, sum(|estimate| estimate.allocated)),
    ] {
        let bias = Bias::of(sums, truth);
        writeln!(table, "all sites, {what:<26} {truth:>9} {bias}").unwrap();
        wrong.extend(bias.is_real().then(|| format!("the sum: {what} is biased")));
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{table}\n{}", wrong.join("\n"));
}

/// Adds a line to the table, and what is wrong with it.
fn compare_site(
    site: &known_sites::Site,
    estimates: &[Estimate],
    table: &mut String,
    wrong: &mut Vec<String>,
) {
    let (truth, number) = (site.live as f64, estimates.len() as f64);
    let covered = estimates
        .iter()
        .filter(|estimate| estimate.low <= truth && truth <= estimate.high);
    let coverage = covered.count() as f64 / number * 100.0;
    let widths = estimates
        .iter()
        .map(|estimate| estimate.high - estimate.low);
    let reach = widths.sum::<f64>() / number / 2.0 / truth * 100.0;
    let live = Bias::of(estimates.iter().map(|estimate| estimate.live), site.live);
    let allocated = estimates.iter().map(|estimate| estimate.allocated);
    let allocated = Bias::of(allocated, site.allocated);
    writeln!(
        table,
        "{:<37} {truth:>9} {live} {reach:>5.1}% {coverage:>5.1}% {:>9} {allocated}",
        site.what, site.allocated
    )
    .unwrap();
    if coverage < LEAST_COVERAGE {
        wrong.push(format!(
            "{}: in the interval in {coverage} %",
            site.function
        ));
    }
    for (bias, what) in [(live, "live"), (allocated, "allocated")] {
        let is_real = bias.is_real();
        wrong.extend(is_real.then(|| format!("{}: {what} is biased", site.function)));
    }
}

impl Bias {
    fn of(estimates: impl Iterator<Item = f64> + Clone, truth: usize) -> Self {
        let (number, truth) = (estimates.clone().count() as f64, truth as f64);
        let mean = estimates.clone().sum::<f64>() / number;
        let squares: f64 = estimates.map(|estimate| (estimate - mean).powi(2)).sum();
        let error = (squares / (number - 1.0) / number).sqrt();
        Self {
            mean,
            relative: mean / truth - 1.0,
            errors: (mean - truth) / error,
        }
    }

    /// Whether chance alone would hardly do it.
    fn is_real(&self) -> bool {
        self.errors.is_nan() || self.errors.abs() > MOST_ERRORS
    }
}

impl fmt::Display for Bias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.relative * 100.0;
        write!(f, "{:>9.0} {percent:>6.2}% {:>6.2}", self.mean, self.errors)
    }
}

/// Runs the program so often, as many at a time as there are processors.
fn all_runs(number: usize) -> Vec<Vec<Estimate>> {
    let (next, runs) = (AtomicUsize::new(1), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > number {
                        return;
                    }
                    let run = child(seed);
                    runs.lock().unwrap().push(run);
                }
            });
        }
    });
    runs.into_inner().unwrap()
}

/// Runs this test in a process of its own, and reads what it says.
fn child(seed: usize) -> Vec<Estimate> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "estimates_are_true", "--nocapture"])
        .env(SEED, seed.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {seed}: {text}\n{errors}");
    let estimates = text
        .lines()
        .filter_map(|line| line.strip_prefix("estimate "));
    let estimates: Vec<_> = estimates
        .map(|numbers| {
            let mut numbers = numbers.split(' ').map(|number| number.parse().unwrap());
            let mut next = || numbers.next().unwrap();
            Estimate {
                low: next(),
                live: next(),
                high: next(),
                allocated: next(),
            }
        })
        .collect();
    assert_eq!(estimates.len(), SITES.len(), "seed {seed}: {text}");
    estimates
}

/// The program: allocates, asks the exporter, and prints a line per site.
fn run(seed: u64) {
    let mut config = Config::production();
    // Switched on below, by the first call with a seed.
    config.allocations.sample_interval = 0;
    let exporter = Exporter::builder(config).without_server().start().unwrap();
    // Past the first tick, so that the next, which may read symbols too, is half a minute away.
    ask(&exporter, "/metrics/memory/trend", |answer| {
        !answer["points"].as_array().unwrap().is_empty()
    });
    let mut options = SamplingOptions::every(INTERVAL);
    options.seed = Some(seed);
    heap::sample(options);
    known_sites::run();
    let answer = ask(&exporter, "/metrics/memory/allocations", |_| true);
    assert_eq!(answer["dropped_samples"], 0);
    for site in &SITES {
        let place = only_place(&answer, site.function);
        let number = |name: &str| place[name].as_f64().unwrap();
        println!(
            "estimate {} {} {} {}",
            number("live_bytes_low"),
            number("live_bytes"),
            number("live_bytes_high"),
            number("allocated_bytes")
        );
    }
    let stack = |function: &str| only_place(&answer, function)["stack"].to_string();
    let through_c = stack("compare");
    assert!(
        through_c.contains("::through_c ") && through_c.contains("::run "),
        "Rust is seen beyond C: {through_c}"
    );
    let deep = stack("at_the_bottom");
    assert!(
        deep.contains("::down ") && !deep.contains("::run "),
        "cut off: {deep}"
    );
}

/// The one line in a function that holds something.
fn only_place<'a>(answer: &'a Value, function: &str) -> &'a Value {
    let places = answer["by_live_bytes"].as_array().unwrap().iter();
    let is_it = |place: &&Value| {
        let name = place["function"].as_str().unwrap();
        // Without what the compiler adds to it: generic arguments, the body of an `async fn`.
        let within = name.split_once("known_sites::");
        within.is_some_and(|(_, name)| name.split("::").next() == Some(function))
    };
    let found: Vec<_> = places.filter(is_it).collect();
    assert_eq!(found.len(), 1, "{function}: {answer:#}");
    found[0]
}

/// Asks until the exporter has time to answer, and the answer is the wanted one.
fn ask(exporter: &Exporter, path: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let request = warp::test::request()
            .path(path)
            .extension(Peer("127.0.0.1:9".parse().unwrap()));
        let answer = runtime.block_on(async { request.reply(&exporter.routes()).await });
        if answer.status() == 200 {
            let json = serde_json::from_slice(answer.body()).unwrap();
            if is_wanted(&json) {
                return json;
            }
        } else {
            assert_eq!(answer.status(), 429, "{path}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("{path} has not answered");
}
