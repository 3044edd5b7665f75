//! What an allocation costs, against peers.
//!
//! Rounds are short and the contenders take turns, each next to a round of bare jemalloc; what is compared is the two neighbours, so
//! that a machine that grows slower for a while does so for both. Each contender has a neighbour of its own, which rests as long as it
//! does: jemalloc gives pages back while it rests, and a process that ran a moment ago has warm caches. Bare jemalloc takes part as a
//! contender too: its distance from 1 is the error of the method.

use crate::arguments::Arguments;
use crate::programs::Program;
use crate::table;

/// CPU time that a round of bare jemalloc shall take, all its threads together.
const ROUND_NANOSECONDS: f64 = 2e7;

/// Configures jemalloc.
const JEMALLOC: &str = "_RJEM_MALLOC_CONF";
/// Mean number of bytes between two samples of ours.
const INTERVAL: &str = "SAMPLE_INTERVAL";

/// A contender: its name, its program, and a variable of its environment.
type Contender = (&'static str, &'static str, (&'static str, &'static str));

const BARE: (&str, (&str, &str)) = ("bare", (JEMALLOC, ""));

const CONTENDERS: [Contender; 10] = [
    ("bare jemalloc again", BARE.0, BARE.1),
    (
        "memory_exporter::Allocator, counting",
        "ours",
        (INTERVAL, "0"),
    ),
    (
        "counting and sampling, 2 MiB",
        "ours",
        (INTERVAL, "2097152"),
    ),
    (
        "counting and sampling, 512 KiB",
        "ours",
        (INTERVAL, "524288"),
    ),
    (
        "jemalloc profiler, 2 MiB",
        "profiler",
        (JEMALLOC, "prof:true,prof_active:true,lg_prof_sample:21"),
    ),
    (
        "jemalloc profiler, 512 KiB",
        "profiler",
        (JEMALLOC, "prof:true,prof_active:true,lg_prof_sample:19"),
    ),
    ("four relaxed atomics", "atomics", BARE.1),
    ("tracking-allocator 0.4", "tracking", BARE.1),
    ("stats_alloc 0.1.10", "stats", BARE.1),
    ("dhat 0.3.3 (system allocator)", "dhat", BARE.1),
];

/// Workload and number of threads.
const CASES: [(&str, u64); 8] = [
    ("tight", 1),
    ("btree", 1),
    ("json", 1),
    ("mixed", 1),
    ("tight", 2),
    ("btree", 2),
    ("json", 2),
    ("mixed", 2),
];

/// One contender in one case.
#[derive(Default)]
struct Cell {
    /// Its time per unit, as a multiple of that of its neighbour.
    ratios: Vec<f64>,
}

pub(crate) fn run(arguments: &Arguments) {
    let wanted = |list: &[String], name: &str| list.is_empty() || list.iter().any(|n| n == name);
    let contenders: Vec<_> = CONTENDERS
        .into_iter()
        .filter(|(_, program, _)| wanted(&arguments.only, program))
        .collect();
    let cases: Vec<_> = CASES
        .into_iter()
        .filter(|(task, _)| wanted(&arguments.tasks, task))
        .collect();
    let mut cells: Vec<Vec<Cell>> = contenders
        .iter()
        .map(|_| cases.iter().map(|_| Cell::default()).collect())
        .collect();
    let mut bare_times: Vec<Vec<f64>> = cases.iter().map(|_| Vec::new()).collect();

    for process in 0..arguments.processes {
        // Anew each time: where a process happens to lie in memory matters too.
        let first = Runner::start(BARE, &cases, None);
        let mut pairs: Vec<_> = contenders
            .iter()
            .map(|(_, program, variable)| {
                [BARE, (*program, *variable)]
                    .map(|contender| Runner::start(contender, &cases, Some(&first.units)))
            })
            .collect();
        drop(first);
        for round in 0..arguments.rounds {
            for case in 0..cases.len() {
                for turn in 0..pairs.len() {
                    let which = (turn + round as usize + process as usize) % pairs.len();
                    let [bare, runner] = &mut pairs[which];
                    let (own, neighbour);
                    if round.is_multiple_of(2) {
                        neighbour = bare.time_per_unit(case);
                        own = runner.time_per_unit(case);
                    } else {
                        own = runner.time_per_unit(case);
                        neighbour = bare.time_per_unit(case);
                    }
                    cells[which][case].ratios.push(own / neighbour);
                    bare_times[case].push(neighbour);
                }
            }
        }
        eprintln!("hot: {} of {} done", process + 1, arguments.processes);
    }

    let head: Vec<String> = cases
        .iter()
        .map(|(task, threads)| format!("{task}, {threads} thr."))
        .collect();
    let head: Vec<&str> = ["CPU time / bare jemalloc's"]
        .into_iter()
        .chain(head.iter().map(String::as_str))
        .collect();
    let mut rows = vec![
        ["bare jemalloc, ns per unit".to_owned()]
            .into_iter()
            .chain(bare_times.iter().map(|times| table::spread(times, 1)))
            .collect::<Vec<_>>(),
    ];
    for ((name, ..), cells) in contenders.iter().zip(&cells) {
        let cells = cells.iter().map(|cell| table::spread(&cell.ratios, 3));
        rows.push([(*name).to_owned()].into_iter().chain(cells).collect());
    }
    table::print(
        &format!(
            "Hot path: median (quartiles) of {} paired rounds",
            arguments.processes * arguments.rounds
        ),
        &head,
        &rows,
    );
}

/// A process of a contender, and how much it does in a round of each case.
struct Runner {
    program: Program,
    cases: Vec<(&'static str, u64)>,
    units: Vec<u64>,
}

impl Runner {
    /// Starts the process, warms it up, and finds out how many units make a round: as many as for `bare` if it is not much slower.
    fn start(
        (program, (variable, value)): (&str, (&str, &str)),
        cases: &[(&'static str, u64)],
        bare: Option<&[u64]>,
    ) -> Self {
        let mut runner = Self {
            program: Program::start(program, &[], &[(variable, value.to_owned())]),
            cases: cases.to_vec(),
            units: vec![1; cases.len()],
        };
        for case in 0..cases.len() {
            // The first units pay for pages and caches, so the count is found by doubling.
            let mut time = runner.time_per_unit(case);
            while time * (runner.units[case] * cases[case].1) as f64 * 2.0 < ROUND_NANOSECONDS {
                runner.units[case] *= 2;
                time = runner.time_per_unit(case);
            }
            let fitting = ROUND_NANOSECONDS / time / cases[case].1 as f64;
            runner.units[case] = match bare.map(|units| units[case]) {
                Some(units) if fitting * 1.5 > units as f64 => units,
                _ => (fitting as u64).max(1),
            };
            runner.time_per_unit(case);
        }
        runner
    }

    /// CPU nanoseconds per unit.
    fn time_per_unit(&mut self, case: usize) -> f64 {
        let ((task, threads), units) = (self.cases[case], self.units[case]);
        let answer = self.program.ask(&format!("{task} {threads} {units}"));
        let nanoseconds: f64 = answer.parse().expect("a number of nanoseconds");
        nanoseconds / (units * threads) as f64
    }
}
