//! Contender: our allocator around jemalloc, sampling as often as `SAMPLE_INTERVAL` says.

use memory_exporter::heap::{self, SamplingOptions};

#[global_allocator]
static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();

fn main() {
    assert!(heap::is_installed(), "nothing is counted");
    let interval = std::env::var("SAMPLE_INTERVAL")
        .ok()
        .and_then(|text| text.parse().ok());
    heap::sample(SamplingOptions::every(
        interval.expect("SAMPLE_INTERVAL is a number of bytes"),
    ));
    workload::serve(|work| work());
}
