//! Contender: `dhat`, profiling. It brings the system allocator with it and cannot wrap another one.

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn main() {
    // Never dropped: `serve` ends the process, so that no report is written.
    let _profiler = dhat::Profiler::builder().file_name("/dev/null").build();
    workload::serve(|work| work());
}
