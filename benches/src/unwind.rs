//! What a stack costs, by unwinder.

use crate::programs::{self, Program};
use crate::table;

/// How deep the stacks are: a plain program, an asynchronous service, a deep one.
const DEPTHS: [u32; 3] = [10, 30, 100];
const UNWINDERS: [(&str, &str); 4] = [
    ("memory_exporter", "memory_exporter (cached rules)"),
    ("framehop", "framehop 0.16 (may not allocate)"),
    ("frame_pointers", "frame pointers"),
    ("libgcc", "libgcc, `_Unwind_Backtrace`"),
];

pub(crate) fn run() {
    programs::build_with_frame_pointers();
    let mut rows = UNWINDERS.map(|(_, title)| vec![title.to_owned()]);
    for depth in DEPTHS {
        let mut program = Program::start_with_frame_pointers("unwinders", &[depth.to_string()]);
        while let Some(line) = program.hear() {
            let words: Vec<&str> = line.split(' ').collect();
            let &[name, time, frames] = words.as_slice() else {
                panic!("not a result: {line}");
            };
            let time: f64 = time.parse().expect("a number of nanoseconds");
            let frames: f64 = frames.parse().expect("a number of frames");
            let at = UNWINDERS.iter().position(|(known, _)| *known == name);
            let row = &mut rows[at.expect("a known unwinder")];
            row.push(format!("{time:.0} ({frames:.0}, {:.1})", time / frames));
        }
    }
    let head = DEPTHS.map(|depth| format!("{depth} calls deep"));
    let head: Vec<&str> = ["unwinder"]
        .into_iter()
        .chain(head.iter().map(String::as_str))
        .collect();
    table::print(
        "A stack: nanoseconds (frames, nanoseconds per frame)",
        &head,
        &rows,
    );
}
