//! What single allocator calls cost threads that allocate, while profiles are taken.

use crate::programs::Program;
use crate::table;

/// Seconds without profiles, and as many with them.
const SECONDS: u64 = 10;
const RUNS: u64 = 3;

pub(crate) fn run() {
    let rows: Vec<Vec<String>> = (1..=RUNS).flat_map(rows).collect();
    table::print(
        "Pauses: one allocator call of one of 16 threads, in microseconds, the clock's own 0.3 included",
        &[
            "run",
            "profiles",
            "calls",
            "CPU: median",
            "p99.9",
            "p99.999",
            "max",
            "elapsed: median",
            "p99.9",
            "p99.999",
            "max",
        ],
        &rows,
    );
}

fn rows(run: u64) -> [Vec<String>; 2] {
    let program = Program::start("pauses", &[SECONDS.to_string()], &[]);
    let numbers = program.numbers();
    let get = |name: &str| numbers.get(name).copied().unwrap_or(f64::NAN);
    ["quiet", "profiled"].map(|phase| {
        let profiles = if phase == "quiet" {
            0.0
        } else {
            get("profiles")
        };
        let mut row = vec![run.to_string(), profiles.to_string()];
        row.push(get(&format!("{phase}_calls")).to_string());
        for clock in ["cpu", "elapsed"] {
            for name in ["median", "p999", "p99999", "max"] {
                row.push(format!("{:.2}", get(&format!("{phase}_{clock}_{name}"))));
            }
        }
        row
    })
}
