//! The program of known sites under `dhat`. The argument is a file for its report. Prints from that: live bytes, allocated bytes.

use std::collections::HashMap;

use contenders::sites;
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn main() {
    let file = std::env::args().nth(1).expect("a file");
    let profiler = dhat::Profiler::builder().file_name(&file).build();
    sites::run();
    drop(profiler);
    let report = std::fs::read(file).expect("dhat has written its report");
    let report: Value = serde_json::from_slice(&report).expect("the report is JSON");
    let frames = report["ftbl"].as_array().expect("frames");
    let mut sums: HashMap<&str, [f64; 2]> = HashMap::new();
    for point in report["pps"].as_array().expect("program points") {
        let stack = point["fs"].as_array().expect("a stack").iter();
        let names = stack.filter_map(|at| frames[at.as_u64()? as usize].as_str());
        let bytes = |name: &str| point[name].as_f64().expect("a number of bytes");
        if let Some(site) = names.filter_map(sites::site_of).next() {
            let sum = sums.entry(site).or_default();
            sum[0] += bytes("eb");
            sum[1] += bytes("tb");
        }
    }
    sites::print(|site| sums.get(site).copied().unwrap_or_default());
}
