//! The driver of the benchmarks: builds the contenders, runs them in turn, and prints tables in Markdown.
//!
//! | file | holds |
//! |---|---|
//! | `arguments.rs` | the command line |
//! | `programs.rs` | building the programs, and talking to them |
//! | `hot.rs` | what an allocation costs, against peers |
//! | `collect.rs` | what a collection and a scrape cost |
//! | `unwind.rs` | what a stack costs, by unwinder |
//! | `profiles.rs` | what a profile costs, and what the instrument takes |
//! | `pauses.rs` | what single calls cost while profiles are taken |
//! | `footprint.rs` | what the exporter costs a process that carries it |
//! | `leaks.rs` | whether leaks are found, and what looking for them costs |
//! | `truth.rs` | whether what is said of call sites is true, against peers |
//! | `table.rs` | medians, quartiles, tables |

mod arguments;
mod collect;
mod footprint;
mod hot;
mod leaks;
mod pauses;
mod profiles;
mod programs;
mod table;
mod truth;
mod unwind;

use std::process::ExitCode;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}\n\n{}", arguments::USAGE);
            return ExitCode::from(64);
        }
    };
    let is_wanted = |part: &str| ["all", part].contains(&arguments.what.as_str());
    if !["leaks", "leaks-cost"].contains(&arguments.what.as_str()) {
        programs::build(is_wanted("hot"));
    }
    if is_wanted("leaks") || is_wanted("leaks-cost") {
        programs::build_leaks();
    }
    println!("{}\n", programs::machine());
    if is_wanted("hot") {
        hot::run(&arguments);
    }
    if is_wanted("unwind") {
        unwind::run();
    }
    if is_wanted("profiles") {
        profiles::run();
    }
    if is_wanted("pauses") {
        pauses::run();
    }
    if is_wanted("collect") {
        collect::run(&arguments);
    }
    if is_wanted("footprint") {
        footprint::run(&arguments);
    }
    if is_wanted("truth") {
        truth::run();
    }
    if is_wanted("leaks") {
        leaks::simulated(&arguments);
    }
    if is_wanted("leaks-cost") {
        leaks::cost();
    }
    if is_wanted("leaks-real") {
        leaks::real(&arguments);
    }
    ExitCode::SUCCESS
}
