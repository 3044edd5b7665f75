//! Contender: jemalloc as it is. What all others are compared with.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    workload::serve(|work| work());
}
