//! What a profile costs, and what the instrument takes, with many samples that are live.

use crate::programs::Program;
use crate::table;

const SAMPLES: [u32; 3] = [1_000, 10_000, 100_000];

pub(crate) fn run() {
    let rows: Vec<Vec<String>> = SAMPLES.into_iter().map(row).collect();
    table::print(
        "Profiles: CPU time in milliseconds, memory in MiB, sizes in KiB",
        &[
            "live samples",
            "call sites",
            "instrument: anonymous memory",
            "address space",
            "capture",
            "pprof, first",
            "later",
            "size",
            "flame graph",
            "size",
            "peak while building",
            "left afterwards",
        ],
        &rows,
    );
}

fn row(samples: u32) -> Vec<String> {
    let program = Program::start("profiles", &[samples.to_string()], &[]);
    let numbers = program.numbers();
    let get = |name: &str| numbers.get(name).copied().unwrap_or(f64::NAN);
    let mib = |name: &str| format!("{:.2}", get(name) / 1024.0);
    let ms = |name: &str| format!("{:.1}", get(name));
    vec![
        get("live").to_string(),
        get("sites").to_string(),
        mib("instrument_kib"),
        mib("reserved_kib"),
        format!("{:.2}", get("capture_ms")),
        ms("pprof_first_ms"),
        ms("pprof_later_ms"),
        get("pprof_kib").to_string(),
        ms("flamegraph_ms"),
        get("flamegraph_kib").to_string(),
        mib("peak_kib"),
        mib("left_kib"),
    ]
}
