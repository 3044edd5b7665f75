//! Contender: our allocator around jemalloc.

#[global_allocator]
static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();

fn main() {
    assert!(memory_exporter::heap::is_installed(), "nothing is counted");
    workload::serve(|work| work());
}
