//! Whether leaks are found and the innocent left alone: in simulated workloads, and in real programs; and what looking for them costs.

use crate::arguments::Arguments;
use crate::programs;

/// Runs of each kind at production settings.
const RUNS: u64 = 120;
/// The development profile looks six times as often, at four times as many samples.
const DEVELOPMENT_SHARE: u64 = 8;
/// Windows that the development profile is tried with besides its own.
const WINDOWS: &str = "2m,5m";
/// Generations of real programs, their length in seconds, and the rate of their leaks at the usual pace in megabytes per hour.
const GENERATIONS: u64 = 3;
const SECONDS: &str = "180";
const RATE: &str = "50";

pub(crate) fn simulated(arguments: &Arguments) {
    let runs = arguments.runs.unwrap_or(RUNS);
    println!("### Leaks, simulated, production profile\n");
    programs::run("leaks", &["--runs", &runs.to_string()]);
    println!("### Leaks, simulated, development profile\n");
    let runs = runs.div_ceil(DEVELOPMENT_SHARE).to_string();
    let development = ["--profile", "development", "--windows", WINDOWS];
    programs::run("leaks", &[&development[..], &["--runs", &runs]].concat());
}

pub(crate) fn cost() {
    println!("### One look of the detector, all windows in use\n");
    programs::run("leaks", &["cost"]);
    println!();
}

pub(crate) fn real(arguments: &Arguments) {
    println!("### Leaks of real programs, fifteen times as fast\n");
    let generations = arguments.runs.unwrap_or(GENERATIONS).to_string();
    programs::run("leaky_watch", &[SECONDS, RATE, &generations]);
}
