//! The driver of the benchmarks: builds the contenders, runs them in turn, and prints tables in Markdown.
//!
//! | file | holds |
//! |---|---|
//! | `arguments.rs` | the command line |
//! | `programs.rs` | building the programs, and talking to them |
//! | `hot.rs` | what an allocation costs, against peers |
//! | `collect.rs` | what a collection and a scrape cost |
//! | `footprint.rs` | what the exporter costs a process that carries it |
//! | `truth.rs` | whether what is said of call sites is true, against peers |
//! | `table.rs` | medians, quartiles, tables |

mod arguments;
mod collect;
mod footprint;
mod hot;
mod programs;
mod table;
mod truth;

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
    let hot = ["all", "hot"].contains(&arguments.what.as_str());
    programs::build(hot);
    println!("{}\n", programs::machine());
    if hot {
        hot::run(&arguments);
    }
    if ["all", "collect"].contains(&arguments.what.as_str()) {
        collect::run(&arguments);
    }
    if ["all", "footprint"].contains(&arguments.what.as_str()) {
        footprint::run(&arguments);
    }
    if ["all", "truth"].contains(&arguments.what.as_str()) {
        truth::run();
    }
    ExitCode::SUCCESS
}
