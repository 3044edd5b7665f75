//! `sites_plain` under heaptrack. The arguments are that program and a file for the report. Prints from the report: live bytes.

use std::collections::HashMap;
use std::process::{Command, Stdio};

use contenders::sites;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [program, file] = words.as_slice() else {
        panic!("arguments: PROGRAM FILE");
    };
    finish(Command::new("heaptrack").args(["--output", file, program]));
    // It adds the ending of the compression that it was built with.
    let compressed = [".zst", ".gz"].map(|ending| format!("{file}{ending}"));
    let report = compressed
        .iter()
        .find(|file| std::fs::exists(file).is_ok_and(|is_there| is_there));
    let folded = format!("{file}.folded");
    let cost = ["--flamegraph-cost-type", "leaked", "--print-flamegraph"];
    let report = report.expect("heaptrack has written its report");
    finish(
        Command::new("heaptrack_print")
            .args(["--file", report])
            .args(cost)
            .arg(&folded),
    );
    let stacks = std::fs::read_to_string(folded).expect("folded stacks");
    let mut sums: HashMap<&str, [f64; 1]> = HashMap::new();
    for line in stacks.lines() {
        let (stack, bytes) = line.rsplit_once(' ').expect("a stack and a number");
        if let Some(site) = stack.rsplit(';').find_map(sites::site_of) {
            sums.entry(site).or_default()[0] += bytes.parse::<f64>().expect("a number");
        }
    }
    sites::print(|site| sums.get(site).copied().unwrap_or_default());
}

fn finish(command: &mut Command) {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "heaptrack does not work"
    );
}
