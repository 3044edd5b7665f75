//! What a collection and a scrape cost, in processes of several shapes.

use crate::arguments::Arguments;
use crate::programs::Program;
use crate::table;

/// Threads, components, and for how many components each thread has allocated.
const SHAPES: [(u32, u32, &str); 11] = [
    (1, 1, "one"),
    (1, 20, "one"),
    (1, 50, "one"),
    (50, 1, "one"),
    (50, 20, "one"),
    (50, 50, "one"),
    (500, 1, "one"),
    (500, 20, "one"),
    (500, 50, "one"),
    (50, 20, "all"),
    (500, 50, "all"),
];

pub(crate) fn run(arguments: &Arguments) {
    let factor = arguments.rounds as f64 / 8.0;
    let (mut ticks, mut scrapes) = (Vec::new(), Vec::new());
    for (threads, components, spread) in SHAPES {
        let words = [threads.to_string(), components.to_string()];
        let mut words = words.to_vec();
        words.extend([spread.to_owned(), factor.to_string()]);
        let program = Program::start("collection", &words, &[]);
        let numbers = program.numbers();
        let get = |name: &str| numbers.get(name).copied().unwrap_or(f64::NAN);
        let shape = [
            threads.to_string(),
            components.to_string(),
            spread.to_owned(),
        ];
        let times = |name: &str| {
            let (median, p99) = (get(&format!("{name}_median")), get(&format!("{name}_p99")));
            format!("{median:.0} ({p99:.0})")
        };
        let allocations = |name: &str| format!("{:.2}", get(&format!("{name}_allocations")));
        ticks.push(shape.to_vec());
        let row = ticks.last_mut().expect("just pushed");
        row.extend([times("tick"), times("cold_tick"), allocations("tick")]);
        row.extend(
            ["heap", "samples", "jemalloc", "process", "cgroup"]
                .map(|part| format!("{:.1}", get(part))),
        );
        row.extend([times("snapshot"), allocations("snapshot")]);
        scrapes.push(shape.to_vec());
        let row = scrapes.last_mut().expect("just pushed");
        for name in ["openmetrics", "text", "http", "http_gzip"] {
            row.extend([times(name), allocations(name)]);
        }
        row.push(format!(
            "{:.0} / {:.1}",
            get("http_bytes") / 1024.0,
            get("http_gzip_bytes") / 1024.0
        ));
        eprintln!("collect: {threads} threads, {components} components done");
    }
    let mut head = vec!["threads", "components", "each thread in"];
    head.extend(["tick", "tick, cold caches", "allocations"]);
    head.extend(["of it heap", "samples", "jemalloc", "process", "cgroup"]);
    head.extend(["snapshot", "allocations"]);
    table::print(
        "Collection: median (p99) of the CPU time in microseconds; parts: median of the elapsed time",
        &head,
        &ticks,
    );
    let mut head = vec!["threads", "components", "each thread in"];
    for name in [
        "render OpenMetrics",
        "render text 0.0.4",
        "HTTP",
        "HTTP gzip",
    ] {
        head.extend([name, "allocations"]);
    }
    head.push("KiB, plain / gzip");
    table::print(
        "Scrape: median (p99) in microseconds, the snapshot included; rendering: CPU time, HTTP: elapsed time",
        &head,
        &scrapes,
    );
}
